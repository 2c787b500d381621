"""Checksums: what a file is, and whether it is the one it has to be."""

import hashlib
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
from pooch.hashes import ALGORITHMS_AVAILABLE

from mlffbench.core.errors import DataError
from mlffbench.core.guards.archives import ARCHIVE_FAULTS, damaged_member
from mlffbench.datasets.download.claims import RemoteFile
from mlffbench.datasets.download.lockfile import NAME, FileLock
from mlffbench.datasets.download.watcher import Watcher
from mlffbench.datasets.download.xyz_header import atoms_of_first_frame
from mlffbench.datasets.survey.hdf5_guard import check_hdf5

_CHUNK = 1 << 22


def digests_of(path: Path, algorithms: Iterable[str], watcher: Watcher) -> dict[str, str]:
    """Return hex digests of a file by algorithm, from one pass over it.

    Raises:
        DataError: It cannot be read, or an algorithm is unknown.
    """
    makers = {"sha256": hashlib.sha256, **ALGORITHMS_AVAILABLE}
    unknown = sorted(set(algorithms) - makers.keys())
    if unknown:
        msg = f"unknown checksum algorithm {unknown[0]!r}; known: {', '.join(makers)}"
        raise DataError(msg)
    hashes = {name: makers[name]() for name in algorithms}
    try:
        name = path.name.removesuffix(".part")
        watcher.begin(f"checking {name}", path.stat().st_size, 0)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                for value in hashes.values():
                    value.update(chunk)
                watcher.advance(len(chunk))
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise DataError(msg) from error
    return {name: value.hexdigest() for name, value in hashes.items()}


def fault_of(
    path: Path, file: RemoteFile, noted: FileLock | None, watcher: Watcher
) -> tuple[str, FileLock]:
    """Return what is wrong with a file, empty if nothing is, and what it is.

    A file of the wrong size is not read.

    Args:
        path: The bytes.
        file: What they should be: size and checksum, as published.
        noted: What they were when first seen, if nobody published a checksum.
        watcher: Who is told how far the check is.
    """
    algorithm, _, claimed = (file.checksum or "").partition(":")
    size = path.stat().st_size
    found = FileLock(size=size, sha256="", trusted="", origin="", date="")
    if file.size is not None and size != file.size:
        return f"has {size:,} bytes instead of {file.size:,} ({file.claim})", found
    if not claimed and noted is not None and size != noted.size:
        fault = f"has {size:,} bytes instead of {noted.size:,}, those of the first copy"
        return f"{fault} ({noted.date}, noted in {NAME})", found
    digests = digests_of(path, {"sha256", algorithm} - {""}, watcher)
    found = found.model_copy(update={"sha256": digests["sha256"]})
    if claimed and digests[algorithm] != claimed.lower():
        fault = (
            f"has {algorithm} {digests[algorithm]} instead of {claimed} ({file.claim})"
        )
        return fault, found
    if not claimed and noted is not None and found.sha256 != noted.sha256:
        fault = (
            f"has sha256 {found.sha256} instead of {noted.sha256}, that of the first "
            f"copy ({noted.date}, noted in {NAME})"
        )
        return fault, found
    return "", found


def fault_inside(path: Path) -> str:
    """Return what is wrong with a file that nobody published a checksum of.

    It is opened as far as its kind can tell: every checksum inside an npz file, the
    structure of an HDF5 file, the first frame of an XYZ file. Empty where nothing is.

    Args:
        path: A file; its suffix says its kind.

    Raises:
        DataError: It is HDF5 that no reader would open.
    """
    if path.stat().st_size == 0:
        return "is empty"
    look = _LOOKS.get(path.suffix.lower())
    try:
        return look(path) if look else ""
    except ARCHIVE_FAULTS as error:
        return f"cannot be opened ({str(error).partition(chr(10))[0] or 'damaged'})"


def _fault_of_npz(path: Path) -> str:
    if not zipfile.is_zipfile(path):
        return "is cut short, or no npz file"
    damaged = damaged_member(path)
    return f"is damaged: array {damaged!r}" if damaged else ""


def _fault_of_hdf5(path: Path) -> str:
    check_hdf5(path)
    with h5py.File(path, "r") as opened:
        return "" if len(opened) else "holds nothing"


def _fault_of_xyz(path: Path) -> str:
    return "" if atoms_of_first_frame(path) else "holds no frame of an XYZ file"


_LOOKS: dict[str, Callable[[Path], str]] = {
    ".npz": _fault_of_npz,
    ".h5": _fault_of_hdf5,
    ".hdf5": _fault_of_hdf5,
    ".xyz": _fault_of_xyz,
    ".extxyz": _fault_of_xyz,
}
"""Suffix -> what opens such a file."""
