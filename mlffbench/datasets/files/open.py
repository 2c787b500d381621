"""From a path to the reader of its layout."""

import gzip
import itertools
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

from mlffbench.core.errors import DataError
from mlffbench.core.files import require_file
from mlffbench.core.guards.archives import ARCHIVE_FAULTS
from mlffbench.core.guards.sizes import shown
from mlffbench.core.split import Source
from mlffbench.datasets.files.ase_trajectory import AseTrajectory
from mlffbench.datasets.files.asedb import AseDatabase, is_lmdb
from mlffbench.datasets.files.atom_table import AtomTable
from mlffbench.datasets.files.described import read_description
from mlffbench.datasets.files.extxyz import ExtxyzFile
from mlffbench.datasets.files.frame_file import FrameFile
from mlffbench.datasets.files.grouped import ANI_1X, MODELFORGE, TRANSITION1X, GroupedFile
from mlffbench.datasets.files.hdf5 import Hdf5File, Hdf5Group, open_hdf5
from mlffbench.datasets.files.hdf5_frames import (
    FRAME_LAYOUTS,
    Hdf5Frames,
    frame_layout_of,
)
from mlffbench.datasets.files.npz import NpzFile
from mlffbench.datasets.files.spice_layout import SpiceFile, SpiceUnits

Kind = Literal[
    "spice",
    "ani-1x",
    "transition1x",
    "modelforge",
    "hdf5-frames",
    "npz",
    "xyz",
    "db",
    "traj",
    "csv",
]
_HEAD = 4096
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
}
_NAMES_SHOWN = 10
_CONVERT = (
    "or write extended XYZ: atoms.info['REF_energy'] = e; atoms.arrays['REF_forces'] = f;"
    " ase.io.write('data.xyz', frames)"
)
_CONVERTED = {
    b"\xde\xc0\xef\xbe": (
        "an LMDB that is no .aselmdb of ASE",
        "read it with the tool that wrote it and write extended XYZ: atoms.info"
        "['REF_energy'] = e; atoms.arrays['REF_forces'] = f; ase.io.write('data.xyz', "
        "frames)",
    ),
    b"PickleTrajectory": (
        "an ASE trajectory of 2014 or before, which is a pickle",
        "python -m ase.io.trajectory {}, which makes a trajectory of today of it",
    ),
    b"PAR1": (
        "a parquet table",
        "pandas.read_parquet(…).to_csv('data.csv'), columns stated",
    ),
}
"""First bytes -> what a file is and the line that makes it one that is read."""
_MAGIC: dict[bytes, Kind] = {
    b"SQLite format 3\x00": "db",
    b"- of UlmASE-Trajectory": "traj",
}
_LMDB_MAGIC_AT = 16
_GROUPS_LOOKED_AT = 5
"""A group may lack a field; the layout is that of any of the first few."""


class UnknownKindError(DataError):
    """A file that no reader is for; the sentence lists what is read."""

    longest = 1_500


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
    if _is_packed_xyz(path, head):
        return "xyz"
    if path.suffix.lower() == ".aselmdb" and is_lmdb(path):
        return "db"
    _refuse(path, head)
    if head.startswith(_HDF5):
        return _hdf5_layout(path)
    if head.startswith(b"PK\x03\x04"):
        return _zip_content(path)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    first = head.partition(b"\n")[0].strip()
    return "xyz" if first.isdigit() else None


def _is_packed_xyz(path: Path, head: bytes) -> bool:
    """Return whether a file is gzip of what begins with a number of atoms."""
    if not head.startswith(b"\x1f\x8b"):
        return False
    try:
        with gzip.open(path) as file:
            first = file.readline(_HEAD)
    except (OSError, EOFError, zlib.error):
        return False
    return first.strip().isdigit()


def _refuse(path: Path, head: bytes) -> None:
    """Refuse what is often found in place of data."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        msg = f"{path} is a web page, not data: a server answered with a page instead of "
        raise DataError(msg + "the file; delete it and download it again")
    for magic, name in _PACKED.items():
        if head.startswith(magic):
            msg = f"{path} is packed ({name}); unpack it first ({name} -dk {path.name}), "
            raise DataError(msg + "or let `mlffbench download … --from` do it")
    for magic, (what, line) in _CONVERTED.items():
        if head.startswith(magic) or head[_LMDB_MAGIC_AT:].startswith(magic):
            msg = f"{path} is {what}, which is not read; read are {_read()}; convert it: "
            raise UnknownKindError(msg + line.format(path.name))


def _zip_content(path: Path) -> Kind | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except ARCHIVE_FAULTS:
        return "npz"  # its reader says what is wrong
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    msg = f"{path} is a zip archive of {len(names)} files, e.g. {names[:1]}; unpack it "
    raise DataError(msg + "and name one data file in it")


def _hdf5_layout(path: Path) -> Kind:
    """Return the layout of an HDF5 file.

    Raises:
        DataError: None is recognised; the message lists what is read.
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
            if group.has("wb97x_dz.energy") or _has_both(group):
                return "ani-1x"
            if group.has("n_configs"):
                return "modelforge"
        if frame_layout_of(file) is not None:
            return "hdf5-frames"
        first = next((n for n in file.names() if file.is_group(n)), None)
        names = file.group(first).names() if first else file.names()
    there = ", ".join(map(shown, names[:_NAMES_SHOWN])) or "nothing"
    layouts = ", ".join(layout.name for layout in FRAME_LAYOUTS)
    msg = f"{path} is HDF5 of a layout that is not known (its first group has: {there}); "
    msg += f"read are SPICE, ANI-1x, Transition1x, modelforge, {layouts}; {_CONVERT}"
    raise UnknownKindError(msg)


