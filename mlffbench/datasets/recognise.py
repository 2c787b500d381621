"""What a file holds, by its content."""

import itertools
import zipfile
from pathlib import Path
from typing import Literal

from mlffbench.core.errors import DataError
from mlffbench.datasets.hdf5 import Hdf5File, Hdf5Group, open_hdf5

Kind = Literal["spice", "ani-1x", "transition1x", "modelforge", "npz", "xyz", "db"]
_HEAD = 4096
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
}
_GROUPS_LOOKED_AT = 5
"""A group may lack a field; the layout is that of any of the first few."""


def recognise(path: Path) -> Kind | None:
    """Return what a file holds, None where its content does not say.

    Args:
        path: A file that is there.

    Raises:
        DataError: It is a web page or packed; the message says what to do.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}; check the path"
        raise DataError(msg) from error
    _refuse(path, head)
    if head.startswith(_HDF5):
        return _hdf5_layout(path)
    if head.startswith(b"PK\x03\x04"):
        return _zip_content(path)
    if head.startswith(b"SQLite format 3\x00"):
        return "db"
    first = head.partition(b"\n")[0].strip()
    return "xyz" if first.isdigit() else None


def _refuse(path: Path, head: bytes) -> None:
    """Refuse what is often found in place of data."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        msg = f"{path} is a web page, not data: a server answered with a page instead of "
        raise DataError(msg + "the file; delete it and download it again")
    for magic, name in _PACKED.items():
        if head.startswith(magic):
            msg = f"{path} is packed ({name}); unpack it first, or let `mlffbench "
            raise DataError(msg + "download … --from` do it")


def _zip_content(path: Path) -> Kind | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return "npz"  # its reader says what is wrong
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    msg = f"{path} is a zip archive of {len(names)} files, e.g. {names[:1]}; unpack it "
    raise DataError(msg + "and name one data file in it")


def _hdf5_layout(path: Path) -> Kind:
    """Return the layout of an HDF5 file; SPICE's where none is recognised.

    The reader of the SPICE layout then says what is missing.
    """
    with open_hdf5(path) as file:
        if file.has("data") and not file.group("data").has("atomic_numbers"):
            return "transition1x"
        for name in itertools.islice(file.names(), _GROUPS_LOOKED_AT):
            group = _group(file, name)
            if group is None:
                continue
            if group.has("conformations"):
                return "spice"
            if group.has("wb97x_dz.energy") or group.has("coordinates"):
                return "ani-1x"
            if group.has("n_configs"):
                return "modelforge"
    return "spice"


def _group(file: Hdf5File, name: str) -> Hdf5Group | None:
    try:
        return file.group(name)
    except DataError:
        return None
