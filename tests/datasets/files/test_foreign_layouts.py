"""Files of other tools: read with the right numbers, or refused with what is read."""

import gzip
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from mlffbench.core.errors import DataError
from mlffbench.core.split import Source
from mlffbench.core.units import BOHR, HARTREE, KCAL_PER_MOL
from mlffbench.datasets.files.open import open_source

NUMBERS = np.array([8, 1, 1])
RANDOM = np.random.default_rng(0)
WATER = [[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]]
POSITIONS, FORCES = RANDOM.normal(scale=0.02, size=(2, 4, 3, 3))
POSITIONS += WATER
ENERGIES = RANDOM.normal(size=4)
PER_FRAME = np.tile(NUMBERS, (4, 1))


def write_ani(path: Path, species: object) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("S66x8/water-1.0")
        group["coordinates"], group["energies"] = POSITIONS, ENERGIES
        group["forces"] = FORCES
        group["species"] = species
    return path


def write_aimnet(path: Path, charge: float = 0.0) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("003")
        group["coord"], group["energy"], group["forces"] = POSITIONS, ENERGIES, FORCES
        group["numbers"], group["charge"] = PER_FRAME, np.full(4, charge)
    return path


def write_qm7x(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        for i in range(4):
            group = file.create_group(f"1/Geom-m1-i1-c1-d{i}")
            group["atNUM"], group["atXYZ"] = NUMBERS, POSITIONS[i]
            group["ePBE0+MBD"], group["totFOR"] = ENERGIES[i : i + 1], FORCES[i]
    return path


def write_torchmd(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("water")
        group["pos"], group["energy"], group["forces"] = POSITIONS, ENERGIES, FORCES
        group["types"] = NUMBERS
    return path


def write_mace(path: Path, cell: bool = False) -> Path:
    with h5py.File(path, "w") as file:
        for i in range(4):
            group = file.create_group(f"config_batch_0/config_{i}")
            group["atomic_numbers"], group["positions"] = NUMBERS, POSITIONS[i]
            group["properties/energy"], group["properties/forces"] = (
                ENERGIES[i],
                FORCES[i],
            )
            group["cell"] = np.eye(3) * 9.0 * cell
            group["pbc"] = np.array([cell] * 3)
    return path


def check(
    source: Source, unit: float, group: str, per_length: float | None = None
) -> None:
    rows = np.array([3, 0, 2, 1])
    structures, labels = source.structures(rows), source.labels(rows)
    np.testing.assert_allclose(
        structures.positions.numpy(), POSITIONS[rows].reshape(-1, 3), rtol=1e-12
    )
    assert structures.numbers.tolist() == [*NUMBERS] * 4
    np.testing.assert_allclose(labels.energy.numpy(), ENERGIES[rows] * unit, rtol=1e-12)
    expected = FORCES[rows].reshape(-1, 3) * (per_length or unit)
    np.testing.assert_allclose(labels.forces.numpy(), expected, rtol=1e-12)
    assert set(structures.group) == {group}
    assert len(set(structures.ids)) == 4
    assert structures.charge.tolist() == [0] * 4


@pytest.mark.parametrize(
    ("species", "group"),
    [(NUMBERS, "water-1.0"), ([b"O", b"H", b"H"], "water-1.0"), (PER_FRAME, "H2O")],
)
def test_ani_and_comp6(tmp_path: Path, species: object, group: str) -> None:
    check(open_source(write_ani(tmp_path / "a.h5", species)), HARTREE, group)


def test_attributes_of_units_are_obeyed(tmp_path: Path) -> None:
    path = write_ani(tmp_path / "a.h5", NUMBERS)
    with h5py.File(path, "r+") as file:
        file["S66x8/water-1.0/energies"].attrs["units"] = "kcal/mol"
        file["S66x8/water-1.0/forces"].attrs["units"] = "kcal/mol/bohr"
    unit = KCAL_PER_MOL
    check(open_source(path), unit, "water-1.0", unit / BOHR)
    with pytest.raises(DataError, match="energy is in 'kcal/mol' by the attribute"):
        open_source(path, energy_unit="eV", length_unit="angstrom").index  # noqa: B018


def test_aimnet(tmp_path: Path) -> None:
    check(open_source(write_aimnet(tmp_path / "a.h5")), 1.0, "H2O")
    charged = open_source(write_aimnet(tmp_path / "b.h5", -1.0)).index
    assert charged.charge.tolist() == [-1] * 4
    assert charged.multiplicity.tolist() == [2] * 4


def test_qm7x_and_mace(tmp_path: Path) -> None:
    check(open_source(write_qm7x(tmp_path / "a.h5")), 1.0, "1")
    check(open_source(write_mace(tmp_path / "b.h5")), 1.0, "H2O")
    solid = open_source(write_mace(tmp_path / "c.h5", cell=True)).structures(
        np.array([0])
    )
    assert solid.pbc.all()
    assert solid.cell[0].diagonal().tolist() == [9.0] * 3


def test_a_layout_without_units_needs_them(tmp_path: Path) -> None:
    path = write_torchmd(tmp_path / "a.h5")
    with pytest.raises(DataError, match="TorchMD-NET, which fixes no units"):
        open_source(path).index  # noqa: B018 - reading is the point
    given = open_source(path, energy_unit="kcal/mol", length_unit="angstrom")
    check(given, KCAL_PER_MOL, "water")


def write_table(path: Path, *, description: str) -> Path:
    lines = ["id,el,x,y,z,E,fx,fy,fz,q"]
    for i in range(4):
        for atom in range(3):
            words = [
                i,
                "OHH"[atom],
                *POSITIONS[i, atom],
                ENERGIES[i],
                *FORCES[i, atom],
                0,
            ]
            lines.append(",".join(f"{word}" for word in words))
    path.with_suffix(".csv").write_text("\n".join(lines) + "\n")
    path.write_text(f"path: {path.stem}.csv\n{description}")
    return path


COLUMNS = (
    "columns: {structure: id, element: el, positions: [x, y, z], energy: E, "
    "forces: [fx, fy, fz], charge: q}\n"
)


def test_a_table_with_stated_columns_and_units(tmp_path: Path) -> None:
    units = "units: {energy: kcal/mol, length: angstrom}\n"
    path = write_table(tmp_path / "a.yaml", description=COLUMNS + units)
    check(open_source(path), KCAL_PER_MOL, "H2O")


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (COLUMNS, "a table whose columns and units nobody states"),
        ("units: {energy: eV}\n", r"nobody states; expected a description \(a YAML"),
        (
            COLUMNS.replace("energy: E", "energy: nope") + "units: {energy: eV}\n",
            "has no column 'nope'; it has: id, el",
        ),
        (
            COLUMNS.replace("structure: id", "structure: el") + "units: {energy: eV}\n",
            "comes back to the structure 'O'",
        ),
    ],
)
def test_nothing_of_a_table_is_guessed(
    tmp_path: Path, description: str, message: str
) -> None:
    path = write_table(tmp_path / "a.yaml", description=description)
    with pytest.raises(DataError, match=message):
        open_source(path).index  # noqa: B018 - reading is the point


def write_unknown(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("mine")["xyz_of_mine"] = POSITIONS


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.xyz.gz", lambda p: p.write_bytes(gzip.compress(b"x")), "gzip -dk a.xyz.gz"),
        ("a.parquet", lambda p: p.write_bytes(b"PAR1" + b"\0" * 99), "a parquet table"),
        ("a.h5", write_unknown, "has: xyz_of_mine.*read are SPICE, .*MACE; or write ext"),
        ("a.txt", lambda p: p.write_text("x"), r"suffix '\.txt', but no reader.*ase.io"),
    ],
)
def test_what_is_not_read_is_told_how_to_become_so(
    tmp_path: Path, name: str, write: Callable[[Path], object], message: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError, match=message):
        open_source(tmp_path / name)
