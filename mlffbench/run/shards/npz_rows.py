"""Npz files read some rows at a time: what is not asked for is never held."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mlffbench.core.guards.sizes import check_array

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@dataclass(frozen=True, slots=True)
class _Column:
    """An array in the file, and where its first row begins."""

    file: IO[bytes]
    begin: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, file: IO[bytes], packed: int, n_bytes: int, where: str) -> "_Column":
        """Return the array of an opened member.

        Raises:
            ValueError: It is no array of plain values, row after row.
            DataError: It claims more than the file holds.
        """
        version = npy.read_magic(file)
        if version not in _HEADERS:
            msg = f"{where} is of an unknown version of arrays, {version}"
            raise ValueError(msg)
        shape, by_columns, dtype = _HEADERS[version](file)
        if not shape or (by_columns and len(shape) > 1) or dtype.hasobject:
            msg = f"{where} has no rows"
            raise ValueError(msg)
        begin = file.tell()
        check_array(shape, dtype.itemsize, n_bytes - begin, packed, where)
        return cls(file, begin, dtype, shape)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return some rows.

        Raises:
            EOFError: The file ends before them.
        """
        found = np.empty((stop - start, *self.shape[1:]), dtype=self.dtype)
        raw = found.reshape(-1).view(np.uint8)
        width = raw.nbytes // max(stop - start, 1)
        self.file.seek(self.begin + start * width)
        if raw.nbytes and self.file.readinto(raw.data) != raw.nbytes:  # type: ignore[attr-defined]  # zipfile has it
            raise EOFError("the file ends early")
        return found


@dataclass(frozen=True, slots=True)
class NpzRows:
    """The arrays of an npz file; reading forwards is cheap, backwards is not."""

    archive: zipfile.ZipFile
    _columns: dict[str, _Column] = field(default_factory=dict)

    def length(self, name: str) -> int:
        """Return how many rows an array has.

        Raises:
            KeyError: There is no such array.
            ValueError: It has no rows.
            DataError: It claims more than the file holds.
        """
        return self._column(name).shape[0]

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return some rows of an array.

        Raises:
            KeyError: There is no such array.
            ValueError: It has no rows.
            DataError: It claims more than the file holds.
            EOFError: The file ends before these rows.
            BadZipFile: The bytes up to there are not those that were stored.
        """
        return self._column(name).read(start, stop)

    def _column(self, name: str) -> _Column:
        found = self._columns.get(name)
        if found is None:
            told = self.archive.getinfo(f"{name}.npy")
            file = self.archive.open(told)
            found = _Column.of(file, told.compress_size, told.file_size, name)
            self._columns[name] = found
        return found


@contextmanager
def npz_rows(path: Path) -> Iterator[NpzRows]:
    """Open an npz file for the length of a block.

    Args:
        path: The file.

    Raises:
        BadZipFile: It is no npz file.
        OSError: It cannot be opened.
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        yield NpzRows(archive)
