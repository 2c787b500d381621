"""Arrays of an npz file, mapped where they lie instead of loaded."""

import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.guards import caps
from mlffbench.core.guards.archives import ARCHIVE_FAULTS
from mlffbench.core.guards.sizes import check_array, shown

_LOCAL_HEADER = 30
"""Bytes before the name in the header that a zip file repeats before each member."""
_CHUNK = 1 << 20


def member_names(path: Path) -> frozenset[str]:
    """Return the names of the arrays in a file.

    Raises:
        DataError: The file is truncated or no zip file.
    """
    with _in_one_sentence(path, "it"), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name, count in Counter(names).items():
            if count > 1 or len(name) > caps.LONGEST_NAME:
                msg = (
                    f"{path} has the array {shown(name)!r} twice, or its name is endless"
                )
                raise DataError(msg + "; expected each once: save the file again")
        return frozenset(name.removesuffix(".npy") for name in names)


def open_array(path: Path, name: str) -> NDArray[Any]:
    """Return an array of a file without loading it.

    A stored member is mapped where it lies. A compressed one is unpacked into a temporary
    file, gone when the array is, and mapped there.

    Args:
        path: The file.
        name: Name of the array.

    Raises:
        DataError: The file is damaged, has no such array, or it holds Python objects.
    """
    with _in_one_sentence(path, f"array {name!r}"), zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
        with archive.open(info) as stream:
            shape, fortran, dtype, n_header = _header(stream, path, name)
            where = f"{path}, array {shown(name)!r}"
            there = info.file_size - n_header
            check_array(shape, dtype.itemsize, there, info.compress_size, where)
            if 0 in shape or dtype.kind in "SU":
                count = int(np.prod(shape))
                raw = stream.read(count * dtype.itemsize)
                _read_to_the_end(stream)
                return np.frombuffer(raw, dtype, count).reshape(shape)
            if info.compress_type == zipfile.ZIP_STORED:
                offset = _data_offset(path, info) + n_header
                _read_to_the_end(stream)
                return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
            with tempfile.TemporaryFile(prefix="mlffbench-") as unpacked:
                n_bytes = _copy(stream, unpacked)
                if n_bytes != int(np.prod(shape)) * dtype.itemsize:
                    msg = f"it has {n_bytes} bytes, not those of shape {shape}"
                    raise ValueError(msg)
                mapped: NDArray[Any] = np.memmap(
                    cast("Any", unpacked), dtype, "r", 0, shape, "F" if fortran else "C"
                )
                return mapped


def _header(
    stream: IO[bytes], path: Path, name: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, Fortran order, type and length of the header of an array."""
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream, max_header_size=caps.LONGEST_HEADER)
    if dtype.hasobject:
        msg = f"{path}, array {name!r} holds pickled Python objects, which are never "
        raise DataError(msg + "read; expected plain numbers: save the array as numbers")
    return shape, fortran, dtype, stream.tell()


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Return where the bytes of a stored member begin."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
    n_name = int.from_bytes(header[26:28], "little")
    n_extra = int.from_bytes(header[28:30], "little")
    return info.header_offset + _LOCAL_HEADER + n_name + n_extra


def _read_to_the_end(stream: IO[bytes]) -> None:
    """Read what is left: at its end the checksum of a member is compared."""
    while stream.read(_CHUNK):
        pass


def _copy(source: IO[bytes], target: IO[bytes]) -> int:
    n_bytes = 0
    while chunk := source.read(_CHUNK):
        n_bytes += target.write(chunk)
    target.flush()
    return n_bytes


@contextmanager
def _in_one_sentence(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except ARCHIVE_FAULTS as error:
        reason = (str(error).strip("'\"") or type(error).__name__).splitlines()[0]
        msg = (
            f"{path}: {what} cannot be read ({reason}); expected an undamaged npz file: "
        )
        raise DataError(msg + "fetch or copy it again") from error
