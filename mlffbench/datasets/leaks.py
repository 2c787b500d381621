"""Leaks between files: molecules and geometries of train under another name.

`check_splits` compares names, which differ between files. Here a molecule is its
canonical SMILES, and a geometry the sorted distances between its atoms.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import pdist

from mlffbench.core.errors import DataError
from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.datasets.canonical import canonical_smiles

CHUNK = 2_000
"""Structures in memory at a time."""
MOST_STRUCTURES = 200_000
"""With more structures in all splits together, geometries are not compared."""
RESOLUTION = 1e-3
"""Å: distances are rounded to this."""
_OFF_THE_DECIMALS = 0.2718
"""Moves the edges of rounding off the short decimals that files are full of."""


class _Molecule(NamedTuple):
    """What two records are compared by: canonical SMILES or names, never one by other."""

    kind: str
    name: str


def check_leaks(splits: Sequence[Split]) -> None:
    """Check that nothing of train is in a val or test split under another name.

    A molecule is its canonical SMILES where one is known and rdkit is installed, else
    its group name; like is compared with like. A geometry is composition, charge,
    multiplicity, cell, and the sorted distances between atoms rounded to `RESOLUTION`:
    renumbered, moved, turned and mirrored copies are found. These are copies, not near
    duplicates: a distance that moved (by 1e-6 Å in a file of few digits, say) can fall
    to the other side of a rounding edge, so single copies can be missed, a whole copied
    file cannot; periodic atoms wrapped anew are not recognised. With more than
    `MOST_STRUCTURES` structures geometries are not compared.

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
    trained = {key: name for split in train for key, name in _molecules(split).items()}
    for split in others:
        if split.shares_molecules:
            continue
        molecules = _molecules(split)
        shared = sorted(molecules.keys() & trained.keys())
        if shared:
            one = shared[0]
            known = f", both {one.name}" if one.kind == "smiles" else ""
            msg = (
                f"{len(shared)} molecules of split {split.name!r} are in train, e.g. "
                f"{molecules[one]!r}, there {trained[one]!r}{known}; remove them from "
                "one or, if that is meant, say why in shares_molecules"
            )
            raise DataError(msg)


def _molecules(split: Split) -> dict[_Molecule, str]:
    """Return the molecules of a split -> their group names."""
    index = split.source.index
    found: dict[_Molecule, str] = {}
    for record in np.unique(index.record[split.rows]).tolist():
        group, smiles = index.groups[record], index.smiles[record]
        canonical = canonical_smiles(smiles)
        kind = "smiles" if canonical else "group"
        found.setdefault(_Molecule(kind, canonical or group), group)
    return found


def _check_geometries(train: Sequence[Split], others: Sequence[Split]) -> None:
    trained = {key: name for split in train for key, name in _geometries(split)}
    for split in others:
        copies = [
            (name, trained[key]) for key, name in _geometries(split) if key in trained
        ]
        if copies:
            name, original = copies[0]
            msg = (
                f"{len(copies)} structures of split {split.name!r} have the geometry of "
                f"a train structure, e.g. {name!r} that of {original!r}; remove them "
                "from one of the two"
            )
            raise DataError(msg)


def _geometries(split: Split) -> Iterator[tuple[bytes, str]]:
    """Yield the geometry and the id of every structure."""
    for start in range(0, len(split.rows), CHUNK):
        yield from _keys(split.source.structures(split.rows[start : start + CHUNK]))


def _keys(structures: Structures) -> Iterator[tuple[bytes, str]]:
    ends = np.cumsum(structures.sizes.cpu().numpy())[:-1]
    positions = np.split(structures.positions.double().cpu().numpy(), ends)
    numbers = np.split(structures.numbers.cpu().numpy(), ends)
    states = zip(
        structures.charge.tolist(), structures.multiplicity.tolist(), strict=True
    )
    cells, periodic = structures.cell.double().cpu().numpy(), structures.pbc.any(1)
    for i, (name, state) in enumerate(zip(structures.ids, states, strict=True)):
        digest = hashlib.sha256(repr((state, structures.pbc[i].tolist())).encode())
        digest.update(np.sort(numbers[i]).tobytes())
        digest.update(_distances(positions[i]))
        if periodic[i]:  # the corners of a cell at the origin: its shape, however turned
            digest.update(_distances(np.vstack([np.zeros(3), cells[i]])))
        yield digest.digest(), name


def _distances(points: np.ndarray[Any, np.dtype[np.float64]]) -> bytes:
    """Return the sorted, rounded distances between points (n, 3) in Å."""
    steps = np.rint(pdist(points) / RESOLUTION + _OFF_THE_DECIMALS)
    return np.sort(steps.astype(np.int64)).tobytes()
