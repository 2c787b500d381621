"""ORB v3 and OrbMol: the networks of orb-models, from their published files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import torch
from torch import nn

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.files import sha256_of
from mlffbench.core.graph import Graph
from mlffbench.core.guards.plain import first_line
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models import cards
from mlffbench.models.pretrained.families.network_model import (
    NetworkFacts,
    NetworkForceField,
    Reading,
)
from mlffbench.models.pretrained.foreign import OPENING_FAULTS, undisturbed

_N_ELEMENTS = 118
_FORM = "orb:NAME[?weights=PATH], e.g. orb:orb-v3-conservative-omol"
_CAPPED = "-20-"
"""In the names of networks that see twenty neighbours at most; our graphs have no cap."""


class OrbNetwork(nn.Module):
    """A regressor of orb-models that takes our structures.

    Args:
        regressor: As orb-models builds it, conservative or direct.
    """

    def __init__(self, regressor: Any) -> None:
        super().__init__()
        self.regressor = regressor
        heads = dict(regressor.heads)
        self.conservative = "forces" not in heads
        self.conditioned = getattr(regressor.model, "conditioner", None) is not None

    def forward(self, here: Structures, graph: Graph, _radius: float) -> Reading:
        """Return energies and features of structures on a graph."""
        batch = self._batch(here, graph)
        features = self.regressor.model(batch)["node_features"]
        head = self.regressor.heads["energy"]
        scaled = head.normalizer.inverse(head(features, batch))
        energy = scaled.double() * here.sizes if head.atom_avg else scaled.double()
        # Total energies are thousands of eV: isolated atoms are added in float64.
        atoms = head.reference.linear.weight.double().reshape(-1)
        energy = energy.index_add(0, here.system, atoms[here.numbers])
        forces = None
        if not self.conservative:
            forces = self.regressor.heads["forces"].predict(features, batch)
        if self.regressor.pair_repulsion:
            repulsion = self.regressor.pair_repulsion_fn(batch)
            energy = energy + repulsion["energy"].double()
            if forces is not None:
                forces = forces + repulsion["forces"]
        return Reading(energy, features, forces)

    def _batch(self, here: Structures, graph: Graph) -> Any:
        """Return what orb-models' networks take."""
        from orb_models.forcefield.base import AtomGraphs

        like = here.positions
        system_features = {"cell": here.cell, "pbc": here.pbc}
        if self.conditioned:
            system_features |= {
                "total_charge": here.charge.to(like),
                "total_spin": here.multiplicity.to(like),
            }
        senders, receivers = graph.edges
        one_hot = nn.functional.one_hot(here.numbers, _N_ELEMENTS).to(like)
        return AtomGraphs(
            senders=senders,
            receivers=receivers,
            n_node=here.sizes,
            n_edge=here.system[senders].bincount(minlength=here.n_systems),
            node_features={
                "positions": here.positions,
                "atomic_numbers": here.numbers,
                "atomic_numbers_embedding": one_hot,
            },
            edge_features={
                "vectors": graph.vectors(here),
                "unit_shifts": graph.shifts.to(like),
            },
            system_features=system_features,
            node_targets=None,
            edge_targets=None,
            system_targets=None,
            system_id=None,
            fix_atoms=None,
            tags=None,
            radius=graph.cutoff,
            max_num_neighbors=here.sizes,
        )


def load(options: ModelOptions) -> NetworkForceField:
    """Return a published network: ``orb:NAME[?weights=PATH]``.

    Without a path the package orb-models downloads its file, once.

    Raises:
        ModelError: There is no such network, its file cannot be had or does not fit, or
            it was trained on graphs with a cap of neighbours.
    """
    name, _, query = options.argument.partition("?")
    # A plus sign is a plus sign here, not a blank.
    settings = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))
    if unknown := settings.keys() - {"weights"}:
        msg = f"expected {_FORM}; got {', '.join(sorted(unknown))} too"
        raise ModelError(msg)
    path = Path(settings["weights"]).expanduser() if "weights" in settings else None
    regressor = _open(name, path)
    network = OrbNetwork(regressor)
    card = cards.ORB_OMOL if "omol" in name else cards.ORB_V3
    card = replace(card, conservative=network.conservative)
    if path is not None:
        card = replace(card, source=str(path))
    if not network.conditioned:
        card = replace(card, charges=frozenset({0}))
    model = wrap(f"orb:{name}", network, card, options)
    if path is not None:
        model.weights_sha256 = sha256_of(path)
    return model


def wrap(
    name: str, network: OrbNetwork, card: ModelCard, options: ModelOptions
) -> NetworkForceField:
    """Return a force field of a regressor of orb-models.

    Args:
        name: How tables call it.
        network: The regressor; it becomes this model's own.
        card: What is known of it.
        options: Where to compute, and in what type.
    """
    facts = NetworkFacts(
        elements=card.elements,
        cutoff=float(network.regressor.system_config.radius),
        trunk=("regressor.model.",),
    )
    device, dtype = options.torch_device(), options.torch_dtype(card)
    return NetworkForceField(name, network, facts, card, device=device, dtype=dtype)


def _open(name: str, path: Path | None) -> Any:
    """Return the regressor of a name with its weights.

    Raises:
        ModelError: There is none, or its weights cannot be had or do not fit.
    """
    from orb_models.forcefield import pretrained

    known = {
        known: maker
        for known, maker in pretrained.ORB_PRETRAINED_MODELS.items()
        if known.startswith("orb-v3") and _CAPPED not in known
    }
    if name not in known:
        msg = f"there is no network {name!r} that could be read here; expected {_FORM}, "
        raise ModelError(msg + f"one of {', '.join(known)}")
    if path is not None and not path.is_file():
        msg = f"there is no file {path}; expected {_FORM}"
        raise ModelError(msg)
    given = {} if path is None else {"weights_path": str(path)}
    try:
        with undisturbed(), _same_precision():
            return known[name](device="cpu", compile=False, **given)
    except OPENING_FAULTS as error:
        where = path or "the file that orb-models names"
        msg = f"cannot read {where} as {name}: {first_line(error)}; fetch it where "
        raise ModelError(msg + f"there is a network, and name it: {_FORM}") from error


@contextmanager
def _same_precision() -> Iterator[None]:
    """Undo what orb-models sets for products of the whole process when it loads."""
    precision = torch.get_float32_matmul_precision()
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
