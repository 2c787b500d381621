"""Units and labels that a file states are obeyed; two statements that differ refused."""

from pathlib import Path

import numpy as np
import pytest
from small_files import COLUMNS, write_xyz

from mlffbench.core.errors import DataError
from mlffbench.core.units import BOHR, HARTREE, KCAL_PER_MOL
from mlffbench.datasets.files.extxyz import ExtxyzFile
from mlffbench.datasets.files.open import open_source
from mlffbench.datasets.statements.comment_line import read_comment

FULL = f"{COLUMNS} energy=-2.0"


@pytest.mark.parametrize(
    ("words", "energy", "length", "forces"),
    [
        ("", 1, 1, 1),
        ("energy-unit=hartree force-unit=hartree/bohr", HARTREE, 1, HARTREE / BOHR),
        ('units="Hartree, Angstrom"', HARTREE, 1, HARTREE),
        ('units="hartree bohr"', HARTREE, BOHR, HARTREE / BOHR),
        ("unit=eV/Angstrom", 1, 1, 1),
        ('units="kcal mol-1 A-1"', KCAL_PER_MOL, 1, KCAL_PER_MOL),
        ("units=atomic", HARTREE, BOHR, HARTREE / BOHR),
        ("units=real", KCAL_PER_MOL, 1, KCAL_PER_MOL),
        ('units="energy: Ha, length: bohr"', HARTREE, BOHR, HARTREE / BOHR),
        ("REF_energy_unit=Ha r_unit=Bohr", HARTREE, BOHR, HARTREE / BOHR),
        ("E_unit=kcal/mol", KCAL_PER_MOL, 1, KCAL_PER_MOL),
        ("energy_units=eV stress_unit=GPa", 1, 1, 1),
    ],
)
def test_a_comment_line_states_units(
    tmp_path: Path, words: str, energy: float, length: float, forces: float
) -> None:
    source = ExtxyzFile(write_xyz(tmp_path / "a.xyz", f"{FULL} {words} spin=2"))
    row = np.array([0])
    labels = source.labels(row)
    assert labels.energy.item() == pytest.approx(-2 * energy)
    assert labels.forces[0, 0].item() == pytest.approx(0.3 * forces)
    assert source.structures(row).positions[1, 0].item() == pytest.approx(length)


@pytest.mark.parametrize(
    ("words", "given", "message"),
    [
        (
            "energy_unit=hartree",
            {"energy_unit": "eV"},
            "energy is in 'hartree' by energy_un",
        ),
        ("energy_unit=eV e_unit=Ha", {}, "energy is in 'eV' by energy_unit, not in 'Ha'"),
        ("energy_unit=furlong", {}, "frame 0 of .*unknown unit of energy 'furlong'"),
        ("units=nonsense", {}, "names the unit 'nonsense', which is not known"),
        ("label_unit=eV", {}, "label_unit = 'eV' is about units and not understood"),
        (
            "force_unit=hartree/bohr",
            {},
            "has forces in 'hartree/bohr' and no unit of energy",
        ),
    ],
)
def test_units_that_disagree_or_are_not_known(
    tmp_path: Path, words: str, given: dict, message: str
) -> None:
    path = write_xyz(tmp_path / "a.xyz", f"{FULL} {words}")
    with pytest.raises(DataError, match=message):
        open_source(path, **given).index  # noqa: B018 - reading is the point
    again = open_source(write_xyz(tmp_path / "b.xyz", f"{FULL} energy_unit=Ha"))
    assert again.labels(np.array([0])).energy.item() == pytest.approx(-2 * HARTREE)


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        (f"{COLUMNS} REF_energy=1", "labels of two families, REF_energy and forces"),
        (
            f"{FULL.replace('forces', 'REF_forces')}",
            "two families, REF_forces and energy",
        ),
        (f"{FULL} energy=3", "frame 0 of .*energy is given twice, as '-2.0' and as '3'"),
        (
            f"{COLUMNS.replace('forces', 'gradient')} energy=1",
            r"no forces; .*has gradient",
        ),
    ],
)
def test_labels_are_of_one_family(tmp_path: Path, comment: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ExtxyzFile(write_xyz(tmp_path / "a.xyz", comment)).index  # noqa: B018


def test_frames_of_two_families_are_refused(tmp_path: Path) -> None:
    reference = f"{FULL} REF_energy=1".replace("forces", "REF_forces")
    path = write_xyz(tmp_path / "a.xyz", FULL, reference.replace("energy=-2.0 ", ""))
    with pytest.raises(
        DataError, match=r"frame 1 of .* has REF_energy, but frames before"
    ):
        ExtxyzFile(path).index  # noqa: B018


def test_an_isolated_atom_needs_no_forces(tmp_path: Path) -> None:
    atom = (
        "1\nProperties=species:S:1:pos:R:3 energy=-13 config_type=IsolatedAtom\nH 0 0 0\n"
    )
    path = write_xyz(tmp_path / "a.xyz", f"{FULL} spin=2")
    path.write_text(atom + path.read_text())
    source = ExtxyzFile(path)
    labels = source.labels(np.array([0, 1]))
    assert labels.energy.tolist() == [-13, -2]
    assert labels.forces.isnan().all(dim=1).tolist() == [True, False, False]
    assert labels.failures == {}
    assert source.index.multiplicity.tolist() == [2, 2]
    assert source.index.remarks == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smiles=[NH4+] pbc=F", "[NH4+]"),
        ("smiles=CC(=O)[O-]", "CC(=O)[O-]"),
        (r"smiles=F/C=C\F", r"F/C=C\F"),
        (r'smiles="F/C=C\F"', r"F/C=C\F"),
        (r'smiles="F/C=C\\F" charge=0', r"F/C=C\F"),
        ("smiles='[nH]1cccc1'", "[nH]1cccc1"),
        ('smiles = "F"', "F"),
    ],
)
def test_smiles_are_kept_as_they_are_written(text: str, expected: str) -> None:
    assert read_comment(text)["smiles"] == expected


@pytest.mark.parametrize(
    "name", ["01", "1", "1.0", "1e5", "nan", "1 2", "T", "None", "[1]"]
)
def test_names_that_look_like_numbers_stay_apart(tmp_path: Path, name: str) -> None:
    path = write_xyz(tmp_path / "a.xyz", f'{FULL} mol_id="{name}" spin=2')
    assert ExtxyzFile(path).index.groups == [name]


def test_smiles_of_another_molecule_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    path = write_xyz(tmp_path / "a.xyz", f"{FULL} smiles=O")
    with pytest.raises(DataError, match="the atoms H1 O1, but its SMILES 'O' has H2 O1"):
        ExtxyzFile(path).index  # noqa: B018
    path = write_xyz(tmp_path / "b.xyz", f"{FULL} smiles=FF")  # two atoms, too
    with pytest.raises(DataError, match="its SMILES 'FF' has F2"):
        ExtxyzFile(path).index  # noqa: B018
