"""Charge and spin in every spelling and place, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from small_files import COLUMNS, write_xyz

from mlffbench.core.errors import DataError
from mlffbench.datasets.files.extxyz import ExtxyzFile
from mlffbench.datasets.files.records import IndexBuilder
from mlffbench.datasets.statements.charge_spin import read_charge_spin

HYDROXIDE, OXYGEN = np.array([8, 1]), np.array([8, 8])


def read(facts: dict, numbers: np.ndarray = HYDROXIDE, **options: object) -> tuple:
    settings: dict = {"per_atom": {}, "smiles_charge": None, "periodic": False}
    settings |= options
    return read_charge_spin(facts, numbers=numbers, where="frame 0", **settings)


@pytest.mark.parametrize(
    "name",
    "charge Charge CHARGE total_charge totalCharge TotalCharge net_charge mol_charge q Q "
    "formal_charge molecular_charge system_charge REF_charge REF_total_charge qtot "
    "charge_total tot_charge".split(),
)
@pytest.mark.parametrize(
    "value", [-1, -1.0, "-1", "-1.0", "1-", "-", b"-1", np.int64(-1), np.array([[-1.0]])]
)
def test_every_spelling_of_charge(name: str, value: object) -> None:
    assert read({name: value}) == (-1, 1, False)


@pytest.mark.parametrize(
    ("facts", "multiplicity"),
    [
        ({"multiplicity": 3}, 3),
        ({"mult": "3"}, 3),
        ({"spin_multiplicity": 3.0}, 3),
        ({"spinMultiplicity": np.array(3)}, 3),
        ({"total_spin": 3}, 3),
        ({"spin": 3}, 3),
        ({"REF_spin": 3}, 3),
        ({"multiplicity": "triplet"}, 3),
        ({"uhf": 2}, 3),
        ({"n_unpaired": 2}, 3),
        ({"num_unpaired_electrons": 2}, 3),
        ({"magmom": 2.0}, 3),
        ({"magmom": -2.0}, 3),
        ({"magmom": 0.0}, 1),
        ({"spin": 3, "magmom": 2.0, "uhf": 2}, 3),
        ({}, 1),
    ],
)
def test_every_spelling_of_spin(facts: dict, multiplicity: int) -> None:
    assert read(facts, OXYGEN) == (0, multiplicity, False)


@pytest.mark.parametrize(
    ("per_atom", "expected"),
    [
        ({"charge": [-1, 0]}, (-1, 1, False)),
        ({"initial_charges": ["-0.7", "-0.3"]}, (-1, 1, False)),
        ({"formal_charges": [-1, 0]}, (-1, 1, False)),
        ({"mulliken_charges": [-0.8, -0.2]}, (-1, 1, False)),
        ({"mbis_charges": [-0.61, 0.3]}, (0, 2, True)),  # adds up to no whole number
        ({"initial_charges": [0, 0]}, (0, 2, True)),
        ({"magmoms": [0.9, 0.1]}, (0, 2, True)),
        ({"initial_magmoms": [2.0, 1.0]}, (0, 4, True)),
        ({"nuclear_charges": [8, 1]}, (0, 2, True)),
    ],
)
def test_atom_by_atom(per_atom: dict, expected: tuple) -> None:
    found = read({}, per_atom=per_atom)
    assert (found.charge, found.multiplicity) == expected[:2]


def test_where_a_calculation_starts_is_no_statement() -> None:
    assert read({"charge": -1}, per_atom={"initial_magmoms": [1, 0]}) == (-1, 1, False)
    assert read({"spin": 1}, OXYGEN, per_atom={"initial_magmoms": [1, 1]})[1] == 1
    assert read({}, OXYGEN, per_atom={"initial_magmoms": [1, 1]})[1] == 3


def test_moments_of_a_solid_say_no_multiplicity() -> None:
    found = read({}, np.array([26, 26]), per_atom={"magmoms": [2.2, 2.3]}, periodic=True)
    assert found == (0, 1, False)


@pytest.mark.parametrize(
    ("facts", "options", "message"),
    [
        (
            {"charge": -1, "total_charge": 0},
            {},
            "its charge: charge is -1, total_charge is",
        ),
        ({"charge": 0}, {"smiles_charge": -1}, "charge is 0, the SMILES is -1"),
        ({"charge": 0}, {"per_atom": {"charges": [-1, 0]}}, "the sum of charges is -1"),
        ({"spin": 2, "uhf": 3}, {}, "says two things of its spin"),
        ({"charge": 0.5}, {}, "charge = '0.5'; expected a whole number"),
        ({"charge": "anion"}, {}, "charge = 'anion'; expected a whole number"),
        ({"charge": float("nan")}, {}, "charge = 'nan'; expected a whole"),
        ({"charge": True}, {}, "charge = 'True'; expected a whole"),
        ({"charge": np.array([0, 1, 2])}, {}, "expected a whole number"),
        ({"my_charge": -1}, {}, "my_charge = '-1', which looks like charge or spin"),
        ({"spin_state": 1}, {}, "spin_state = '1', which looks like charge or spin"),
        ({"spin": 0}, {}, "spin 0; expected the multiplicity"),
        (
            {"spin": 1},
            {},
            "spin 1, impossible for 9 electrons; .* for an ion, total_charge",
        ),
        ({"spin": 2, "charge": -1}, {}, "spin 2, impossible for 10 electrons"),
        ({}, {"per_atom": {"charge": [-0.6, 0.1]}}, "charge that add up to -0.500"),
    ],
)
def test_what_is_not_understood_is_named(
    facts: dict, options: dict, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(facts, **options)


@pytest.mark.parametrize(
    "name",
    ["charge_model", "nspin", "spin_polarized", "charge_transfer_energy", "energy"],
)
def test_settings_and_other_quantities_pass(name: str) -> None:
    assert read({name: 1, "charge": -1}) == (-1, 1, False)


def test_a_guess_is_said_and_a_repeated_frame_counted(tmp_path: Path) -> None:
    full = f"{COLUMNS} energy=-1"
    path = write_xyz(tmp_path / "a.xyz", full, f"{full} charge=-1", full)
    (guess,) = (text for text in ExtxyzFile(path).index.remarks if "odd number" in text)
    assert guess.startswith(f"2 of the 3 frames of {path} (frame 0 of {path} first)")
    (again,) = (text for text in ExtxyzFile(path).index.remarks if "repeat" in text)
    assert again.startswith("1 of the 3 frames"), "another charge is another structure"
    assert ExtxyzFile(write_xyz(tmp_path / "b.xyz", f"{full} spin=2")).index.remarks == ()


def test_columns_of_charges_are_read(tmp_path: Path) -> None:
    atoms = "O 0 0 0 1 2 3 -0.8\nH 0 0 1 1 2 3 -0.2\n"
    path = write_xyz(tmp_path / "a.xyz", f"{COLUMNS}:charge:R:1 energy=-1", atoms=atoms)
    assert ExtxyzFile(path).index.charge.tolist() == [-1]
    path = write_xyz(tmp_path / "b.xyz", f"{COLUMNS}:spin_x:R:1 energy=-1", atoms=atoms)
    assert ExtxyzFile(path).index.charge.tolist() == [0]


@pytest.mark.parametrize(
    "stated", [{"charge": 10**25}, {"charge": 0, "multiplicity": 2**70}]
)
def test_a_charge_or_spin_that_no_structure_has_is_told(stated: dict[str, int]) -> None:
    builder = IndexBuilder()
    with pytest.raises(DataError, match=r"'a' states a .* expected at most 1,000,000"):
        builder.add("a", np.array([1, 8]), np.arange(1), group="g", **stated)
