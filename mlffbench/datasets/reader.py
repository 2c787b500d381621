"""From a path to the reader of its format."""

from pathlib import Path

from mlffbench.core.errors import DataError
from mlffbench.core.split import Source
from mlffbench.datasets.asedb import AseDatabase
from mlffbench.datasets.extxyz import ExtxyzFile
from mlffbench.datasets.paths import require_file
from mlffbench.datasets.spice import SpiceFile, SpiceUnits

SUFFIXES = {
    ".hdf5": "the released SPICE layout",
    ".h5": "the released SPICE layout",
    ".xyz": "extended XYZ",
    ".extxyz": "extended XYZ",
    ".db": "an ASE database",
}
"""Suffix -> what such a file holds."""


def open_source(
    path: Path | str,
    *,
    level_of_theory: str | None = None,
    energy_unit: str | None = None,
    length_unit: str | None = None,
) -> Source:
    """Return the source of a file, by its suffix; nothing inside is read yet.

    Args:
        path: The file: ``.hdf5`` or ``.h5`` (SPICE layout), ``.xyz`` or ``.extxyz``,
            ``.db`` (ASE).
        level_of_theory: Of the labels; what the file says when left out.
        energy_unit: Unit of the energies. Left out: SPICE files must say, the others are
            taken to be in eV.
        length_unit: Unit of positions and cells, likewise; Å for the others.

    Raises:
        DataError: The file is missing, a folder, of an unknown kind, or the unit unknown.
    """
    path = require_file(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(f"{name} ({what})" for name, what in SUFFIXES.items())
        msg = f"{path} has the suffix {path.suffix!r}, but no reader is for it; known: "
        raise DataError(msg + known)
    if suffix in {".hdf5", ".h5"}:
        units = SpiceUnits(length=length_unit, energy=energy_unit)
        return SpiceFile(path, level_of_theory=level_of_theory, units=units)
    kind = AseDatabase if suffix == ".db" else ExtxyzFile
    return kind(
        path,
        level_of_theory=level_of_theory,
        energy_unit=energy_unit or "eV",
        length_unit=length_unit or "angstrom",
    )
