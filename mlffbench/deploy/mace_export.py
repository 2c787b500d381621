"""A refined MACE as a model file of mace, which LAMMPS and OpenMM go on with."""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mlffbench.core.errors import ModelError
from mlffbench.core.files import write_atomic
from mlffbench.core.forcefield import ForceField, HasPriorHead
from mlffbench.models.pretrained.mace_model import MaceForceField
from mlffbench.models.pretrained.mace_network import CONSTANTS, import_mace
from mlffbench.models.twoheaded.architecture import MaceShape
from mlffbench.models.twoheaded.model import TwoHeaded


def export_mace(base: ForceField, adapted: ForceField, path: Path) -> bool:
    """Write a MACE with moved weights as mace writes its own; return whether it is one.

    Energies are those of the weights: the offset that keeps a molecule's mean energy is
    not in the file.

    Args:
        base: The model that was refined.
        adapted: What the refinement made of it, a prior head on it or not.
        path: Of the file.

    Raises:
        StoreError: The folder cannot be written.
    """
    network = network_of(base, adapted)
    if network is None:
        return False
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.save(network, content)
    write_atomic(path, content.getvalue())
    return True


def network_of(base: ForceField, adapted: ForceField) -> nn.Module | None:
    """Return the network of mace with the weights of an adapted model; None if none."""
    if isinstance(adapted, TwoHeaded) and adapted.architecture.network == "mace":
        parameters = {**adapted.parameters_of("shared"), **adapted.parameters_of("ref")}
        values = {name: value.detach() for name, value in parameters.items()}
        return _built(_keywords(adapted), values)
    if not isinstance(base, MaceForceField) or not isinstance(adapted, HasPriorHead):
        return None
    moved = [one.detach() for one in adapted.representation_parameters()]
    names = base.trunk_parameters()
    network = base.network_with(dict(zip(names, moved, strict=True)))
    from mace.tools.scripts_utils import extract_config_mace_model

    return _built(extract_config_mace_model(network), network.state_dict())


def _built(keywords: Mapping[str, Any], values: Mapping[str, Tensor]) -> nn.Module:
    """Return a ScaleShiftMACE as mace itself builds it, in float64, on the CPU.

    Raises:
        ModelError: The installed mace builds another network than the weights fit.
    """
    modules = import_mace()
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng([]):
            warnings.simplefilter("ignore")
            network: nn.Module = modules.ScaleShiftMACE(**keywords)
    finally:
        torch.set_default_dtype(default)
    own = {name for name, _ in network.named_parameters()}
    known = network.state_dict().keys()
    left = network.load_state_dict(
        {name: value.cpu() for name, value in values.items()}, strict=False
    )
    strange = [name for name in left.unexpected_keys if not CONSTANTS.search(name)]
    missing = [n for n in left.missing_keys if n in own and not CONSTANTS.search(n)]
    if missing or strange:
        msg = f"the installed mace builds another network of {len(known)} tensors: "
        raise ModelError(msg + f"missing {missing}, unexpected {strange}")
    return network


def _keywords(model: TwoHeaded) -> dict[str, Any]:
    """Return what ``ScaleShiftMACE`` takes to be the reference head of a two-headed MACE.

    Its energy is Σ_atoms (scale · network + E0[element]), as ours is.
    """
    modules = import_mace()
    from e3nn import o3

    architecture = model.architecture
    shape = architecture.shape
    if not isinstance(shape, MaceShape):
        raise TypeError("only a mace has a MACE model file")
    symmetries = (f"{shape.channels}x{n}{'eo'[n % 2]}" for n in range(shape.max_l + 1))
    known = model.atomic_energies["ref"]
    block = modules.RealAgnosticResidualInteractionBlock
    return {
        "r_max": architecture.cutoff,
        "num_bessel": shape.bessel,
        "num_polynomial_cutoff": shape.envelope_power,
        "max_ell": shape.max_ell,
        "interaction_cls": block,
        "interaction_cls_first": block,
        "num_interactions": shape.blocks,
        "num_elements": len(architecture.elements),
        "hidden_irreps": o3.Irreps("+".join(symmetries)),
        "MLP_irreps": o3.Irreps(f"{shape.readout_width}x0e"),
        "atomic_energies": np.array([known.get(z, 0.0) for z in architecture.elements]),
        "avg_num_neighbors": shape.mean_neighbours,
        "atomic_numbers": list(architecture.elements),
        "correlation": shape.correlation,
        "gate": nn.functional.silu,
        "radial_MLP": list(shape.radial_widths),
        "use_reduced_cg": False,
        "atomic_inter_scale": model.scale["ref"],
        "atomic_inter_shift": 0.0,
    }