def _has_both(group: Hdf5Group) -> bool:
    return group.has("atomic_numbers") and group.has("coordinates")


def _group(file: Hdf5File, name: str) -> Hdf5Group | None:
    try:
        return file.group(name)
    except DataError:
        return None


def _read() -> str:
    return ", ".join(f"{name} ({what})" for name, what in SUFFIXES.items())


SUFFIXES = {
    ".hdf5": "SPICE, ANI, AIMNet, QM7-X, TorchMD-NET, MACE and others",
    ".h5": "the same",
    ".xyz": "extended XYZ, also .xyz.gz",
    ".extxyz": "extended XYZ, also .extxyz.gz",
    ".db": "an ASE database",
    ".json": "an ASE database",
    ".aselmdb": "an ASE database, with ase-db-backends",
    ".traj": "an ASE trajectory",
    ".npz": "NumPy arrays of MD17, rMD17 or MD22",
    ".csv": "a table of atoms, its columns and units stated in a description",
}
"""Suffix -> what such a file holds where its content does not say."""
_BY_SUFFIX = {
    ".hdf5": "spice",
    ".h5": "spice",
    ".xyz": "xyz",
    ".extxyz": "xyz",
    ".db": "db",
    ".json": "db",
    ".aselmdb": "db",
    ".traj": "traj",
    ".npz": "npz",
    ".csv": "csv",
}
_GROUPED = {"ani-1x": ANI_1X, "transition1x": TRANSITION1X, "modelforge": MODELFORGE}
DESCRIPTIONS = frozenset({".yaml", ".yml"})
"""Suffixes of a user's description of a data file."""


def open_source(
    path: Path | str,
    *,
    level_of_theory: str | None = None,
    energy_unit: str | None = None,
    length_unit: str | None = None,
    forces_unit: str | None = None,
    layout: str | None = None,
    forces_required: bool = True,
) -> Source:
    """Return the source of a file; no structure of it is read yet.

    The layout is recognised by content: HDF5 of SPICE, ANI-1x, Transition1x, modelforge
    and the tools of `hdf5_frames`; npz of MD17, rMD17 or MD22; extended XYZ, also packed
    with gzip; ASE databases and trajectories. A ``.yaml`` file describes a data file
    (`mlffbench.datasets.files.described.Described`).

    Args:
        path: The file.
        level_of_theory: Of the labels; what the file or its layout says when left out.
        energy_unit: Unit of the energies. Left out: what the file says; SPICE and npz
            files must say, XYZ files and databases that do not are taken to be in eV.
        length_unit: Unit of positions and cells, likewise; Å for the latter.
        forces_unit: Unit of the forces; energy over length when left out.
        layout: The layout, where its user knows better.
        forces_required: Refuse XYZ frames without forces; otherwise they are NaN.

    Raises:
        DataError: The file is missing, a folder, of an unknown kind, or the unit unknown.
    """
    path = require_file(path)
    columns = None
    if path.suffix.lower() in DESCRIPTIONS:
        described = read_description(path)
        path, layout, columns = (
            require_file(described.path),
            described.layout,
            described.columns,
        )
        level_of_theory = level_of_theory or described.level_of_theory
        if described.units:
            energy_unit, length_unit, forces_unit = described.units.in_order
    kind = layout or recognise(path) or _BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        msg = (
            f"{path} has the suffix {path.suffix!r}, but no reader is for it, nor is its "
        )
        raise UnknownKindError(
            msg + f"content recognised; read are {_read()}; {_CONVERT}"
        )
    if kind in {"spice", *_GROUPED}:
        return _open_hdf5(path, kind, level_of_theory, energy_unit, length_unit)
    options: dict[str, Any] = {
        "level_of_theory": level_of_theory,
        "energy_unit": energy_unit,
        "length_unit": length_unit,
        "forces_unit": forces_unit,
    }
    if kind == "npz":
        return NpzFile(path, **options)
    options["forces_required"] = forces_required
    if kind == "hdf5-frames":
        with open_hdf5(path) as file:
            found = frame_layout_of(file)
        if found is not None:
            return Hdf5Frames(path, found, **options)
    if kind == "csv":
        return AtomTable(path, columns=columns, **options)
    readers: dict[str, type[FrameFile]] = {"db": AseDatabase, "traj": AseTrajectory}
    return readers.get(kind, ExtxyzFile)(path, **options)


def _open_hdf5(
    path: Path,
    kind: str,
    level_of_theory: str | None,
    energy_unit: str | None,
    length_unit: str | None,
) -> Source:
    if kind == "spice":
        units = SpiceUnits(length=length_unit, energy=energy_unit)
        return SpiceFile(path, level_of_theory=level_of_theory, units=units)
    if energy_unit or length_unit:
        msg = f"{path} has the layout {kind}, whose units are known; leave energy_unit "
        raise DataError(msg + "and length_unit out")
    return GroupedFile(path, _GROUPED[kind], level_of_theory=level_of_theory)
