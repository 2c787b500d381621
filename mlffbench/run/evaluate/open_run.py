"""A finished run read a piece at a time, so that what is scored need not be held."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.guards.archives import ARCHIVE_FAULTS, check_members
from mlffbench.core.guards.sizes import size_of
from mlffbench.metrics.molecules import Molecules
from mlffbench.run.evaluate.stored import (
    OF_ATOMS,
    StoredSplit,
    assemble_split,
    mismatched,
)
from mlffbench.run.folder import RunFolder, limit_of, unreadable
from mlffbench.run.shards.batching import stretches
from mlffbench.run.shards.npz_rows import NpzRows, npz_rows
from mlffbench.run.shards.table_rows import (
    TableRows,
    read_numbers,
    read_words,
    table_rows,
)

Rows = NDArray[np.int64]
_TABLE = "predictions.parquet"
_ARRAYS = {
    "forces": ("forces",),
    "reference": ("forces", "energy"),
    "structures": ("positions", "numbers", "cell", "pbc", "multiplicity", "smiles"),
}
_FAULTS = (DataError, *ARCHIVE_FAULTS, AttributeError, pa.ArrowException)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class OpenSplit:
    """Where a split lies in the files of its run, and whose structures it holds.

    Attributes:
        manifest: Its entry in ``run.json``.
        start: Its first row of the table.
        atoms: Shape (n + 1,): first atom of each of its structures, behind the last one.
        molecules: The molecules of its structures.
    """

    manifest: dict[str, Any]
    start: int
    atoms: Rows
    molecules: Molecules

    @property
    def n_structures(self) -> int:
        """Structures in it."""
        return len(self.atoms) - 1

    @property
    def spans(self) -> tuple[Rows, Rows]:
        """Per molecule, its first structure and its last."""
        index = self.molecules.index
        first = np.full(len(self.molecules.keys), len(index))
        last = np.full(len(self.molecules.keys), -1)
        np.minimum.at(first, index, np.arange(len(index)))
        np.maximum.at(last, index, np.arange(len(index)))
        return first, last

    def cuts(self, most: int) -> Iterator[tuple[int, int]]:
        """Yield first and behind the last structure of each piece.

        Pieces end where a molecule does, where that can be.

        Args:
            most: Atoms of a piece, unless a structure is larger.
        """
        if not self.n_structures:
            return
        _, last = self.spans
        furthest = np.maximum.accumulate(last[self.molecules.index])
        ends = np.flatnonzero(furthest == np.arange(len(furthest))) + 1
        bounds = np.concatenate([[0], ends])
        for first, behind in stretches(np.diff(self.atoms[bounds]), most):
            start, stop = int(bounds[first]), int(bounds[behind])
            sizes = np.diff(self.atoms[start : stop + 1])
            for low, high in stretches(sizes, most):
                yield start + low, start + high


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class OpenRun:
    """A finished run whose files are read as they are needed.

    Attributes:
        folder: Where it lies.
        manifest: Its ``run.json``.
        splits: Its splits, in order, train among them.
    """

    folder: RunFolder
    manifest: dict[str, Any]
    splits: Sequence[OpenSplit]

    @classmethod
    def open(cls, folder: RunFolder) -> Self:
        """Return the run in a folder; its files are what was written.

        Raises:
            StoreError: It has not finished, or a file is missing or broken.
        """
        manifest = folder.read_finished("run")
        with _told(folder.path / _TABLE):
            size_of(folder.path / _TABLE)
            sizes = read_numbers(folder.path / _TABLE, "n_atoms").astype(np.int64)
            words = {
                name: read_words(folder.path / _TABLE, name)
                for name in ("split", "role", "molecule")
            }
        for name in _ARRAYS:
            _check_bytes(folder.path / f"{name}.npz")
        try:
            if (sizes < 0).any():
                raise ValueError("a structure of fewer than no atoms")
            with _opened(folder) as (_, arrays):
                _check_lengths(arrays, len(sizes), int(sizes.sum()))
            splits = _find_splits(manifest["splits"], sizes, words)
        except _FAULTS as error:
            raise mismatched(folder, error) from error
        return cls(folder=folder, manifest=manifest, splits=splits)

    def pieces(
        self, split: OpenSplit, cuts: Sequence[tuple[int, int]]
    ) -> Iterator[StoredSplit]:
        """Yield some stretches of a split, each as a split of its own.

        Args:
            split: One of this run.
            cuts: First and behind the last structure of each, ascending.

        Raises:
            StoreError: A file is missing or broken.
        """
        with _opened(self.folder) as (table, arrays):
            for start, stop in cuts:
                yield self._piece(split, start, stop, table, arrays)

    def whole(self, split: OpenSplit) -> StoredSplit:
        """Return a split as a whole.

        Raises:
            StoreError: A file is missing or broken.
        """
        (found,) = self.pieces(split, [(0, split.n_structures)])
        return found

    def provenance_of(self, split: OpenSplit) -> dict[str, str]:
        """Return what made the numbers of a split, flat."""
        manifest = self.manifest
        git = manifest.get("git") or {}
        settings = manifest["mode"]["settings"].items()
        return {
            "device": str(manifest["hardware"]["device"]),
            "dtype": str(manifest["dtype"]),
            **limit_of(manifest),
            **{name: str(version) for name, version in manifest["versions"].items()},
            "git_commit": str(git.get("commit", "")),
            "git_dirty": str(git.get("dirty", "")),
            "weights_sha256": str(manifest["model"]["weights_sha256"]),
            "source_sha256": str(split.manifest["source_sha256"]),
            "level_of_theory": str(split.manifest["level_of_theory"]),
            "started": str(manifest["started"]),
            "sees": str(manifest["mode"]["sees"]),
            **{f"setting_{name}": str(value) for name, value in settings},
        }

    def _piece(
        self,
        split: OpenSplit,
        start: int,
        stop: int,
        table: TableRows,
        arrays: dict[str, NpzRows],
    ) -> StoredSplit:
        atoms = split.atoms[start : stop + 1]
        spans = (
            (split.start + start, split.start + stop),
            (int(atoms[0]), int(atoms[-1])),
        )

        def read(file: str, name: str) -> Any:
            with _told(self.folder.path / f"{file}.npz"):
                return arrays[file].read(name, *spans[name in OF_ATOMS])

        with _told(self.folder.path / _TABLE):
            rows = table.read(*spans[0])
        try:
            rows[["status", "reason"]]  # a table without them is none of ours
            return assemble_split(
                split.manifest, rows, read, self.manifest["job"]["model"]
            )
        except (DataError, KeyError, TypeError, ValueError) as error:
            raise mismatched(self.folder, error) from error


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in one sentence that a file is missing or broken.

    Raises:
        StoreError: It is.
    """
    try:
        yield
    except _FAULTS as error:
        raise unreadable(path, error, "repeat the run with --overwrite") from error


