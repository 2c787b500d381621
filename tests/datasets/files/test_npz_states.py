"""Charge, spin, units and cells of npz files, in every shape in use."""

from pathlib import Path

import numpy as np
import pytest

from mlffbench.core.errors import DataError
from mlffbench.core.units import BOHR, HARTREE, KCAL_PER_MOL
from mlffbench.datasets.files.npz import NpzFile

N = 4
POSITIONS, FORCES = np.random.default_rng(0).normal(size=(2, N, 2, 3))
SKEW = np.array([[9.0, 1, 0], [0, 8, 0], [0, 0, 7]])


def write(path: Path, **arrays: object) -> NpzFile:
    base = {"z": [8, 1], "R": POSITIONS, "E": np.arange(N) - 5.0, "F": FORCES}
    base |= {"r_unit": "Ang", "e_unit": "eV"}
    np.savez(path, **{k: v for k, v in (base | arrays).items() if v is not None})
    return NpzFile(path)


@pytest.mark.parametrize("name", ["Q", "charge", "charges", "total_charge", "q"])
@pytest.mark.parametrize(
    "value", [-1, -1.0, [-1], "-1", np.full(N, -1.0), np.full((N, 1), -1)], ids=repr
)
def test_charge(tmp_path: Path, name: str, value: object) -> None:
    if name == "charges" and np.size(value) == 1:
        name = "net_charge"
    index = write(tmp_path / "a.npz", **{name: value}).index
    assert index.charge.tolist() == [-1]
    assert index.multiplicity.tolist() == [1]
    assert index.remarks == ()


def test_charge_and_spin_of_each_frame(tmp_path: Path) -> None:
    source = write(tmp_path / "a.npz", Q=[0, -1, 0, 1], spin=[2, 1, 4, 1])
    rows = np.arange(N)
    structures, labels = source.structures(rows), source.labels(rows)
    frames = [int(name.rpartition("/")[2]) for name in structures.ids]
    assert sorted(frames) == [0, 1, 2, 3]
    by_frame = dict(zip(frames, structures.charge.tolist(), strict=True))
    assert by_frame == {0: 0, 1: -1, 2: 0, 3: 1}
    by_frame = dict(zip(frames, structures.multiplicity.tolist(), strict=True))
    assert by_frame == {0: 2, 1: 1, 2: 4, 3: 1}
    assert labels.energy.tolist() == [frame - 5.0 for frame in frames]
    shaped = structures.positions.reshape(N, 2, 3).numpy()
    np.testing.assert_array_equal(shaped, POSITIONS[frames])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"Q": 0, "charge": -1}, "says two things of its charge"),
        ({"Q": 0.5}, "Q = '0.5'; expected a whole number"),
        ({"spin_thing": 3}, "spin_thing = '3', which looks like charge or spin"),
        ({"e_unit": "furlong"}, "unknown unit of energy 'furlong'"),
        (
            {"e_unit": "eV", "energy_unit": "Ha"},
            "energy is in 'eV' by .*unit, not in 'Ha'",
        ),
        ({"e_unit": None}, "states no unit of energy"),
        ({"cell": np.ones((3, 3))}, "a cell without volume"),
        ({"cell": np.ones((2, 2))}, r"has shape \(2, 2\) .*expected \(3, 3\)"),
        ({"cell": SKEW, "lattice": SKEW}, "has 'cell' and 'lattice'; expected one cell"),
        ({"lattice": SKEW}, "rows for most, the columns for sGDML"),
    ],
)
def test_what_is_not_understood_is_refused(
    tmp_path: Path, arrays: dict, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write(tmp_path / "a.npz", **arrays).index  # noqa: B018 - reading is the point


@pytest.mark.parametrize(
    ("units", "energy", "length"),
    [
        ({"e_unit": "kcal mol-1", "r_unit": "Angstroms"}, KCAL_PER_MOL, 1),
        ({"e_unit": b"Hartree", "r_unit": b"Bohr"}, HARTREE, BOHR),
        ({"e_unit": None, "r_unit": None, "units": "Ha, bohr"}, HARTREE, BOHR),
    ],
)
def test_units(tmp_path: Path, units: dict, energy: float, length: float) -> None:
    source = write(tmp_path / "a.npz", Q=-1, **units)
    rows = np.array([2])
    assert source.labels(rows).energy.item() == pytest.approx(-3 * energy)
    found = source.labels(rows).forces.numpy()
    np.testing.assert_allclose(found, FORCES[2] * energy / length, rtol=1e-12)
    found = source.structures(rows).positions.numpy()
    np.testing.assert_allclose(found, POSITIONS[2] * length, rtol=1e-12)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"cell": SKEW}, SKEW),
        ({"cell": np.tile(SKEW, (N, 1, 1))}, SKEW),
        ({"cell": SKEW.reshape(9)}, SKEW),
        ({"box": np.array([9.0, 8, 7])}, np.diag([9.0, 8, 7])),
        ({"lattice": np.eye(3) * 5}, np.eye(3) * 5),
        ({"lattice": SKEW.T, "type": "d", "md5": "0"}, SKEW),  # sGDML's are columns
    ],
)
def test_cells_are_cells(tmp_path: Path, arrays: dict, expected: np.ndarray) -> None:
    source = write(tmp_path / "a.npz", **arrays)
    structures = source.structures(np.array([3, 1]))
    assert structures.pbc.all()
    np.testing.assert_array_equal(structures.cell.numpy(), np.stack([expected] * 2))
    assert source.index.periodic.tolist() == [True]
    molecule = write(tmp_path / "b.npz", cell=np.zeros((3, 3)), Q=-1).index
    assert molecule.periodic.tolist() == [False]
    flat = write(tmp_path / "c.npz", cell=SKEW, pbc=[True, True, False])
    assert flat.structures(np.array([0])).pbc.tolist() == [[True, True, False]]


def test_symbols_and_repeated_frames(tmp_path: Path) -> None:
    twice = POSITIONS.copy()
    twice[3] = twice[0]
    index = write(tmp_path / "a.npz", z=["O", "H"], R=twice, Q=-1).index
    assert index.elements == [{1, 8}]
    (remark,) = index.remarks
    assert remark.startswith("1 of the 4 frames of ")
