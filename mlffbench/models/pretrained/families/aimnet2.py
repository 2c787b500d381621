"""AIMNet2: the published networks and any file of the package aimnet's second format.

Energies are those of its calculator for molecules: the network's, the Coulomb energy of
its charges between all pairs, and DFT-D3 where the network leaves it out.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.files import sha256_of
from mlffbench.core.graph import Graph, radius_graph
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models import cards
from mlffbench.models.pretrained.families.network_model import (
    NetworkFacts,
    NetworkForceField,
    Reading,
)
from mlffbench.models.pretrained.foreign import told_of_file
from mlffbench.models.weights import Weights, check_archive, fetch

WB97M = Weights(
    file="aimnet2_wb97m_d3_0.pt",
    url="https://storage.googleapis.com/aimnetcentral/aimnet2v2/AIMNet2/"
    "aimnet2_wb97m_d3_0.pt",
    sha256="f0f7c054539ad3261bd36f9b11c56d12f87cb723e25bea7521755bbd3ec24e28",
)
"""Member 0 of four, as the package's own table names it; that table has the checksum."""
_EVERYWHERE = 1e4
"""Å within which all pairs of a molecule lie."""
_FORM = "expected a .pt file of aimnet's second format: aimnet:PATH"


class AimnetNetwork(nn.Module):
    """A network of aimnet, with what its calculator adds.

    Args:
        model: As aimnet builds it.
        coulomb: Adds the Coulomb energy of all pairs; None where the network has it.
        dispersion: Adds DFT-D3; None where the network has it.
    """

    def __init__(self, model: Any, coulomb: Any, dispersion: Any) -> None:
        super().__init__()
        self.model, self.coulomb, self.dispersion = model, coulomb, dispersion

    def forward(self, here: Structures, graph: Graph, _radius: float) -> Reading:
        """Return energies and features of structures on a graph."""
        like = here.positions
        for name in ("_required_keys_dtype", "_optional_keys_dtype"):
            kinds = getattr(self.model, name)
            kinds = [like.dtype if kind.is_floating_point else kind for kind in kinds]
            setattr(self.model, name, kinds)
        data: dict[str, Tensor] = {
            "coord": _padded(like),
            "numbers": _padded(here.numbers),
            "charge": here.charge.to(like),
            "mult": here.multiplicity.to(like),
            "mol_idx": torch.cat([here.system, here.system[-1:]]),
            "nbmat": _matrix(graph, here),
            "nbmat_lr": _matrix(radius_graph(here, _EVERYWHERE), here),
        }
        data = self.model(data)
        if self.coulomb is not None:
            data, _ = _with_terms(self.coulomb(data, training_derivatives=True))
        energy: Tensor = data["energy"].double()
        if self.dispersion is not None:
            energy = energy + self.dispersion._compute_energy_torch(data).double()
        return Reading(energy, data["aim"][:-1])


def _with_terms(answer: Any) -> tuple[dict[str, Tensor], Any]:
    return answer if isinstance(answer, tuple) else (answer, None)


def _padded(values: Tensor) -> Tensor:
    """Return values of atoms with those of the atom that stands for none, last."""
    return torch.cat([values, torch.zeros_like(values[:1])])


def _matrix(graph: Graph, here: Structures) -> Tensor:
    """Return the neighbours of every atom in a row, filled up with the last atom."""
    centre, neighbour = graph.edges
    counts = centre.bincount(minlength=here.n_atoms)
    starts = counts.cumsum(0) - counts
    column = torch.arange(graph.n_edges, device=centre.device) - starts[centre]
    widest = max(1, int(counts.max()))
    matrix: Tensor = centre.new_full((here.n_atoms + 1, widest), here.n_atoms)
    matrix[centre, column] = neighbour
    return matrix.to(torch.int32)


def load_wb97m(options: ModelOptions) -> NetworkForceField:
    """Return AIMNet2 (ωB97M-D3, member 0), downloaded on first use."""
    return _load(fetch(WB97M), "aimnet2", cards.AIMNET2, options)


def load_file(options: ModelOptions) -> NetworkForceField:
    """Return the network of a file: ``aimnet:PATH``.

    Raises:
        ModelError: The file is no network of aimnet's second format.
    """
    path = Path(options.argument).expanduser()
    card = replace(cards.AIMNET, source=str(path))
    return _load(path, f"aimnet:{path.name}", card, options)


def _load(
    path: Path, name: str, card: ModelCard, options: ModelOptions
) -> NetworkForceField:
    network, metadata = _open(path)
    elements = frozenset(int(number) for number in metadata["implemented_species"])
    if not elements:
        msg = f"{path} does not say which elements it knows"
        raise ModelError(msg)
    if metadata.get("supports_charged_systems") is False:
        card = replace(card, charges=frozenset({0}))
    facts = NetworkFacts(
        elements=elements,
        cutoff=round(float(metadata["cutoff"]), 6),
        trunk=("model.afv.", "model.aev.", "model.conv_", "model.mlps."),
    )
    device, dtype = options.torch_device(), options.torch_dtype(card)
    model = NetworkForceField(name, network, facts, card, device=device, dtype=dtype)
    model.weights_sha256 = sha256_of(path)
    return model


def _open(path: Path) -> tuple[AimnetNetwork, dict[str, Any]]:
    """Return the network of a file and what the file says of it.

    Raises:
        ModelError: It is no such file, or wants what is not treated here.
    """
    import warp

    warp.config.quiet = True  # else it prints what graphics cards there are
    from aimnet.models.base import load_model
    from aimnet.modules import DFTD3, LRCoulomb

    check_archive(path)
    if path.suffix.lower() == ".jpt":
        msg = f"{path} is TorchScript, which runs code of its own; convert it with "
        raise ModelError(msg + f"'aimnet convert' of its package; {_FORM}")
    # building draws random weights
    with told_of_file(path, _FORM), torch.random.fork_rng([]):
        model, found = load_model(str(path))
    metadata: dict[str, Any] = dict(found)
    if metadata["has_embedded_lr"] and metadata["coulomb_mode"] != "sr_embedded":
        msg = f"{path} has long-range terms inside that cannot be differentiated twice; "
        raise ModelError(msg + "use one without, as AIMNet2 is published since 2025")
    coulomb = dispersion = None
    if metadata["needs_coulomb"]:
        inside = metadata["coulomb_mode"] == "sr_embedded"
        coulomb = LRCoulomb(
            key_in="charges",
            key_out="energy",
            method="simple",
            rc=metadata.get("coulomb_sr_rc") or 4.6,
            envelope=metadata.get("coulomb_sr_envelope") or "exp",
            subtract_sr=not inside,
        )
    if metadata["needs_dispersion"]:
        damping = metadata.get("d3_params")
        if not damping:
            msg = f"{path} needs DFT-D3 and does not say with which damping"
            raise ModelError(msg)
        dispersion = DFTD3(**damping)
    return AimnetNetwork(model, coulomb, dispersion), metadata
