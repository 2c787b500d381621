"""ASE trajectories, packed XYZ and LMDB databases, as other tools write them."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import Trajectory, ulm, write
from small_files import COLUMNS, read_everything, write_xyz

from mlffbench.core.errors import DataError
from mlffbench.datasets.files.open import open_source

EVERY = np.arange


def labelled(name: str = "CH3OH", energy: float = -1.0, **results: object) -> Atoms:
    atoms = molecule(name)
    forces = np.full((len(atoms), 3), 0.25)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, **results)
    return atoms


def trajectory(path: Path, *frames: Atoms) -> Path:
    with Trajectory(path, "w") as file:
        for atoms in frames:
            file.write(atoms)
    return path


def with_info(atoms: Atoms, **info: object) -> Atoms:
    atoms.info.update(info)
    return atoms


def with_charges(atoms: Atoms) -> Atoms:
    calculator = atoms.calc
    atoms.set_initial_charges([1.0] + [0.0] * (len(atoms) - 1))
    calculator.atoms = atoms.copy()  # the results belong to it as it is now
    return atoms


def fixed(atoms: Atoms) -> Atoms:
    atoms.set_constraint(FixAtoms([0]))
    return atoms


def solid() -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0, forces=np.zeros((4, 3)))
    return atoms


@pytest.mark.parametrize(
    ("frames", "groups", "charge", "multiplicity", "energy", "force"),
    [
        ([labelled(), labelled(energy=-2)], ["CH4O"] * 2, 0, 1, -3.0, 0.25),
        ([labelled(), labelled("H2O")], ["CH4O", "H2O"], 0, 1, -2.0, 0.25),
        ([labelled("H2O"), labelled(), labelled()], ["H2O", "CH4O", "CH4O"], 0, 1, -3.0,
         0.25),
        ([fixed(labelled())], ["CH4O"], 0, 1, -1.0, 0.25),
        ([with_info(labelled(), charge=1, spin=2)], ["CH4O"], 1, 2, -1.0, 0.25),
        ([with_info(labelled(), group="mine")], ["mine"], 0, 1, -1.0, 0.25),
        ([with_charges(labelled())], ["CH4O"], 1, 2, -1.0, 0.25),
        ([labelled("O2", magmom=2.0)], ["O2"], 0, 3, -1.0, 0.25),
        ([labelled(free_energy=-1.5, stress=np.zeros(6))], ["CH4O"], 0, 1, -1.0, 0.25),
        ([solid()], ["Cu4"], 0, 1, -3.0, 0.0),
    ],
)  # fmt: skip
def test_a_trajectory_is_read(  # noqa: PLR0917
    tmp_path: Path,
    frames: list[Atoms],
    groups: list[str],
    charge: int,
    multiplicity: int,
    energy: float,
    force: float,
) -> None:
    source = open_source(trajectory(tmp_path / "a.traj", *frames))
    index, rows = source.index, EVERY(len(frames))
    assert index.ids(rows)[0] == "a/0"
    assert list(index.groups) == groups
    assert (index.charge[0], index.multiplicity[0]) == (charge, multiplicity)
    structures, labels = source.structures(rows), source.labels(rows)
    assert np.allclose(structures.positions, np.vstack([a.positions for a in frames]))
    assert labels.energy.sum().item() == pytest.approx(energy)
    assert np.allclose(labels.forces, force)
    assert bool(structures.pbc.any()) == bool(frames[0].pbc.any())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def other_ulm(path: Path) -> None:
    with ulm.ulmopen(path, "w", tag="gpaw") as file:
        file.write(numbers=[1])


def pickled(path: Path) -> None:
    path.write_bytes(b"PickleTrajectory\x80\x03")


@pytest.mark.parametrize(
    ("frames", "spoil", "sentence"),
    [
        ([molecule("H2O")], None, "frame 0 of .* has no forces; expected 'REF_"),
        (
            [with_info(labelled(), REF_energy=1.0)],
            None,
            "two families, REF_energy and energy",
        ),
        ([with_info(labelled(), net_charge_guess=1)], None, "looks like charge or spin"),
        ([with_info(labelled(), energy_unit="furlong")], None, "unknown unit of energy"),
        ([labelled()], cut, "cannot be read as an ASE trajectory"),
        ([labelled()], lambda path: path.write_bytes(b"- of UlmASE-Traj"), "has no|cut"),
        ([labelled()], other_ulm, "tagged 'gpaw'"),
        ([labelled()], pickled, "which is a pickle, which is not read; read are "),
    ],
)
def test_a_trajectory_that_cannot_be_read_is_one_sentence(
    tmp_path: Path,
    frames: list[Atoms],
    spoil: Callable[[Path], object] | None,
    sentence: str,
) -> None:
    path = trajectory(tmp_path / "a.traj", *frames)
    if spoil:
        spoil(path)
    with pytest.raises(DataError, match=sentence):
        read_everything(open_source(path))


def test_a_label_that_is_not_finite_is_the_failure_of_its_frame(tmp_path: Path) -> None:
    path = trajectory(tmp_path / "a.traj", labelled(energy=np.nan), labelled())
    labels = open_source(path).labels(EVERY(2))
    assert labels.failures == {0: "reference label is not finite"}


def test_unlabelled_trajectories_may_be_compared(tmp_path: Path) -> None:
    path = trajectory(tmp_path / "a.traj", molecule("H2O"), molecule("H2O"))
    source = open_source(path, forces_required=False)
    assert source.index.n_structures == 2
    assert source.index.remarks[0].startswith("1 of the 2 frames of ")
    assert source.labels(EVERY(2)).forces.isnan().all()


@pytest.mark.parametrize("suffix", [".xyz.gz", ".extxyz.gz", ".XYZ.GZ"])
def test_a_packed_file_is_the_same_as_the_plain_one(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "a.xyz", [labelled(energy=float(i)) for i in range(4)])
    plain = open_source(tmp_path / "a.xyz")
    packed = tmp_path / f"a{suffix}"
    packed.write_bytes(gzip.compress(plain.path.read_bytes()))
    source = open_source(packed)
    rows = np.array([3, 0, 2, 0])
    assert source.index.ids(rows) == plain.index.ids(rows)
    assert source.labels(rows).energy.tolist() == [3.0, 0.0, 2.0, 0.0]
    assert np.allclose(source.structures(rows).positions,
                       plain.structures(rows).positions)  # fmt: skip


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"not an xyz", r"is packed \(gzip\); unpack it first"),
        (None, "cannot be unpacked"),
    ],
)
def test_a_packed_file_that_cannot_be_read(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / "a.xyz.gz"
    text = write_xyz(tmp_path / "b.xyz", f"{COLUMNS} energy=2.0").read_bytes() * 50
    cut_off = gzip.compress(text)[:-20]
    path.write_bytes(cut_off if content is None else gzip.compress(content))
    with pytest.raises(DataError, match=sentence):
        open_source(path).index  # noqa: B018


def test_an_lmdb_is_read_or_says_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "a.aselmdb"
    try:
        import ase_db_backends  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        path.write_bytes(bytes(16) + b"\xde\xc0\xef\xbe" + bytes(9000))
        with pytest.raises(DataError, match=r"pip install ase-db-backends; or convert"):
            open_source(path)
        path.rename(tmp_path / "a.lmdb")
        with pytest.raises(DataError, match=r"an LMDB that is no \.aselmdb of ASE"):
            open_source(tmp_path / "a.lmdb")
        return
    import ase.db

    with ase.db.connect(path, type="aselmdb") as database:
        database.write(labelled(), data={"charge": 1, "spin": 2})
    source = open_source(path)
    assert (source.index.charge[0], source.index.multiplicity[0]) == (1, 2)
    assert source.labels(EVERY(1)).energy.tolist() == [-1.0]
