"""One door for every format."""

from pathlib import Path

import ase.db
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from small_files import COLUMNS, write_spice, write_xyz

from mlffbench.core.errors import DataError
from mlffbench.core.files import sha256_of
from mlffbench.core.units import HARTREE
from mlffbench.datasets.files.open import SUFFIXES, open_source


def write(path: Path) -> Path:
    """Write a file of the kind its suffix promises, with an energy of 2 in its unit."""
    if path.suffix.lower() in {".hdf5", ".h5"}:
        return write_spice(path, units=False)
    if path.suffix == ".db":
        atoms = molecule("OH")
        atoms.calc = SinglePointCalculator(atoms, energy=2.0, forces=np.zeros((2, 3)))
        with ase.db.connect(path) as database:
            database.write(atoms)
        return path
    return write_xyz(path, f"{COLUMNS} energy=2.0")


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".XYZ", ".HDF5"])
def test_every_suffix_has_a_reader(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}")
    source = open_source(
        path, level_of_theory="made up", energy_unit="hartree", length_unit="bohr"
    )
    assert source.level_of_theory == "made up"
    assert source.sha256 == sha256_of(path)
    row = np.array([0])
    assert source.structures(row).n_systems == 1
    if "h5" not in suffix.lower() and "hdf5" not in suffix.lower():
        assert source.labels(row).energy.item() == pytest.approx(2.0 * HARTREE)


def test_hdf5_without_units_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"state energy_unit and length_unit of the"):
        open_source(write(tmp_path / "a.hdf5")).index  # noqa: B018


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.xyz", "nothing.xyz does not exist"),
        ("folder.xyz", "is a folder, not a file"),
        ("data.csv", "a table whose columns and units nobody states"),
        ("data.cif", r"suffix '\.cif', but no reader.* \.hdf5 .* \.xyz .* \.db"),
        ("data", "suffix ''"),
        ("nul\0l.xyz", "does not exist|not a usable path"),
        ("x" * 5000 + ".xyz", "does not exist|not a usable path"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "folder.xyz").mkdir()
    (tmp_path / "data.csv").touch()
    (tmp_path / "data.cif").touch()
    (tmp_path / "data").touch()
    with pytest.raises(DataError, match=message):
        open_source(tmp_path / name)


def test_unknown_unit_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown unit of length 'furlong'"):
        open_source(write(tmp_path / "a.xyz"), length_unit="furlong")
