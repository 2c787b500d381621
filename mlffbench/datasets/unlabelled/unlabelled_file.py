"""From a path to structures without labels, whatever kind of file or folder it is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from mlffbench.core.errors import DataError
from mlffbench.core.guards.plain import counted
from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows, Source
from mlffbench.core.structures import Structures
from mlffbench.datasets.files.described import read_description
from mlffbench.datasets.files.open import (
    DESCRIPTIONS,
    SUFFIXES,
    UnknownKindError,
    open_source,
)
from mlffbench.datasets.index.joined import JoinedSource
from mlffbench.datasets.unlabelled.held_source import NO_LABELS, nothing_at
from mlffbench.datasets.unlabelled.rdkit_molecules import (
    read_sdf,
    read_smiles_list,
    told_shared,
)

SMILES_SUFFIXES = (".smi", ".smiles")
SDF_SUFFIXES = (".sdf", ".sd", ".mol")
_READ = {*SUFFIXES, *SMILES_SUFFIXES, *SDF_SUFFIXES, *DESCRIPTIONS} - {".json", ".csv"}
"""Suffixes of the files of a folder that are read; a table needs its description."""
_LOOKED_AT = 20
"""Structures that tell whether a file has labels."""


class Unlabelled:
    """A source as it is for whoever has no labels: those it holds are not shown.

    Args:
        source: Any source.
        name: What messages call it.
        remarks: What else whoever uses it should know.
    """

    level_of_theory = NO_LABELS

    def __init__(self, source: Source, name: str, remarks: Sequence[str] = ()) -> None:
        self._source, self.name = source, name
        self._more = tuple(remarks)

    @cached_property
    def index(self) -> Index:
        """What it holds; names that structures share are told apart by a number."""
        index = self._source.index
        rows = np.arange(index.n_structures)
        if len(set(index.ids(rows))) == len(rows):
            return index
        keys, twice = _told_apart(index)
        remarks = (*index.remarks, *told_shared(self.name, twice))
        return replace(index, keys=keys, remarks=remarks)

    @property
    def sha256(self) -> str:
        """Checksum of the file."""
        return self._source.sha256

    @cached_property
    def has_labels(self) -> bool:
        """Whether the file holds labels, as far as its first structures tell."""
        rows = np.arange(min(_LOOKED_AT, self._source.index.n_structures))
        return self._source.labels(rows).has_any

    @property
    def remarks(self) -> tuple[str, ...]:
        """What whoever uses it should know, in sentences."""
        told = (
            f"{self.name} holds labels; they are ignored (mlffbench run measures errors)"
        )
        return (*self.index.remarks, *self._more, *[told] * self.has_labels)

    def structures(self, rows: Rows) -> Structures:
        """Return structures by row of the index, float64, in Å."""
        found = self._source.structures(rows)
        return replace(found, ids=tuple(self.index.ids(np.asarray(rows))))

    def labels(self, rows: Rows) -> Labels:
        """Return NaN for each: labels of the file are not shown."""
        return nothing_at(self.index, np.asarray(rows))


def open_unlabelled(path: Path | str, *, conformers: int = 1) -> Unlabelled:
    """Return the structures of a file or folder; labels it may hold are not shown.

    Args:
        path: What `open_source` reads, an SDF file, a ``.smi`` file with a SMILES and a
            name per line, or a folder of such files.
        conformers: Per line of a SMILES file at most.

    Raises:
        DataError: There is nothing, it holds no structure, or it cannot be read.
        MissingExtraError: SMILES or SDF are to be read, and rdkit is not installed.
    """
    path = Path(path)
    if path.is_dir():
        found = _open_folder(path, conformers)
    else:
        found = Unlabelled(_open_file(path, conformers), str(path))
    if not found.index.n_structures:
        msg = f"{path} holds no structure; expected at least one"
        raise DataError(msg)
    return found


def _told_apart(index: Index) -> tuple[list[str], list[str]]:
    """Return keys with which every structure has its own name, and those that had not."""
    rows = np.arange(index.n_structures)
    often = {name for name, n in Counter(index.ids(rows)).items() if n > 1}
    twice = {name.rpartition("/")[0] for name in often}
    keys, seen, taken = list(index.keys), Counter[str](), {*index.keys}
    for place, key in enumerate(keys):
        while key in twice and keys[place] in taken:
            seen[key] += 1
            keys[place] = f"{key}-{seen[key]}"
        taken.add(keys[place])
    return keys, sorted(twice)


def _open_file(path: Path, conformers: int) -> Source:
    suffix = path.suffix.lower()
    if suffix in SMILES_SUFFIXES:
        return read_smiles_list(path, conformers=conformers)
    if suffix in SDF_SUFFIXES:
        return read_sdf(path)
    try:
        return open_source(path, forces_required=False)
    except UnknownKindError as error:
        msg = f"{error}; molecules without labels may also be .smi (a SMILES and a name "
        raise UnknownKindError(msg + "per line) or .sdf") from error


def _open_folder(folder: Path, conformers: int) -> Unlabelled:
    there = [p for p in sorted(folder.iterdir()) if p.is_file() and p.name[0] != "."]
    files = [path for path in there if path.suffix.lower() in _READ]
    if not files:
        msg = f"the folder {folder} holds no file that is read; expected one of "
        raise DataError(msg + ", ".join(sorted(_READ)))
    described = _described([p for p in files if p.suffix.lower() in DESCRIPTIONS])
    opened = [
        _open_file(path, conformers) for path in files if path.name not in described
    ]
    others = {path.name for path in there} - {path.name for path in files} - described
    more = f" and {counted(len(others) - 1, 'other file')}" if len(others) > 1 else ""
    told = f"{folder}: not read, being of another kind: {min(others, default='')}{more}"
    return Unlabelled(JoinedSource(opened), str(folder), [told] * bool(others))


def _described(descriptions: Sequence[Path]) -> set[str]:
    """Return the names of the data files that a description beside them is about."""
    return {Path(read_description(path).path).name for path in descriptions}
