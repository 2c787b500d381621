"""What two sets share: molecules, and geometries that are the same or nearly so."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS
from mlffbench.core.split import Rows, Source
from mlffbench.datasets.canonical import canonical_smiles
from mlffbench.datasets.fingerprints import fingerprints

TOLERANCE = 0.02
"""Å: geometries that differ by less are near duplicates, unless told otherwise."""
_CHUNK = 2_000
_MOST_VALUES = 20_000_000
"""Distances compared at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some rows of a source.

    Attributes:
        source: The source.
        rows: Shape (n_structures,), which of its rows.
    """

    source: Source
    rows: Rows


class Molecule(NamedTuple):
    """A molecule in both sets.

    Attributes:
        name: Canonical SMILES, else the molecule key.
        known_by: ``"canonical SMILES"`` or ``"name"``.
        in_first: Structures in the first set.
        in_second: Structures in the second set.
    """

    name: str
    known_by: str
    in_first: int
    in_second: int


class Near(NamedTuple):
    """A structure of the second set and the nearest one in the first.

    Attributes:
        second: Its id.
        first: The id of the nearest.
        distance: How far apart they are, in Å, see `near_duplicates`.
    """

    second: str
    first: str
    distance: float


def n_structures(parts: Sequence[Part]) -> int:
    """Return how many structures a set holds."""
    return sum(len(part.rows) for part in parts)


def molecules(parts: Sequence[Part]) -> dict[tuple[str, str], int]:
    """Return (how it is known, name) of every molecule -> its number of structures."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for part in parts:
        index = part.source.index
        records, numbers = np.unique(index.record[part.rows], return_counts=True)
        for record, number in zip(records.tolist(), numbers.tolist(), strict=True):
            canonical = canonical_smiles(index.smiles[record])
            kind = "canonical SMILES" if canonical else "name"
            counts[kind, canonical or index.groups[record]] += number
    return dict(counts)


def shared_molecules(first: Sequence[Part], second: Sequence[Part]) -> list[Molecule]:
    """Return the molecules of both sets, those with most structures first.

    A molecule is its canonical SMILES where one is known and rdkit is installed, else its
    name in the file; like is compared with like.
    """
    one, two = molecules(first), molecules(second)
    both = [
        Molecule(name, kind, one[kind, name], two[kind, name])
        for kind, name in one.keys() & two.keys()
    ]
    return sorted(both, key=lambda entry: (-entry.in_second, entry.name))


def near_duplicates(
    first: Sequence[Part], second: Sequence[Part], tolerance: float = TOLERANCE
) -> list[Near]:
    """Return the structures of the second set that are nearly one of the first.

    Two geometries are compared by all their interatomic distances, sorted within each
    pair of elements: how far apart they are is the root mean square of the differences.
    It does not depend on numbering, place, orientation or handedness. Only structures of
    equal composition and charge are compared; atoms of a periodic cell as they stand.

    Args:
        first: One set.
        second: The other.
        tolerance: Largest distance of a near duplicate, in Å.

    Returns:
        One entry per structure found, the nearest first.

    Raises:
        DataError: A file is damaged, or a position is not finite.
    """
    compositions = _by_composition(first)
    found: list[Near] = []
    for key, rows in _by_composition(second).items():
        if key in compositions:
            found += _compare(first, compositions[key], second, rows, tolerance)
    return sorted(found, key=lambda entry: (entry.distance, entry.second))


Where = dict[int, list[Rows]]
"""Number of a part -> runs of its rows."""


def _by_composition(parts: Sequence[Part]) -> dict[tuple[str, int], Where]:
    """Return formula and charge -> where such structures are."""
    found: dict[tuple[str, int], Where] = {}
    for number, part in enumerate(parts):
        index = part.source.index
        order = np.argsort(index.record[part.rows], kind="stable")
        rows = part.rows[order]
        breaks = np.flatnonzero(np.diff(index.record[rows])) + 1
        runs = [run for run in np.split(rows, breaks) if len(run)]
        heads = np.array([run[0] for run in runs], dtype=np.int64)
        formulas = _formulas(part.source, heads)
        for run, formula in zip(runs, formulas, strict=True):
            charge = int(index.charge[index.record[run[0]]])
            where = found.setdefault((formula, charge), {})
            where.setdefault(number, []).append(run)
    return found


def _formulas(source: Source, rows: Rows) -> list[str]:
    """Return the composition of some structures, e.g. ``"C2 H6 O1"``."""
    found = []
    for start in range(0, len(rows), _CHUNK):
        structures = source.structures(rows[start : start + _CHUNK])
        ends = np.cumsum(structures.sizes.numpy())[:-1]
        for numbers in np.split(structures.numbers.numpy(), ends):
            values, counts = np.unique(numbers, return_counts=True)
            pairs = zip(values.tolist(), counts.tolist(), strict=True)
            found.append(" ".join(f"{SYMBOLS[number]}{n}" for number, n in pairs))
    return found


def _compare(
    first: Sequence[Part],
    in_first: Where,
    second: Sequence[Part],
    in_second: Where,
    tolerance: float,
) -> Iterator[Near]:
    """Yield the near duplicates among structures of one composition.

    Means differ by no more than the root mean square does, so only geometries with nearly
    the same mean distance are compared in full.
    """
    names, known = _fingerprints(first, in_first)
    means = known.mean(axis=1) if known.shape[1] else np.zeros(len(known))
    order = np.argsort(means, kind="stable")
    means, known = means[order], known[order]
    tested_names, tested = _fingerprints(second, in_second)
    for name, values in zip(tested_names, tested, strict=True):
        mean = float(values.mean()) if len(values) else 0.0
        low = int(np.searchsorted(means, mean - tolerance, side="left"))
        high = int(np.searchsorted(means, mean + tolerance, side="right"))
        best, nearest = np.inf, -1
        step = max(1, _MOST_VALUES // max(known.shape[1], 1))
        for start in range(low, high, step):
            block = known[start : min(start + step, high)].astype(np.float64)
            squares = ((block - values) ** 2).sum(axis=1) / max(known.shape[1], 1)
            place = int(squares.argmin())
            if squares[place] < best:
                best, nearest = float(squares[place]), start + place
        if nearest >= 0 and np.sqrt(best) <= tolerance:
            yield Near(name, names[int(order[nearest])], float(np.sqrt(best)))


def _fingerprints(
    parts: Sequence[Part], where: Where
) -> tuple[list[str], NDArray[np.float32]]:
    """Return ids and fingerprints of structures of one composition."""
    names: list[str] = []
    values: list[NDArray[np.float32]] = []
    for number, runs in where.items():
        source, rows = parts[number].source, np.concatenate(runs)
        for start in range(0, len(rows), _CHUNK):
            structures = source.structures(rows[start : start + _CHUNK])
            names += structures.ids
            size = int(structures.sizes[0])  # equal composition, so equal size
            positions = structures.positions.numpy().reshape(-1, size, 3)
            orders, which = np.unique(
                structures.numbers.numpy().reshape(-1, size), axis=0, return_inverse=True
            )
            block = np.empty((len(positions), size * (size - 1) // 2), np.float32)
            for number_of, numbers in enumerate(orders):
                same = which == number_of
                block[same] = fingerprints(numbers, positions[same])
            values.append(block)
    return names, np.concatenate(values)
