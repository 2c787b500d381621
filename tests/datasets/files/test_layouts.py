"""Published layouts: recognised by content, numbers equal to direct reads."""

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_files import COLUMNS, write_spice, write_xyz
from small_layouts import (
    ETHANOL,
    write_ani1x,
    write_modelforge,
    write_npz,
    write_transition1x,
)

from mlffbench.core.errors import DataError
from mlffbench.core.split import Source
from mlffbench.core.units import HARTREE, KCAL_PER_MOL, KJ_PER_MOL
from mlffbench.datasets.files.grouped import GroupedFile
from mlffbench.datasets.files.npz import NpzFile
from mlffbench.datasets.files.open import open_source
from mlffbench.datasets.files.walk import walk_of

UNITS = {"energy_unit": "kcal/mol", "length_unit": "angstrom"}


def everything(source: Source) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions, energies and forces of all rows, and check that a walk agrees."""
    rows = np.arange(source.index.n_structures)
    structures, labels = source.structures(rows), source.labels(rows)
    walk = walk_of(source)
    pieces = list(walk.walk(0, walk.n_steps))
    flat = [piece.positions.reshape(-1, 3) for piece in pieces]
    np.testing.assert_array_equal(np.concatenate(flat), structures.positions.numpy())
    flat = [piece.forces.reshape(-1, 3) for piece in pieces]
    np.testing.assert_array_equal(np.concatenate(flat), labels.forces.numpy())
    energies = np.concatenate([piece.energy for piece in pieces])
    np.testing.assert_array_equal(energies, labels.energy.numpy())
    names = [f"{piece.key}/{n}" for piece in pieces for n in piece.conformers.tolist()]
    assert names == source.index.ids(rows)
    shuffled = np.random.default_rng(0).permutation(rows)
    mixed = source.labels(shuffled)
    np.testing.assert_array_equal(mixed.energy.numpy(), labels.energy.numpy()[shuffled])
    assert source.structures(shuffled).ids == tuple(names[row] for row in shuffled)
    return structures.positions.numpy(), labels.energy.numpy(), labels.forces.numpy()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("style", ["md17", "md22", "rmd17", "words"])
def test_npz(tmp_path: Path, style: str, packed: bool) -> None:
    path = write_npz(tmp_path / "ethanol.npz", style, packed=packed)
    units = {} if style in {"md22", "rmd17"} else UNITS
    source = open_source(path, level_of_theory="made up", **units)
    assert isinstance(source, NpzFile)
    positions, energies, forces = everything(source)
    direct = np.load(path)
    names = {"md17": "ERF", "md22": "ERF"}.get(style) or {
        "rmd17": ("energies", "coords", "forces"),
        "words": ("energy", "positions", "forces"),
    }[style]
    expected = [direct[name] for name in names]
    np.testing.assert_array_equal(energies, expected[0].reshape(-1) * KCAL_PER_MOL)
    np.testing.assert_array_equal(positions, expected[1].reshape(-1, 3))
    np.testing.assert_array_equal(forces, expected[2].reshape(-1, 3) * KCAL_PER_MOL)
    assert source.index.groups == ["C2H6O"]
    assert source.index.ids(np.array([3])) == ["ethanol/3"]
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(everything(again)[2], forces)


def test_ani1x_keeps_what_is_missing_as_nan(tmp_path: Path) -> None:
    path = write_ani1x(tmp_path / "ani.h5")
    source = open_source(path)
    positions, energies, forces = everything(source)
    with h5py.File(path) as file:
        groups = [file[name] for name in ("C1H4", "H2O1")]
        direct = [g["coordinates"][()].astype(float).reshape(-1, 3) for g in groups]
        np.testing.assert_array_equal(positions, np.concatenate(direct))
        direct = [g["wb97x_dz.energy"][()] * HARTREE for g in groups]
        np.testing.assert_array_equal(energies, np.concatenate(direct))
        direct = [g["wb97x_dz.forces"][()].astype(float).reshape(-1, 3) for g in groups]
        np.testing.assert_array_equal(forces, np.concatenate(direct) * HARTREE)
    labels = source.labels(np.arange(6))
    assert sorted(labels.failures) == [4, 5]
    assert labels.source == "wB97X/6-31G(d), total energies"
    assert list(source.index.groups) == ["C1H4", "H2O1"]


def test_transition1x(tmp_path: Path) -> None:
    path = write_transition1x(tmp_path / "t1x.h5")
    source = open_source(path)
    positions, energies, forces = everything(source)
    with h5py.File(path) as file:
        groups = [file["data/C2H2N2O/rxn0001"], file["data/CH2O/rxn0007"]]
        direct = np.concatenate([g["positions"][()].reshape(-1, 3) for g in groups])
        np.testing.assert_array_equal(positions, direct)
        direct = np.concatenate([g["wB97x_6-31G(d).energy"][()] for g in groups])
        np.testing.assert_array_equal(energies, direct)
        direct = [g["wB97x_6-31G(d).forces"][()].reshape(-1, 3) for g in groups]
        np.testing.assert_array_equal(forces, np.concatenate(direct))
    assert list(source.index.groups) == ["C2H2N2O", "CH2O"]
    assert source.index.ids(np.array([4])) == ["CH2O/rxn0007/0"]


def test_modelforge(tmp_path: Path) -> None:
    path = write_modelforge(tmp_path / "curated.hdf5")
    source = open_source(path, level_of_theory="made up")
    assert isinstance(source, GroupedFile)
    positions, energies, forces = everything(source)
    with h5py.File(path) as file:
        groups = [file["hydroxide"], file["water"]]  # the file's own order
        direct = np.concatenate([g["positions"][()].reshape(-1, 3) for g in groups])
        np.testing.assert_allclose(positions, direct * 10, rtol=1e-15)
        direct = np.concatenate([g["dft_total_energy"][:, 0] for g in groups])
        np.testing.assert_allclose(energies, direct * KJ_PER_MOL, rtol=1e-15)
        direct = np.concatenate([g["dft_total_force"][()].reshape(-1, 3) for g in groups])
        np.testing.assert_allclose(forces, direct * KJ_PER_MOL / 10, rtol=1e-15)
    assert source.index.charge.tolist() == [-1, 0]
    assert source.index.smiles[1] == "[O:1]([H:2])[H:3]"


def test_spice_walks_as_it_reads(tmp_path: Path) -> None:
    everything(open_source(write_spice(tmp_path / "spice.hdf5")))


def test_xyz_walks_as_it_reads(tmp_path: Path) -> None:
    comments = [f"{COLUMNS} energy={number}" for number in range(3)]
    everything(open_source(write_xyz(tmp_path / "a.xyz", *comments)))


WRITERS: list[tuple[str, Callable[[Path], Path]]] = [
    ("SpiceFile", write_spice),
    ("GroupedFile", write_ani1x),
    ("GroupedFile", write_transition1x),
    ("GroupedFile", write_modelforge),
    ("NpzFile", lambda path: write_npz(path, "rmd17")),
    ("ExtxyzFile", lambda path: write_xyz(path, f"{COLUMNS} energy=1")),
]


@pytest.mark.parametrize(("reader", "write"), WRITERS)
def test_content_decides_whatever_the_name(
    tmp_path: Path, reader: str, write: Callable[[Path], Path]
) -> None:
    made = write(tmp_path / "made.npz")
    path = made.rename(tmp_path / "download")
    assert type(open_source(path)).__name__ == reader


def write_objects(path: Path) -> None:
    np.savez(path, z=ETHANOL, R=np.array([{"a": 1}], dtype=object), E=[1.0], F=[1.0])


def cut(path: Path, write: Callable[[Path], object]) -> None:
    write(path)
    path.write_bytes(path.read_bytes()[:-300])


def drop(name: str, write: Callable[[Path], object]) -> Callable[[Path], None]:
    def fault(path: Path) -> None:
        write(path)
        with h5py.File(path, "r+") as file:
            del file[name]

    return fault


def with_unit(unit: str) -> Callable[[Path], None]:
    def fault(path: Path) -> None:
        write_modelforge(path)
        with h5py.File(path, "r+") as file:
            file["water/positions"].attrs["u"] = unit

    return fault


FAULTS: list[tuple[str, Callable[[Path], object], str]] = [
    ("a.hdf5", lambda p: p.write_text("<!DOCTYPE html><html>404"), "is a web page"),
    ("a.npz", lambda p: p.write_text("\n <html>no</html>"), "is a web page"),
    ("a.hdf5.gz", lambda p: p.write_bytes(gzip.compress(b"x")), r"packed \(gzip\)"),
    ("a.hdf5", lambda p: cut(p, write_spice), "cannot be opened as HDF5"),
    ("a.npz", lambda p: cut(p, lambda q: write_npz(q, "rmd17")), "cannot be read"),
    ("a.npz", write_objects, "pickled Python objects"),
    ("a.npz", lambda p: write_npz(p, "md17"), "states no unit of length"),
    ("a.npz", lambda p: np.savez(p, a=1), "has no elements; .* it has: a"),
    (
        "a.h5",
        drop("H2O1/wb97x_dz.forces", write_ani1x),
        r"group 'H2O1' has no dataset 'wb97x_dz.forces'",
    ),
    (
        "a.hdf5",
        drop("water/dft_total_gradient", write_spice),
        r"group 'water' has no dataset 'dft_total_gradient'",
    ),
    (
        "a.h5",
        drop("data/CH2O/rxn0007/positions", write_transition1x),
        "rxn0007' has no dataset 'positions'",
    ),
    ("a.hdf5", with_unit("furlong"), "unknown unit of length 'furlong'"),
    ("a.hdf5", with_unit(""), "states no unit"),
]


@pytest.mark.parametrize(("name", "write", "message"), FAULTS)
def test_a_fault_is_one_sentence(
    tmp_path: Path, name: str, write: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / name
    write(path)
    with pytest.raises(DataError, match=message) as error:
        everything(open_source(path))
    assert "\n" not in str(error.value)


def test_units_that_contradict_the_file_are_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", "md22")
    with pytest.raises(DataError, match="energy is in 'kcal/mol' by e_unit, not in 'eV'"):
        everything(open_source(path, energy_unit="eV", length_unit="angstrom"))


def test_a_description_states_units(tmp_path: Path) -> None:
    write_xyz(tmp_path / "water.xyz", f"{COLUMNS} energy=2.0")
    path = tmp_path / "water.yaml"
    path.write_text(
        "path: water.xyz\nlayout: extxyz\nlevel_of_theory: CCSD(T)\n"
        "units: {energy: hartree, length: bohr, forces: kcal/mol/angstrom}\n"
    )
    source = open_source(path)
    assert source.level_of_theory == "CCSD(T)"
    labels = source.labels(np.array([0]))
    assert labels.energy.item() == pytest.approx(2 * HARTREE)
    assert labels.forces[0, 0].item() == pytest.approx(0.3 * KCAL_PER_MOL)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path: a.xyz\ncolour: red", "colour: Extra inputs are not permitted"),
        ("path: a.xyz\nunits: {energy: furlong}", "unknown unit of energy 'furlong'"),
        ("path: a.xyz\nlayout: cif", "layout: Input should be"),
        ("[1, 2]", "must be a mapping"),
        ("a: [", "not readable YAML"),
        ("path: nowhere.xyz", "does not exist"),
    ],
)
def test_a_wrong_description_is_one_sentence(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        open_source(path)
