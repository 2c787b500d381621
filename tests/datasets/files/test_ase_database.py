"""The reader of ASE databases, on databases written by ASE."""

import sqlite3
from contextlib import closing
from pathlib import Path

import ase.db
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given
from hypothesis import strategies as st
from small_files import SEEDED, read_everything

from mlffbench.core.errors import DataError
from mlffbench.core.split import Source
from mlffbench.core.units import BOHR, KCAL_PER_MOL
from mlffbench.datasets.files.asedb import AseDatabase


def labelled(atoms: Atoms, seed: int) -> Atoms:
    forces = np.random.default_rng(seed).normal(size=(len(atoms), 3))
    atoms.calc = SinglePointCalculator(atoms, energy=-float(seed), forces=forces)
    return atoms


@pytest.fixture(params=["db", "json"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Four rows, of which the second of five was deleted."""
    path = tmp_path / f"some.{request.param}"
    with ase.db.connect(path) as database:
        database.write(labelled(molecule("H2O"), 1))
        database.write(labelled(molecule("CH4"), 2))
        database.write(labelled(molecule("OH"), 3), total_charge=-1, mol_id="hydroxide")
        database.write(labelled(bulk("Cu"), 4), total_spin=2)
        plain, forces = molecule("CH3OH"), np.full((6, 3), 7.0)
        plain.calc = SinglePointCalculator(plain, energy=5.5, forces=forces)
        database.write(plain, data={"smiles": "CO"})
        del database[2]
    return path


def test_rows_are_what_was_written(path: Path) -> None:
    source: Source = AseDatabase(path, level_of_theory="made up")
    index = source.index
    rows = np.array([3, 0, 2, 1])
    assert index.ids(rows) == ["some/5", "some/1", "some/4", "some/3"]
    structures, labels = source.structures(rows), source.labels(rows)
    assert structures.group == ("CO", "H2O", "Cu", "hydroxide")
    assert structures.smiles == ("CO", "", "", "")
    assert structures.charge.tolist() == [0, 0, 0, -1]
    assert structures.multiplicity.tolist() == [1, 1, 2, 1]
    assert structures.pbc.any(dim=1).tolist() == [False, False, True, False]
    assert structures.cell.any(dim=2).any(dim=1).tolist() == [False, False, True, False]
    assert labels.energy.tolist() == [5.5, -1.0, -4.0, -3.0]
    assert (labels.forces[structures.system == 0] == 7.0).all()
    expected = np.random.default_rng(1).normal(size=(3, 3))
    assert (labels.forces[structures.system == 1].numpy() == expected).all()
    water = structures.positions[structures.system == 1].numpy()
    assert (water == molecule("H2O").positions).all()
    assert labels.source == "made up, energies as in the file"


def test_reading_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    read_everything(AseDatabase(path))
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_units_are_converted(path: Path) -> None:
    rows = np.array([0])
    molar = AseDatabase(path, energy_unit="kcal/mol").labels(rows)
    plain = AseDatabase(path).labels(rows)
    assert torch.allclose(molar.forces, plain.forces * KCAL_PER_MOL, rtol=1e-12)


@pytest.mark.parametrize("kind", ["db", "json"])
def test_reference_labels_are_one_family(tmp_path: Path, kind: str) -> None:
    path, forces = tmp_path / f"a.{kind}", np.full((3, 3), 7.0)
    with ase.db.connect(path) as database:
        database.write(
            labelled(molecule("H2O"), 1), REF_energy=5.5, data={"REF_forces": forces}
        )
    labels = AseDatabase(path).labels(np.array([0]))
    assert labels.energy.tolist() == [5.5]
    assert (labels.forces == 7.0).all()
    with ase.db.connect(path) as database:
        database.write(labelled(molecule("H2O"), 2))
    with pytest.raises(DataError, match=r"row 2 of .* has energy, but frames before it"):
        read_everything(AseDatabase(path))


def test_labels_of_two_methods_are_refused(tmp_path: Path) -> None:
    with ase.db.connect(tmp_path / "a.db") as database:
        bare = labelled(molecule("H2O"), 1)
        bare.calc.results.pop("energy")
        database.write(bare, REF_energy=5.5)
    with pytest.raises(DataError, match="labels of two families, REF_energy and forces"):
        read_everything(AseDatabase(tmp_path / "a.db"))
    with ase.db.connect(tmp_path / "b.db") as database:
        database.write(labelled(molecule("H2O"), 1), data={"energy": 9.0})
    with pytest.raises(DataError, match="two different energy, in its results"):
        read_everything(AseDatabase(tmp_path / "b.db"))


def charged(**where: object) -> Atoms:
    """Return hydroxide, labelled; one of its atoms may carry the charge."""
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 1]], **where)  # type: ignore[arg-type]
    return labelled(atoms, 1)


@pytest.mark.parametrize(
    ("atoms", "pairs", "data", "expected"),
    [
        (charged(), {"charge": -1}, {}, (-1, 1)),
        (charged(), {"charge": -1.0, "spin": 3}, {}, (-1, 3)),
        (charged(), {"total_charge": -1}, {}, (-1, 1)),
        (charged(), {}, {"charge": -1, "multiplicity": 1}, (-1, 1)),
        (charged(), {}, {"Q": np.array([-1.0])}, (-1, 1)),
        (charged(charges=[-0.7, -0.3]), {}, {}, (-1, 1)),
        (charged(charges=[0, 0]), {"charge": -1}, {}, (-1, 1)),
        (charged(magmoms=[1, 0]), {}, {}, (0, 2)),
        (charged(magmoms=[1, 0]), {"charge": -1}, {}, (-1, 1)),
    ],
)
def test_charge_and_spin_wherever_they_are(
    tmp_path: Path, atoms: Atoms, pairs: dict, data: dict, expected: tuple[int, int]
) -> None:
    with ase.db.connect(tmp_path / "a.db") as database:
        database.write(atoms, **pairs, data=data)
    index = AseDatabase(tmp_path / "a.db").index
    assert (index.charge.item(), index.multiplicity.item()) == expected


def test_charges_that_disagree_are_refused(tmp_path: Path) -> None:
    with ase.db.connect(tmp_path / "a.db") as database:
        database.write(charged(charges=[-1, 0]), charge=1)
    with pytest.raises(DataError, match="two things of its charge: charge is 1, the sum"):
        read_everything(AseDatabase(tmp_path / "a.db"))


@pytest.mark.parametrize("shape", [(), (1,)])
def test_schnetpack_states_its_units(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a.db"
    with ase.db.connect(path) as database:
        forces = np.full((3, 3), 2.0)
        data = {"energy": np.full(shape, -3.0), "forces": forces}
        database.write(molecule("H2O"), data=data)
        database.metadata = {
            "_property_unit_dict": {"energy": "kcal/mol", "forces": "kcal/mol/Bohr"},
            "_distance_unit": "Bohr",
        }
    source, row = AseDatabase(path), np.array([0])
    labels = source.labels(row)
    assert labels.energy.item() == pytest.approx(-3 * KCAL_PER_MOL)
    assert labels.forces[0, 0].item() == pytest.approx(2 * KCAL_PER_MOL / BOHR)
    found = source.structures(row).positions.numpy()
    np.testing.assert_allclose(found, molecule("H2O").positions * BOHR)
    with pytest.raises(DataError, match="energy is in 'kcal/mol' by energy_unit, not in"):
        read_everything_in(path, energy_unit="eV")


def read_everything_in(path: Path, **units: str) -> None:
    AseDatabase(path, **units).index  # noqa: B018 - reading is the point


def test_rows_without_labels(tmp_path: Path) -> None:
    path = tmp_path / "bare.db"
    with ase.db.connect(path) as database:
        database.write(molecule("H2O"))
    with pytest.raises(DataError, match=r"row 1 of .*bare.db has no forces"):
        AseDatabase(path).index  # noqa: B018 - reading is the point
    labels = AseDatabase(path, forces_required=False).labels(np.array([0]))
    assert torch.isnan(labels.forces).all()
    assert dict(labels.failures) == {0: "the file has no labels for it"}


def test_a_label_that_is_not_finite_fails_its_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "nan.db"
    with ase.db.connect(path) as database:
        atoms = molecule("H2O")
        forces = np.full((3, 3), np.nan)
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=forces)
        database.write(atoms)
        database.write(molecule("CH4"), data={"energy": -1.0, "forces": np.ones((5, 3))})
    labels = AseDatabase(path).labels(np.array([0, 1]))
    assert dict(labels.failures) == {0: "reference label is not finite"}
    assert labels.energy.tolist() == [0.0, -1.0]


def test_another_sqlite_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE things (name TEXT)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(DataError, match="no ASE database"):
        read_everything(AseDatabase(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"text\n" * 100, b"SQLite format 3\0"])
def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    for name in ("a.db", "a.json"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="ASE database"):
            read_everything(AseDatabase(tmp_path / name))
        assert (tmp_path / name).read_bytes() == content


@SEEDED
@given(data=st.data())
def test_truncated_or_scrambled_database_is_read_or_refused(
    path: Path, data: st.DataObject
) -> None:
    raw = path.read_bytes()
    places = st.integers(0, len(raw) - 1)
    scrambled = bytearray(raw)
    for place in data.draw(st.lists(places, max_size=8)):
        scrambled[place] = data.draw(st.integers(0, 255))
    bad = path.with_name(f"bad{path.suffix}")
    bad.write_bytes(scrambled[: data.draw(st.one_of(st.just(len(raw)), places))])
    try:
        read_everything(AseDatabase(bad))
    except DataError as error:
        assert "\n" not in str(error)
