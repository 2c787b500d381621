"""From a path to the reader of its layout."""

from collections.abc import Callable
from pathlib import Path

from mlffbench.core.errors import DataError
from mlffbench.core.split import Source
from mlffbench.datasets.asedb import AseDatabase
from mlffbench.datasets.described import read_description
from mlffbench.datasets.extxyz import ExtxyzFile
from mlffbench.datasets.grouped import ANI_1X, MODELFORGE, TRANSITION1X, GroupedFile
from mlffbench.datasets.npz import NpzFile
from mlffbench.datasets.paths import require_file
from mlffbench.datasets.recognise import recognise
from mlffbench.datasets.spice import SpiceFile, SpiceUnits

SUFFIXES = {
    ".hdf5": "the released SPICE layout",
    ".h5": "the released SPICE layout",
    ".xyz": "extended XYZ",
    ".extxyz": "extended XYZ",
    ".db": "an ASE database",
    ".npz": "NumPy arrays of MD17, rMD17 or MD22",
}
"""Suffix -> what such a file holds where its content does not say."""
_BY_SUFFIX = {
    ".hdf5": "spice",
    ".h5": "spice",
    ".xyz": "xyz",
    ".extxyz": "xyz",
    ".db": "db",
    ".npz": "npz",
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

    The layout is recognised by content: HDF5 of SPICE, ANI-1x, Transition1x or
    modelforge; npz of MD17, rMD17 or MD22; extended XYZ; ASE databases. A ``.yaml`` file
    describes a data file (`mlffbench.datasets.described.Described`).

    Args:
        path: The file.
        level_of_theory: Of the labels; what the file or its layout says when left out.
        energy_unit: Unit of the energies. Left out: SPICE and npz files must say, XYZ
            files and databases are taken to be in eV.
        length_unit: Unit of positions and cells, likewise; Å for the latter.
        forces_unit: Unit of the forces; energy over length when left out.
        layout: The layout, where its user knows better.
        forces_required: Refuse XYZ frames without forces; otherwise they are NaN.

    Raises:
        DataError: The file is missing, a folder, of an unknown kind, or the unit unknown.
    """
    path = require_file(path)
    if path.suffix.lower() in DESCRIPTIONS:
        described = read_description(path)
        units = described.units
        return open_source(
            described.path,
            level_of_theory=level_of_theory or described.level_of_theory,
            energy_unit=units.energy if units else energy_unit,
            length_unit=units.length if units else length_unit,
            forces_unit=units.forces if units else forces_unit,
            layout=described.layout,
            forces_required=forces_required,
        )
    kind = layout or recognise(path) or _BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(f"{name} ({what})" for name, what in SUFFIXES.items())
        msg = f"{path} has the suffix {path.suffix!r}, but no reader is for it, nor is "
        raise DataError(msg + "its content recognised; known: " + known)
    if kind in {"spice", *_GROUPED}:
        return _open_hdf5(path, kind, level_of_theory, energy_unit, length_unit)
    if kind == "npz":
        return NpzFile(
            path,
            level_of_theory=level_of_theory,
            energy_unit=energy_unit,
            length_unit=length_unit,
            forces_unit=forces_unit,
        )
    reader: Callable[..., Source] = AseDatabase if kind == "db" else ExtxyzFile
    return reader(
        path,
        level_of_theory=level_of_theory,
        energy_unit=energy_unit or "eV",
        length_unit=length_unit or "angstrom",
        forces_unit=forces_unit,
        forces_required=forces_required,
    )


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
