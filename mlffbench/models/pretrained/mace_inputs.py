"""Total charge and spin, which MACE-OMOL and others want beside the positions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mlffbench.core.errors import ModelError
from mlffbench.core.structures import Structures

CHARGE, SPIN = "total_charge", "total_spin"
"""Names of the inputs; the spin is the multiplicity 2S + 1, as in OMol."""

Specs = Mapping[str, Mapping[str, Any]]
"""Name of an input -> how the network embeds it."""


def inputs_of(network: nn.Module, name: str) -> Specs:
    """Return the further inputs of a network; none for most.

    Args:
        network: A MACE network.
        name: How tables call the model.

    Raises:
        ModelError: It wants something else than charge and spin of a structure.
    """
    specs: Specs = getattr(network, "embedding_specs", None) or {}
    if not hasattr(network, "joint_embedding"):
        return {}
    strange = [
        key
        for key, spec in specs.items()
        if key not in {CHARGE, SPIN} or not _whole(spec)
    ]
    if strange:
        msg = f"{name!r} wants further inputs ({', '.join(strange)}), of which mlffbench "
        raise ModelError(msg + f"knows {CHARGE} and {SPIN} of a structure only")
    return specs


def charges_of(specs: Specs) -> frozenset[int] | None:
    """Return the total charges a network can treat, in e; None means any."""
    if CHARGE not in specs:
        return frozenset({0})
    known = _values(specs[CHARGE])
    return None if known is None else frozenset(known)


def spin_refusals(specs: Specs, structures: Structures) -> dict[int, str]:
    """Return, per structure of a multiplicity without an embedding, why it is refused."""
    known = _values(specs[SPIN]) if SPIN in specs else None
    if known is None:
        return {}
    return {
        index: f"multiplicity {value} not supported"
        for index, value in enumerate(structures.multiplicity.tolist())
        if value not in known
    }


def values_of(
    specs: Specs, structures: Structures, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return the further inputs of a batch, shape (n_systems,) each."""
    known = {CHARGE: structures.charge, SPIN: structures.multiplicity}
    return {name: known[name].to(dtype) for name in specs}


def _whole(spec: Mapping[str, Any]) -> bool:
    """Return whether an input is one value per structure."""
    return spec.get("per") == "graph" and spec.get("in_dim", 1) == 1


def _values(spec: Mapping[str, Any]) -> range | None:
    """Return the values that have an embedding of their own; None where all have."""
    if spec["type"] != "categorical":
        return None
    offset = int(spec.get("offset", 0))
    return range(-offset, int(spec["num_classes"]) - offset)