@contextmanager
def _opened(folder: RunFolder) -> Iterator[tuple[TableRows, dict[str, NpzRows]]]:
    """Open the files of a run for the length of a block."""
    with ExitStack() as stack:
        with _told(folder.path / _TABLE):
            table = stack.enter_context(table_rows(folder.path / _TABLE))
        arrays = {}
        for name in _ARRAYS:
            with _told(folder.path / f"{name}.npz"):
                arrays[name] = stack.enter_context(npz_rows(folder.path / f"{name}.npz"))
        yield table, arrays


def _check_bytes(path: Path) -> None:
    """Check that the bytes of an archive are those that were stored."""
    with _told(path):
        size_of(path)
        with path.open("rb") as content:
            check_members(content)


def _check_lengths(arrays: dict[str, NpzRows], n: int, n_atoms: int) -> None:
    """Check that all arrays are of as many structures, or atoms, as the table.

    Raises:
        ValueError: They are not.
    """
    for file, names in _ARRAYS.items():
        for name in names:
            found, expected = arrays[file].length(name), n_atoms
            if name not in OF_ATOMS:
                expected = n
            if found != expected:
                msg = f"{expected} rows in the table, {found} of {name} in {file}.npz"
                raise ValueError(msg)


def _find_splits(
    entries: Sequence[dict[str, Any]],
    sizes: Rows,
    words: dict[str, tuple[Rows, Sequence[str]]],
) -> list[OpenSplit]:
    """Return where each split lies: one after another, as they were written.

    Raises:
        ValueError: They do not.
    """
    ends = np.concatenate([[0], np.cumsum(sizes)])
    codes, keys = words["molecule"]
    place, found = 0, []
    for entry in entries:
        n = int(entry["n_chosen"])
        stop = place + n
        own = all(
            (np.asarray(words[what][0][place:stop]) == _code(words[what][1], said)).all()
            for what, said in (("split", entry["name"]), ("role", entry["role"]))
        )
        if stop > len(sizes) or not own:
            msg = f"not {n} rows of split {entry['name']}"
            raise ValueError(msg)
        found.append(
            OpenSplit(
                manifest=entry,
                start=place,
                atoms=ends[place : stop + 1],
                molecules=_molecules(codes[place:stop], keys),
            )
        )
        place = stop
    if place != len(sizes):
        msg = f"{len(sizes)} rows in the table, {place} in run.json"
        raise ValueError(msg)
    return found


def _code(words: Sequence[str], word: str) -> int:
    return list(words).index(word) if word in words else -1


def _molecules(codes: Rows, keys: Sequence[str]) -> Molecules:
    """Return the molecules of some structures from the number of each one's word."""
    present, place = np.unique(codes, return_inverse=True)
    names = [keys[code] for code in present.tolist()]
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    return Molecules(tuple(names[place] for place in order), rank[place])
