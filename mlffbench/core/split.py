"""Splits: which structures of a source play which role, and by what rule."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.labels import Labels
from mlffbench.core.roles import Role, ShiftKind, check_role, check_unique
from mlffbench.core.structures import Structures

Rows = NDArray[np.int64]
NO_TRAIN = "no split has the role train"
WITHOUT_TRAIN = (
    "there are no aligned energies and no distances from training, and modes that "
    "compare with training geometries are left out"
)
NO_CONTROL = "no split has the role id_test"
_LINES = 10_000


@dataclass(frozen=True, eq=False, kw_only=True)
class Index:
    """What a source holds, without positions or labels: one entry per molecule record.

    Attributes:
        keys: Name of each record in its file (HDF5 group, frame), n_records.
        groups: Molecule key of each record: records that share one are one molecule.
        smiles: Atom-mapped SMILES per record, empty where unknown.
        subsets: The file's own label of each record, empty where there is none.
        elements: Atomic numbers that occur in each record.
        n_atoms: Shape (n_records,), int64.
        charge: Shape (n_records,), int64, in e.
        multiplicity: Shape (n_records,), int64, 2S + 1.
        periodic: Shape (n_records,), bool: any periodic direction.
        record: Shape (n_structures,), int64: structure -> record.
        conformer: Shape (n_structures,), int64: which conformer of the record.
        remarks: What whoever uses the file should know of it, in sentences.
    """

    keys: Sequence[str]
    groups: Sequence[str]
    smiles: Sequence[str]
    subsets: Sequence[str]
    elements: Sequence[frozenset[int]]
    n_atoms: NDArray[np.int64]
    charge: NDArray[np.int64]
    multiplicity: NDArray[np.int64]
    periodic: NDArray[np.bool_]
    record: Rows
    conformer: Rows
    remarks: Sequence[str] = ()

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return len(self.record)

    def ids(self, rows: Rows) -> list[str]:
        """Return the stable names ``key/conformer`` of structures."""
        return list(self.names(rows))

    def names(self, rows: Rows) -> Iterator[str]:
        """Yield the same one by one: of millions they fill the memory."""
        for row in rows:
            yield f"{self.keys[self.record[row]]}/{self.conformer[row]}"

    def rows_of(self, records: Sequence[int]) -> Rows:
        """Return every structure of some records, in file order."""
        return np.flatnonzero(np.isin(self.record, list(records)))


class Source(Protocol):
    """A file of labelled structures, read piece by piece.

    Structures and labels are read by separate calls, so that whoever predicts never holds
    a label.
    """

    @property
    def index(self) -> Index:
        """What the file holds."""
        ...

    @property
    def level_of_theory(self) -> str:
        """Level of theory of the labels."""
        ...

    @property
    def sha256(self) -> str:
        """Checksum of the file."""
        ...

    def structures(self, rows: Rows) -> Structures:
        """Return structures by row of the index, float64."""
        ...

    def labels(self, rows: Rows) -> Labels:
        """Return reference labels by row of the index, float64."""
        ...


@dataclass(frozen=True, slots=True)
class Shift:
    """How a split differs from training.

    Attributes:
        kind: Which of the shifts.
        rule: The rule in words.
    """

    kind: ShiftKind
    rule: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """Some structures of a source in one role.

    Attributes:
        name: e.g. ``"ood_elements"``; the same name may appear once per role.
        role: ``train``, ``id_val``, ``id_test``, ``ood_val`` or ``ood_test``.
        source: Where the structures are read from.
        rows: Shape (n_structures,), int64 rows of the source's index.
        rule: How the structures were chosen, in words.
        shift: How an OOD split differs from training; None for the others.
        shares_molecules: Why molecules may also be in train (unseen conformers, say);
            empty means they may not.
        control: Name of the ID split its gap is measured against; empty for the first.
    """

    name: str
    role: Role
    source: Source
    rows: Rows
    rule: str
    shift: Shift | None = None
    shares_molecules: str = ""
    control: str = ""

    def __post_init__(self) -> None:
        check_role(self.name, self.role, has_shift=self.shift is not None)

    @property
    def ids(self) -> list[str]:
        """Stable names of the structures."""
        return self.source.index.ids(self.rows)

    @property
    def groups(self) -> list[str]:
        """Molecule key of each structure."""
        index = self.source.index
        return [index.groups[index.record[row]] for row in self.rows]

    @property
    def records(self) -> list[int]:
        """Records of the source that it has structures of, ascending."""
        n_of_each = np.bincount(self.source.index.record[self.rows])
        found: list[int] = np.flatnonzero(n_of_each).tolist()
        return found

    @property
    def molecules(self) -> set[str]:
        """Keys of its molecules."""
        groups = self.source.index.groups
        return {groups[record] for record in self.records}

    @cached_property
    def sha256(self) -> str:
        """Checksum of the ids, which identifies the split."""
        return checksum_of(self.source.index.names(self.rows))

    @property
    def structures(self) -> Structures:
        """All structures, float64."""
        return self.source.structures(self.rows)

    @property
    def reference(self) -> Labels:
        """All reference labels, float64."""
        return self.source.labels(self.rows)


def check_splits(splits: Sequence[Split]) -> None:
    """Check that no test or validation structure was trained on.

    Args:
        splits: All splits of a suite.

    Raises:
        DataError: Two splits of the same name and role; a molecule in both halves of a
            split; a structure or, unless the split says why, a molecule of a split that
            is also in train.
    """
    check_unique(splits)
    trained = [split for split in splits if split.role == "train"]
    train_groups = {name for split in trained for name in split.molecules}
    _check_halves(splits)
    for split in splits:
        if split.role == "train":
            continue
        shared = _names_in_both(split, trained)
        if shared:
            msg = f"{len(shared)} structures of split {split.name!r} are in train, e.g. "
            raise DataError(msg + repr(min(shared)))
        molecules = split.molecules & train_groups
        if molecules and not split.shares_molecules:
            msg = (
                f"{len(molecules)} molecules of split {split.name!r} are in train, e.g. "
                f"{min(molecules)!r}; if that is meant, say why in shares_molecules"
            )
            raise DataError(msg)


def _names_in_both(split: Split, trained: Sequence[Split]) -> set[str]:
    """Return the structures of a split that are in train, files of one content alike.

    Names are made only of records that both sides have: of millions they fill the memory.
    """
    same = [one for one in trained if one.source.sha256 == split.source.sha256]
    common = _keys_of(split) & {key for one in same for key in _keys_of(one)}
    if not common:
        return set()
    own = set(_names_of(split, common))
    return {name for one in same for name in _names_of(one, common) if name in own}


def _keys_of(split: Split) -> set[str]:
    keys = split.source.index.keys
    return {keys[record] for record in split.records}


def _names_of(split: Split, keys: set[str]) -> Iterator[str]:
    """Yield the names of the structures whose records have certain keys."""
    index = split.source.index
    wanted = np.array([key in keys for key in index.keys], dtype=np.bool_)
    yield from index.names(split.rows[wanted[index.record[split.rows]]])


def checksum_of(lines: Iterable[str]) -> str:
    """Return the sha256 of some lines, of which few are held at once."""
    digest, left, separator = hashlib.sha256(), iter(lines), ""
    while piece := list(islice(left, _LINES)):
        digest.update((separator + "\n".join(piece)).encode())
        separator = "\n"
    return digest.hexdigest()


def remarks_on(splits: Sequence[Split]) -> tuple[str, ...]:
    """Return what whoever uses the splits should know, in sentences.

    These are the remarks on their files, splits whose declared shift is not there, labels
    of another level of theory than those of train, and what cannot be had without train.
    """
    said = dict.fromkeys(
        remark for split in splits for remark in split.source.index.remarks
    )
    for split in splits:
        index = split.source.index
        charges = index.charge[index.record[split.rows]]
        if split.shift and split.shift.kind == "charge" and not charges.any():
            said[
                f"split {split.name!r} is declared shift: charge, but none of its "
                f"{len(split.rows)} structures is charged: check how the file says it"
            ] = None
    return (*said, *_mixed_levels(splits), *_absent(splits))


def _mixed_levels(splits: Sequence[Split]) -> list[str]:
    """Name the splits whose labels are of another level of theory than those of train."""
    trained = dict.fromkeys(one.source.level_of_theory for one in splits if _trains(one))
    other: dict[str, list[str]] = {}
    for split in splits:
        if trained and split.source.level_of_theory not in trained:
            other.setdefault(split.source.level_of_theory, []).append(repr(split.name))
    levels = ", ".join(trained)
    return [
        f"labels of {', '.join(dict.fromkeys(names))} are of the level of theory "
        f"{level}, those of train of {levels}: errors and aligned energies hold the "
        "difference"
        for level, names in other.items()
    ]


def _absent(splits: Sequence[Split]) -> list[str]:
    """Say what has no number where there is no training split, or no ID split."""
    said = []
    if not any(_trains(split) for split in splits):
        said.append(f"{NO_TRAIN}: {WITHOUT_TRAIN}")
    roles = [split.role[:3] for split in splits]
    if "ood" in roles and "id_" not in roles:
        said.append(f"{NO_CONTROL}: there is no gap to ID")
    return said


def _trains(split: Split) -> bool:
    return split.role == "train"


def _check_halves(splits: Sequence[Split]) -> None:
    """Tuning on the val half may not see a molecule of the test half."""
    tuned: dict[str, set[str]] = {}
    for split in splits:
        if split.role.endswith("val"):
            tuned.setdefault(split.name, set()).update(split.molecules)
    for split in splits:
        shared = split.molecules & tuned.get(split.name, set())
        if split.role.endswith("test") and shared:
            msg = (
                f"{len(shared)} molecules of split {split.name!r} are in its val and in "
                f"its test half, e.g. {min(shared)!r}"
            )
            raise DataError(msg)
