"""Npz files written piece by piece, byte for byte what numpy writes at once."""

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mlffbench.core.files import told_if_full, whole_file

_BUFFER = 1 << 22


@dataclass(slots=True)
class _Column:
    """An array that grows along its first axis: raw bytes, or words a line each."""

    path: Path
    file: BinaryIO
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    n: int = 0
    width: int = 1

    def append(self, values: NDArray[Any] | Sequence[str]) -> None:
        """Write a piece."""
        if isinstance(values, np.ndarray):
            self.shape = values.shape[1:]
            content = np.ascontiguousarray(values, dtype=self.dtype)
            self.file.write(content.tobytes())
        else:
            self.width = max([self.width, *map(len, values)])
            self.file.write(json.dumps(list(values)).encode() + b"\n")
        self.n += len(values)

    def copy_to(self, target: Any) -> None:
        """Write the whole array as an npy file."""
        self.file.close()
        words = self.dtype.kind == "U"
        dtype = np.dtype(f"<U{self.width}") if words else self.dtype
        header = {
            "descr": npy.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": (self.n, *self.shape),
        }
        npy.write_array_header_1_0(target, header)
        with self.path.open("rb") as source:
            if words:
                for line in source:
                    target.write(np.asarray(json.loads(line), dtype=dtype).tobytes())
            else:
                shutil.copyfileobj(source, target, _BUFFER)


@dataclass(frozen=True, slots=True)
class NpzStream:
    """The arrays of an npz file that grow together."""

    path: Path
    columns: Mapping[str, _Column]

    def append(self, **pieces: NDArray[Any] | Sequence[str]) -> None:
        """Write a piece of each of some arrays, in the order of the whole.

        Raises:
            StoreError: The disk is full.
        """
        with told_if_full(self.path):
            for name, values in pieces.items():
                self.columns[name].append(values)

    def finish(self) -> None:
        """Write the file.

        Raises:
            StoreError: The disk is full; nothing is left.
        """
        with (
            whole_file(self.path) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
        ):
            for name, column in self.columns.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    column.copy_to(member)


@contextmanager
def npz_stream(
    path: Path, scratch: Path, dtypes: Mapping[str, np.dtype[Any] | type]
) -> Iterator[NpzStream]:
    """Open an npz file that is there, whole, at the end of the block.

    Args:
        path: The file.
        scratch: Folder for what is not yet in it.
        dtypes: Name of each array, in order -> its type; words have the type ``str``.

    Raises:
        StoreError: The disk is full; nothing is left.
    """
    with ExitStack() as stack:
        columns: dict[str, _Column] = {}
        for name, dtype in dtypes.items():
            spool = scratch / f".{path.stem}-{name}.spool"
            with told_if_full(path):
                file = spool.open("wb")
            stack.callback(_drop, spool, file)
            columns[name] = _Column(spool, file, np.dtype(dtype), ())
        stream = NpzStream(path, columns)
        yield stream
        stream.finish()


def _drop(path: Path, file: BinaryIO) -> None:
    with suppress(OSError):  # what is still to be written to a full disk
        file.close()
    with suppress(OSError):
        path.unlink(missing_ok=True)
