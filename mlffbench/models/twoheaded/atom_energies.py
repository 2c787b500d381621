"""Energies of single atoms, checked against the network's table of elements."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mlffbench.core.card import format_elements
from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import Head
from mlffbench.models.twoheaded.architecture import Architecture


def zero_energies(
    architecture: Architecture, head: Head, fitted: Mapping[int, float], scale: float
) -> Tensor:
    """Return E0 of each element in the table, shape (n_elements,), in eV, float64.

    Args:
        architecture: Holds the table.
        head: Whose energies they are, for messages.
        fitted: Atomic number -> E0 in eV; an element that was not fitted counts 0.
        scale: Of the head, in eV per unit of the network's output.

    Raises:
        ModelError: An element is unknown to the network, or a number is not finite.
    """
    unknown = fitted.keys() - set(architecture.elements)
    if unknown:
        names = format_elements(frozenset(unknown))
        msg = f"E0 of the head {head!r} for {names}, which the network does not know"
        raise ModelError(msg)
    if not all(map(math.isfinite, [*fitted.values(), scale])):
        msg = f"an E0 or the scale of the head {head!r} is not finite"
        raise ModelError(msg)
    energies = [fitted.get(number, 0.0) for number in architecture.elements]
    return torch.tensor(energies, dtype=torch.float64)
