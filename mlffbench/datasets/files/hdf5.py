"""HDF5 files opened for reading: little memory, every fault in one sentence.

h5py's low-level calls are used on purpose: for files of many small groups they take half
the time of the high-level ones, and a bounded metadata cache keeps a walk over 20,000
groups from holding hundreds of MB.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5s, h5t
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.files import require_file
from mlffbench.datasets.survey.hdf5_guard import check_hdf5

_METADATA_CACHE_BYTES = 1 << 20
_NAMES_SHOWN = 10
_FAULTS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)
"""What h5py raises for damaged files; it has no exception of its own."""
_NUMBERS = (h5t.INTEGER, h5t.FLOAT)


@dataclass(frozen=True, slots=True)
class Hdf5Dataset:
    """One dataset of an open file.

    Attributes:
        name: Its name in its group.
        where: File, group and dataset, for messages.
        handle: h5py's low-level identifier.
    """

    name: str
    where: str
    handle: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape; nothing is read."""
        with _in_one_sentence(self.where):
            return tuple(self.handle.shape)

    @property
    def begin(self) -> int | None:
        """Byte of the file where it begins; None unless it lies there in one stretch.

        One that says to be stored in another number of bytes than its shape has is left
        to HDF5.
        """
        with _in_one_sentence(self.where):
            begin: int | None = self.handle.get_offset()
            n_bytes = math.prod(self.shape) * self.handle.dtype.itemsize
            return begin if self.handle.get_storage_size() == n_bytes else None

    @property
    def unit(self) -> str | None:
        """The text of its ``units`` attribute, None where there is none."""
        return self.attribute(b"units")

    def attribute(self, name: bytes) -> str | None:
        """Return an attribute as text, None where there is none."""
        with _in_one_sentence(self.where):
            if not h5a.exists(self.handle, name):
                return None
            attribute = h5a.open(self.handle, name)
            value = np.empty(attribute.shape, attribute.dtype)
            attribute.read(value)
            return _as_text(value)

    def numbers(self) -> NDArray[Any]:
        """Return all of it, as numbers.

        Raises:
            DataError: It cannot be read, or does not hold numbers.
        """
        return self._checked(h5s.ALL, h5s.ALL, self.shape)

    def flags(self) -> NDArray[Any]:
        """Return all of it, numbers or true and false.

        Raises:
            DataError: It cannot be read, or holds something else.
        """
        with _in_one_sentence(self.where):
            if self.handle.dtype.kind != "b" or not self.handle.shape:
                return self.numbers()
            value = np.empty(self.handle.shape, np.bool_)
            self.handle.read(h5s.ALL, h5s.ALL, value)
            return value

    def slice(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return the entries ``start`` to ``stop`` of its first axis, float64.

        Raises:
            DataError: They cannot be read, or are not numbers.
        """
        with _in_one_sentence(self.where):
            handle = self.handle
            if handle.get_type().get_class() not in _NUMBERS:
                msg = f"{self.where} holds {handle.dtype}; expected numbers"
                raise DataError(msg)
            whole = handle.shape
            shape = (stop - start, *whole[1:])
            value = np.empty(shape)
            memory = chosen = h5s.ALL
            if shape != whole:
                chosen = handle.get_space()
                chosen.select_hyperslab((start, *(0 for _ in shape[1:])), shape)
                memory = h5s.create_simple(shape)
            if value.size:
                handle.read(memory, chosen, value, h5t.NATIVE_DOUBLE)
            return value

    def text(self) -> str:
        """Return the first entry, or a scalar, as text; empty where there is no entry.

        Raises:
            DataError: It cannot be read, or does not hold text.
        """
        with _in_one_sentence(self.where):
            return _as_text(self._texts())

    def words(self) -> list[str]:
        """Return all entries as text.

        Raises:
            DataError: They cannot be read, or are not text.
        """
        with _in_one_sentence(self.where):
            entries = self._texts().reshape(-1)
            return [_as_text(np.asarray([entry])) for entry in entries]

    def _texts(self) -> NDArray[Any]:
        dtype = self.handle.dtype
        if dtype.kind not in "SO":
            msg = f"{self.where} holds {dtype}; expected text"
            raise DataError(msg)
        value = np.empty(self.handle.shape, dtype)
        self.handle.read(h5s.ALL, h5s.ALL, value)
        return value

    @property
    def holds_text(self) -> bool:
        """Whether its entries are text."""
        with _in_one_sentence(self.where):
            return self.handle.dtype.kind in "SO"

    def _checked(self, memory: Any, file: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        with _in_one_sentence(self.where):
            dtype = self.handle.dtype
            if dtype.kind not in "iuf":
                msg = f"{self.where} holds {dtype}; expected numbers"
                raise DataError(msg)
            value = np.empty(shape, dtype)
            if value.size:
                self.handle.read(memory, file, value)
            return value


@dataclass(frozen=True, slots=True)
class Hdf5Group:
    """One group of an open file.

    Attributes:
        where: File and group, for messages.
        handle: h5py's low-level identifier.
        opened: Its datasets that are open: what they unpacked last, they keep.
    """

    where: str
    handle: Any
    opened: dict[str, Hdf5Dataset] = field(default_factory=dict)

    def dataset(self, name: str) -> Hdf5Dataset:
        """Return a dataset of the group.

        Raises:
            DataError: There is none of that name; the message names what there is.
        """
        if name in self.opened:
            return self.opened[name]
        where = f"{self.where}, dataset {name!r}"
        with _in_one_sentence(where):
            try:
                handle = h5d.open(self.handle, name.encode())
            except KeyError as error:
                names = [entry.decode() for entry in self.handle]
                if name in names:
                    raise  # it is there, but broken
                found = ", ".join(names[:_NAMES_SHOWN]) or "nothing"
                found += " …" if len(names) > _NAMES_SHOWN else ""
                msg = f"{self.where} has no dataset {name!r}; it has: {found}"
                raise DataError(msg) from error
        self.opened[name] = Hdf5Dataset(name, where, handle)
        return self.opened[name]

    def has(self, name: str) -> bool:
        """Return whether the group has a member of that name."""
        with _in_one_sentence(self.where):
            return name.encode() in self.handle

    def inner(self, name: str) -> "Hdf5Group":
        """Return a group in the group.

        Raises:
            DataError: It is not a group, or cannot be opened.
        """
        where = f"{self.where}, group {name!r}"
        with _in_one_sentence(where):
            return Hdf5Group(where, h5g.open(self.handle, name.encode()))

    def attributes(self) -> dict[str, Any]:
        """Return its attributes that are text or numbers, by name."""
        found: dict[str, Any] = {}
        with _in_one_sentence(f"{self.where}, attributes"):
            for number in range(h5a.get_num_attrs(self.handle)):
                attribute = h5a.open(self.handle, index=number)
                if attribute.dtype.kind in "iufSO":
                    value = np.empty(attribute.shape, attribute.dtype)
                    attribute.read(value)
                    text = attribute.dtype.kind in "SO"
                    name = str(attribute.name, "utf-8")
                    found[name] = _as_text(value) if text else value
        return found

    def names(self) -> list[str]:
        """Return the names of its members, in the file's own (alphabetical) order."""
        with _in_one_sentence(self.where):
            return [str(name, "utf-8") for name in self.handle]


@dataclass(frozen=True, slots=True)
class Hdf5File:
    """A file open for reading.

    Attributes:
        path: Where it is.
        handle: The h5py file.
    """

    path: Path
    handle: Any

    def names(self) -> list[str]:
        """Return the names at the top level, in the file's own (alphabetical) order."""
        with _in_one_sentence(f"{self.path}"):
            # h5py hands over as bytes what is not UTF-8
            return [str(n, "utf-8") if isinstance(n, bytes) else n for n in self.handle]

    def has(self, name: str) -> bool:
        """Return whether the top level has a member of that name."""
        with _in_one_sentence(f"{self.path}"):
            return name in self.handle

    def attribute(self, name: str) -> str | None:
        """Return an attribute of the file as text, None where there is none."""
        with _in_one_sentence(f"{self.path}, attribute {name!r}"):
            if name not in self.handle.attrs:
                return None
            return _as_text(np.asarray(self.handle.attrs[name]))

    def is_group(self, name: str) -> bool:
        """Return whether there is a group of that name; what is broken is none."""
        with _in_one_sentence(f"{self.path}"):
            return self.handle.get(name, getclass=True) is h5py.Group

    def group(self, name: str) -> Hdf5Group:
        """Return a group of the top level.

        Raises:
            DataError: It is not a group, or cannot be opened.
        """
        where = f"{self.path}, group {name!r}"
        with _in_one_sentence(where):
            return Hdf5Group(where, h5g.open(self.handle.id, name.encode()))


@contextmanager
def open_hdf5(path: Path) -> Iterator[Hdf5File]:
    """Open a file for reading, for the length of a ``with`` block.

    Nothing stays open between blocks, so whoever holds only paths can be pickled, forked
    and shared by threads.

    Raises:
        DataError: The file is missing, truncated or not HDF5.
    """
    check_hdf5(require_file(path))
    try:
        handle = h5py.File(path, "r")
    except _FAULTS as error:
        msg = f"{path} cannot be opened as HDF5 ({_first_line(error)}); expected a "
        raise DataError(msg + "complete HDF5 file: fetch or copy it again") from error
    with handle:
        cache = handle.id.get_mdc_config()
        cache.set_initial_size = True
        cache.initial_size = cache.min_size = cache.max_size = _METADATA_CACHE_BYTES
        handle.id.set_mdc_config(cache)
        yield Hdf5File(path, handle)


@contextmanager
def _in_one_sentence(where: str) -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        msg = (
            f"{where} cannot be read ({_first_line(error)}); expected an undamaged file "
        )
        raise DataError(msg + "of a known layout: fetch or copy it again") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _as_text(value: NDArray[Any]) -> str:
    if value.size == 0:
        return ""
    first = value.reshape(-1)[0]
    if isinstance(first, bytes):
        return first.decode()
    if isinstance(first, str):
        return str(first)
    msg = f"expected text, found {first!r}"
    raise TypeError(msg)
