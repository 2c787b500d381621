"""Leaks between files: molecules and geometries of train under another name.

`check_splits` compares names, which differ between files. Here molecules are compared by
SMILES or connectivity, and geometries by the sorted distances between their atoms.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError
from mlffbench.core.split import Rows, Source, Split
from mlffbench.core.structures import Structures
from mlffbench.datasets.molecules.comparison import Part, compare
from mlffbench.datasets.molecules.fingerprints import fingerprints

TOLERANCE = 0.02
"""Å: geometries that differ by less are near duplicates, unless told otherwise."""
_LOG = logging.getLogger(__name__)
_CHUNK = 2_000
_MOST_VALUES = 20_000_000
"""Distances compared at a time."""
_MOST_AT_ONCE = 500_000
"""Pairs of atoms whose distances are computed at once."""
_Kind = tuple[int, frozenset[int], int, int]
"""Atoms, elements, charge and multiplicity: geometries of two kinds are never one."""


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


CHUNK = 2_000
"""Structures in memory at a time."""
MOST_STRUCTURES = 200_000
"""With more structures in all splits together, geometries are not compared."""
RESOLUTION = 1e-3
"""Å: distances are rounded to this."""
_OFF_THE_DECIMALS = 0.2718
"""Moves the edges of rounding off the short decimals that files are full of."""


def check_leaks(splits: Sequence[Split]) -> None:
    """Check that nothing of train is in a val or test split under another name.

    Molecules are compared as `mlffbench.datasets.molecules.comparison` says; where they
    are not comparable, near duplicates are looked for, and that is said. A geometry is
    composition, charge, multiplicity, cell, and the sorted distances between atoms
    rounded to `RESOLUTION`: renumbered, moved, turned and mirrored copies are found.
    These are copies, not near duplicates: a distance that moved (by 1e-6 Å in a file of
    few digits, say) can fall to the other side of a rounding edge, so single copies can
    be missed, a whole copied file cannot; periodic atoms wrapped anew are not recognised.
    With more than `MOST_STRUCTURES` structures geometries are not compared.

    Args:
        splits: All splits of a suite.

    Raises:
        DataError: A molecule in train and, unless the split says why in
            ``shares_molecules``, in another split; a geometry in train and, whatever the
            split says, in another split; or a file that cannot be read.
    """
    train = [split for split in splits if split.role == "train"]
    others = [split for split in splits if split.role != "train"]
    _check_molecules(train, others)
    if sum(len(split.rows) for split in splits) <= MOST_STRUCTURES:
        _check_geometries(train, others)


def _check_molecules(train: Sequence[Split], others: Sequence[Split]) -> None:
    trained = [Part(split.source, split.rows) for split in train]
    for split in others:
        if split.shares_molecules:
            continue
        own = [Part(split.source, split.rows)]
        comparison = compare(trained, own)
        if comparison.shared:
            one = comparison.shared[0]
            known = f", both {one.name}" if one.known_by == "canonical SMILES" else ""
            if one.known_by == "connectivity":
                known = f", the same by the bonds between their atoms ({one.name})"
            msg = (
                f"{len(comparison.shared)} molecules of split {split.name!r} are in "
                f"train, e.g. {one.second!r}, there {one.first!r}{known}; remove them "
                "from one or, if that is meant, say why in shares_molecules"
            )
            raise DataError(msg)
        if comparison.unclear:
            _check_unclear(trained, own, split.name, len(comparison.unclear))


def _check_unclear(
    trained: Sequence[Part], own: Sequence[Part], name: str, n_unclear: int
) -> None:
    """Compare geometries where molecules cannot be; say that nothing else was.

    Raises:
        DataError: A geometry is nearly one of train.
    """
    near = near_duplicates(trained, own)
    if near:
        msg = (
            f"{len(near)} structures of split {name!r} are nearly those of train, e.g. "
            f"{near[0].second!r} {near[0].first!r} ({near[0].distance:.3f} Å); remove "
            "them from one of the two"
        )
        raise DataError(msg)
    _LOG.warning(
        "%d compositions of split %r are in train too, and their molecules are not "
        "comparable without SMILES (or rdkit): only geometries were compared",
        n_unclear,
        name,
    )


def _check_geometries(train: Sequence[Split], others: Sequence[Split]) -> None:
    kinds = {kind for split in train for kind in _kinds(split).values()}
    wanted = {kind for split in others for kind in _kinds(split).values()} & kinds
    trained = {key: name for split in train for key, name in _geometries(split, wanted)}
    for split in others:
        copies = [
            (name, trained[key])
            for key, name in _geometries(split, wanted)
            if key in trained
        ]
        if copies:
            name, original = copies[0]
            msg = (
                f"{len(copies)} structures of split {split.name!r} have the geometry of "
                f"a train structure, e.g. {name!r} that of {original!r}; remove them "
                "from one of the two"
            )
            raise DataError(msg)


def _kinds(split: Split) -> dict[int, _Kind]:
    """Return record -> what structures of one geometry have in common."""
    index = split.source.index
    return {
        record: (
            int(index.n_atoms[record]),
            index.elements[record],
            int(index.charge[record]),
            int(index.multiplicity[record]),
        )
        for record in split.records
    }


def _geometries(split: Split, wanted: Set[_Kind]) -> Iterator[tuple[bytes, str]]:
    """Yield the geometry and the id of every structure of some kinds; all are read."""
    records = [record for record, kind in _kinds(split).items() if kind in wanted]
    for start in range(0, len(split.rows), CHUNK):
        rows = split.rows[start : start + CHUNK]
        structures = split.source.structures(rows)
        asked = np.isin(split.source.index.record[rows], records)
        if not asked.all():
            structures = structures.select(np.flatnonzero(asked).tolist())
        yield from _keys(structures)


def _keys(structures: Structures) -> Iterator[tuple[bytes, str]]:
    sizes = structures.sizes.cpu().numpy()
    ends = np.cumsum(sizes)
    positions = structures.positions.double().cpu().numpy()
    numbers = structures.numbers.cpu().numpy()
    states = zip(
        *(structures.charge.tolist(), structures.multiplicity.tolist()),
        structures.pbc.tolist(),
        strict=True,
    )
    told = [repr(((charge, spin), pbc)).encode() for charge, spin, pbc in states]
    cells = structures.cell.double().cpu().numpy()
    for first, last in _alike(sizes):
        n = int(sizes[first])
        atoms = slice(ends[first] - n, ends[last - 1])
        elements = np.sort(numbers[atoms].reshape(last - first, n), axis=1)
        steps = _distances(positions[atoms].reshape(last - first, n, 3))
        for i, own, between in zip(range(first, last), elements, steps, strict=True):
            digest = hashlib.sha256(told[i])
            digest.update(own.tobytes())
            digest.update(between.tobytes())
            if bool(structures.pbc[i].any()):
                # the corners of a cell at the origin: its shape, however turned
                corners = np.vstack([np.zeros(3), cells[i]])
                digest.update(_distances(corners[None])[0].tobytes())
            yield digest.digest(), structures.ids[i]


def _alike(sizes: Rows) -> Iterator[tuple[int, int]]:
    """Yield first and behind the last of consecutive structures of one size, some."""
    first = 0
    while first < len(sizes):
        most = max(1, _MOST_AT_ONCE // max(1, int(sizes[first]) ** 2))
        others = np.flatnonzero(sizes[first : first + most] != sizes[first])
        last = first + int(others[0]) if len(others) else min(first + most, len(sizes))
        yield first, last
        first = last


def _distances(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the sorted, rounded distances between points.

    Args:
        points: Shape (n_structures, n, 3), in Å.

    Returns:
        Shape (n_structures, n_pairs), in steps of `RESOLUTION`.
    """
    n_structures, n, _ = points.shape
    if n_structures == 1 and n**2 > _MOST_AT_ONCE:  # a fourth of the memory and time
        lengths = pdist(points[0])[None]
    else:
        one, other = np.triu_indices(n, 1)
        lengths = np.sqrt(((points[:, one] - points[:, other]) ** 2).sum(axis=2))
    steps = np.rint(lengths / RESOLUTION + _OFF_THE_DECIMALS)
    return np.sort(steps.astype(np.int64), axis=1)
