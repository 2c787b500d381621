"""Composition: how many atoms of each element a structure has."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.structures import Structures


class Composition(NamedTuple):
    """Atom counts of a batch.

    Attributes:
        elements: Shape (n_elements,), ascending atomic numbers that occur in the batch.
        counts: Shape (n_systems, n_elements), int64 atoms of each element.
    """

    elements: NDArray[np.int64]
    counts: NDArray[np.int64]


def composition(structures: Structures) -> Composition:
    """Return the atoms of each element in each structure."""
    numbers, system = structures.numbers.cpu().numpy(), structures.system.cpu().numpy()
    elements, column = np.unique(numbers, return_inverse=True)
    shape = structures.n_systems, len(elements)
    cells = np.bincount(system * len(elements) + column, minlength=shape[0] * shape[1])
    return Composition(elements, cells.reshape(shape))
