"""Placed datasets: numbers of an HDF5 file that are read where they lie.

A file of molecules has thousands of datasets of a few hundred bytes, and HDF5 takes far
longer to open one than to read it. What is stored in one stretch, without a filter, is
plain numbers: a walk notes where each begins, and nothing has to be opened again. What is
stored otherwise, or in more than one type, or in a file that has changed since, is not
placed, and is left to HDF5.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from h5py import h5t
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.split import Index, Rows

_WIDEST = 8
"""Bytes of a number."""
_Version = tuple[int, ...]


class Per(Enum):
    """How many numbers a dataset has."""

    CONFORMER = "one of a conformer"
    VECTOR = "three of every atom of a conformer"
    ATOM = "one of every atom of the record, whatever the conformer"


class Stored(Protocol):
    """A dataset of an open file."""

    @property
    def name(self) -> str:
        """Its name in its group."""
        ...

    @property
    def handle(self) -> Any:
        """h5py's low-level identifier."""
        ...

    @property
    def begin(self) -> int | None:
        """Byte of the file where it begins; None unless it lies there in one stretch."""
        ...


@dataclass(slots=True, eq=False)
class _Column:
    """The datasets of one name.

    Attributes:
        kind: HDF5's type of the first.
        dtype: The same for numpy.
        begins: Byte in the file at which the dataset of each record begins.
    """

    kind: Any
    dtype: np.dtype[Any]
    begins: list[int] = field(default_factory=list)


class PlaceBuilder:
    """Notes where the datasets of every record lie, in the order of the records.

    Args:
        path: The file, as it is before the walk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        told = path.stat()
        self._version, self._size = _version_of(told), told.st_size
        self._columns: dict[str, _Column] = {}
        self._other: set[str] = set()

    def add(self, datasets: Iterable[Stored]) -> None:
        """Note the datasets of the next record."""
        for dataset in datasets:
            begin = None if dataset.name in self._other else dataset.begin
            if begin is not None and begin >= self._size:
                begin = None  # HDF5 tells what is wrong with it
            kind = None if begin is None else dataset.handle.get_type()
            column = self._columns.get(dataset.name)
            if column is None and begin is not None:
                column = _Column(kind, dataset.handle.dtype)
                self._columns[dataset.name] = column
            if begin is None or column is None or column.kind != kind:
                self._other.add(dataset.name)
                continue
            column.begins.append(begin)

    def build(self) -> "Placed":
        """Return where everything lies that is placed."""
        columns = {
            name: (column.dtype, np.asarray(column.begins, dtype=np.int64))
            for name, column in self._columns.items()
            if name not in self._other
            and column.dtype.kind in "iuf"
            and column.dtype.itemsize <= _WIDEST
            and h5t.py_create(column.dtype) == column.kind  # no odd number of bits
        }
        return Placed(self._path, self._version, columns)


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where the datasets of a file lie.

    Attributes:
        path: The file.
        version: What makes it the same file.
        columns: By name, their type and the byte at which that of each record begins.
    """

    path: Path
    version: _Version
    columns: Mapping[str, tuple[np.dtype[Any], NDArray[np.int64]]]

    def read(
        self, index: Index, rows: Rows, wanted: Mapping[str, Per]
    ) -> list[NDArray[Any]] | None:
        """Return datasets of some structures, laid end to end, as they are stored.

        Args:
            index: Of the file.
            rows: Shape (n_structures,), rows of the index.
            wanted: Names of datasets, and how many numbers they have.

        Returns:
            One array per dataset; None where one is not placed, or the file changed.

        Raises:
            DataError: The file ends early, or cannot be read.
        """
        if not self.columns.keys() >= wanted.keys():
            return None
        record, conformer = index.record[rows], index.conformer[rows]
        sizes = index.n_atoms[record]
        shapes = {
            Per.CONFORMER: (conformer, np.ones_like(sizes)),
            Per.VECTOR: (conformer, 3 * sizes),
            Per.ATOM: (np.zeros_like(conformer), sizes),
        }
        try:
            with self.path.open("rb", buffering=0) as file:
                if _version_of(os.fstat(file.fileno())) != self.version:
                    return None
                return [
                    self._gathered(file, name, record, *shapes[per])
                    for name, per in wanted.items()
                ]
        except OSError as error:
            msg = f"{self.path} cannot be read: {error.strerror}; check the disk"
            raise DataError(msg) from error

    def _gathered(
        self, file: FileIO, name: str, record: Rows, conformer: Rows, width: Rows
    ) -> NDArray[Any]:
        """Return one dataset of some structures, each stretch of it read once.

        Args:
            file: The file.
            name: Of the dataset.
            record: Shape (n,), of each structure.
            conformer: Shape (n,), of each.
            width: Shape (n,), numbers of each.
        """
        dtype, begins = self.columns[name]
        order = np.lexsort((conformer, record))
        own, turn, n_each = record[order], conformer[order], width[order]
        is_first = np.ones(len(order), dtype=np.bool_)
        is_first[1:] = (np.diff(own) != 0) | (np.diff(turn) > 1)
        first = np.flatnonzero(is_first)
        last = np.append(first[1:], len(order))[: len(first)] - 1
        counts = (turn[last] - turn[first] + 1) * n_each[first]
        starts = np.cumsum(counts) - counts
        found = np.empty(int(counts.sum()), dtype=dtype)
        places = begins[own[first]] + turn[first] * n_each[first] * dtype.itemsize
        self._fill(file, found, counts * dtype.itemsize, places)
        run = np.cumsum(is_first) - 1
        begin = np.empty_like(width)
        begin[order] = starts[run] + (turn - turn[first][run]) * n_each
        wanted = np.cumsum(width) - width
        if len(found) == int(width.sum()) and np.array_equal(begin, wanted):
            return found
        return found[np.repeat(begin - wanted, width) + np.arange(int(width.sum()))]

    def _fill(
        self, file: FileIO, found: NDArray[Any], lengths: Rows, places: Rows
    ) -> None:
        """Read stretches of bytes into an array, one behind the other.

        Raises:
            DataError: The file ends before one of them does.
        """
        raw, at = found.view(np.uint8).data, 0
        for length, place in zip(lengths.tolist(), places.tolist(), strict=True):
            end = at + length
            file.seek(place)
            while at < end:
                n_read = file.readinto(raw[at:end])
                if not n_read:
                    msg = f"{self.path} ends early; expected an undamaged file: fetch or "
                    raise DataError(msg + "copy it again")
                at += n_read


def _version_of(told: os.stat_result) -> _Version:
    times = told.st_mtime_ns, told.st_ctime_ns  # a copying tool can put back the first
    return told.st_dev, told.st_ino, told.st_size, *times
