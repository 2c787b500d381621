"""Molecules: the independent units behind a set of structures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.metrics.samples import Samples


@dataclass(frozen=True, slots=True, eq=False)
class Molecules:
    """Which molecule each structure belongs to; made once, used for many metrics.

    Attributes:
        keys: Distinct molecule keys, sorted, so that the order of structures is of no
            consequence.
        index: Shape (n_systems,), int64: structure -> position in ``keys``.
    """

    keys: tuple[str, ...]
    index: NDArray[np.int64]

    @classmethod
    def of(cls, groups: Sequence[str]) -> Self:
        """Return the molecules behind one key per structure, e.g. `Structures.group`.

        Example:
            >>> Molecules.of(["CO", "C", "CO"]).keys
            ('C', 'CO')
        """
        keys = tuple(sorted(set(groups)))
        position = {key: number for number, key in enumerate(keys)}
        index = np.fromiter((position[key] for key in groups), np.int64, len(groups))
        return cls(keys, index)


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """What each molecule contributes to a metric; only molecules that do are listed.

    Attributes:
        keys: Molecule keys, sorted.
        sums: Shape (n_molecules, 2), float64: Σ w·v and Σ w of each molecule.
        n: Structures that count.
    """

    keys: tuple[str, ...]
    sums: NDArray[np.float64]
    n: int


def sum_molecules(samples: Samples, molecules: Molecules) -> Totals:
    """Return the totals of every molecule with at least one evaluated structure.

    Structures are added in an order of their own, by value, so the sums are the same to
    the last bit however the structures are arranged.

    Raises:
        DataError: There is not one molecule per sample.
    """
    if len(samples.value) != len(molecules.index):
        found, expected = len(samples.value), len(molecules.index)
        msg = f"{found} samples, but the molecules of {expected} structures"
        raise DataError(msg)
    sums, n = sum_by_index(samples, molecules.index, len(molecules.keys))
    present = np.flatnonzero(sums[:, 1] > 0)
    keys = tuple(molecules.keys[position] for position in present)
    return Totals(keys, sums[present], n)


def sum_by_index(
    samples: Samples, index: NDArray[np.int64], n_molecules: int
) -> tuple[NDArray[np.float64], int]:
    """Return Σ w·v and Σ w of every molecule, and how many structures count.

    Args:
        samples: What was measured.
        index: Shape (n_systems,): structure -> molecule.
        n_molecules: Molecules that there are.

    Returns:
        Shape (n_molecules, 2), zeros for a molecule without an evaluated structure.
    """
    rows = np.flatnonzero(samples.evaluated)
    rows = rows[np.lexsort((samples.weight[rows], samples.value[rows], index[rows]))]
    owner, weight = index[rows], samples.weight[rows]
    weighted = weight * samples.value[rows]
    sums = np.zeros((n_molecules, 2))
    sums[:, 0] = np.bincount(owner, weights=weighted, minlength=n_molecules)
    sums[:, 1] = np.bincount(owner, weights=weight, minlength=n_molecules)
    return sums, len(rows)
