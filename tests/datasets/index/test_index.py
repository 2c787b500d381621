"""Indexes: facts equal to direct reads, resumable, made again when the file changes."""

import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from processes import Started
from scipy.spatial.transform import Rotation
from small_files import COLUMNS, MOLECULES, edited, write_spice, write_xyz
from small_layouts import write_ani1x, write_npz

from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.files import sha256_of
from mlffbench.core.units import force_factor
from mlffbench.datasets.files.open import open_source
from mlffbench.datasets.index import index as indexes
from mlffbench.datasets.index.indexed import IndexedFile
from mlffbench.datasets.molecules.fingerprints import fingerprints, geometry_hashes

GRADIENT = force_factor("hartree/bohr")


class Notes:
    """Counts the steps it is told of."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def begin(self, title: str, n_structures: int) -> None:
        self.total = n_structures

    def advance(self, n_structures: int) -> None:
        self.done += n_structures


def test_facts_are_those_of_direct_reads(tmp_path: Path) -> None:
    path = write_spice(tmp_path / "a.hdf5")
    notes = Notes()
    source = IndexedFile(path, counter=notes)
    assert notes.total == notes.done == len(MOLECULES)
    table = pq.read_table(source.index_path).to_pandas()
    row = 0
    with h5py.File(path) as file:
        for name in file:
            gradient = file[name]["dft_total_gradient"][()].astype(float)
            for conformer in range(len(gradient)):
                facts = table.iloc[row]
                norms = np.linalg.norm(gradient[conformer], axis=1) * GRADIENT
                assert facts["id"] == f"{name}/{conformer}"
                assert facts["n_atoms"] == gradient.shape[1]
                assert facts["mean_force"] == pytest.approx(norms.mean(), rel=1e-12)
                assert facts["max_force"] == pytest.approx(norms.max(), rel=1e-12)
                assert facts["gradient_passes"] == (abs(gradient[conformer]).max() <= 1)
                assert facts["energy_finite"]
                row += 1
    assert row == len(table)
    assert dict(zip(table["key"], table["canonical"], strict=True)) == {
        "hydroxide": "[OH-]",
        "methyl": "[CH3]",
        "water": "O",
    }
    assert set(table["elements"]) == {"H O", "H C"}
    assert set(table["formula"]) == {"HO", "CH3", "H2O"}
    assert list(table.groupby("key")["charge"].first()) == [-1, 0, 0]


@pytest.mark.parametrize(
    "write",
    [
        write_spice,
        write_ani1x,
        lambda path: write_npz(path, "rmd17"),
        lambda path: write_xyz(path, *[f"{COLUMNS} energy={n}" for n in range(3)]),
    ],
)
def test_an_indexed_file_reads_as_the_plain_one(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    path = write(tmp_path / "data.npz")
    plain, kept = open_source(path), IndexedFile(path)
    rows = np.random.default_rng(0).permutation(plain.index.n_structures)
    for source in (kept, pickle.loads(pickle.dumps(kept))):
        for name in ("n_atoms", "charge", "multiplicity", "periodic", "conformer"):
            expected = getattr(plain.index, name)
            np.testing.assert_array_equal(getattr(source.index, name), expected)
        assert list(source.index.elements) == list(plain.index.elements)
        assert source.index.ids(rows) == plain.index.ids(rows)
        one, two = source.structures(rows), plain.structures(rows)
        np.testing.assert_array_equal(one.positions, two.positions)
        assert one.ids == two.ids
        forces = source.labels(rows).forces
        np.testing.assert_array_equal(forces, plain.labels(rows).forces)
    assert kept.sha256 == plain.sha256 == sha256_of(path)
    assert IndexedFile(path).sha256 == kept.sha256


def test_molecules_are_named_by_canonical_smiles(tmp_path: Path) -> None:
    path = edited(
        write_spice(tmp_path / "a.hdf5"),
        lambda file: file.move("water", "another name of water"),
    )
    source = IndexedFile(path)
    assert set(source.index.groups) == {"O", "[OH-]", "[CH3]"}
    assert "O" in source.structures(np.arange(source.index.n_structures)).group


def test_nan_in_a_gradient_is_kept_and_told(tmp_path: Path) -> None:
    def fault(file: h5py.File) -> None:
        file["water/dft_total_gradient"][1, 0, 0] = np.nan
        file["water/dft_total_energy"][2] = np.nan
        file["methyl/dft_total_gradient"][...] = 0.1
        file["methyl/dft_total_gradient"][3, 0, 0] = -1.01

    source = IndexedFile(edited(write_spice(tmp_path / "a.hdf5"), fault))
    table = source.table
    ids = source.index.ids(np.arange(source.index.n_structures))
    usable = dict(zip(ids, table.usable.tolist(), strict=True))
    assert not usable["water/1"]
    assert not usable["water/2"]
    assert [usable[f"methyl/{n}"] for n in range(4)] == [True, True, True, False]
    assert np.isnan(table.mean_force[ids.index("water/1")])


def test_a_position_that_is_not_finite_is_named(tmp_path: Path) -> None:
    def fault(file: h5py.File) -> None:
        file["water/conformations"][2, 1, 1] = np.inf

    with pytest.raises(DataError, match="'water/2' has a position that is not finite"):
        IndexedFile(edited(write_spice(tmp_path / "a.hdf5"), fault))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "GROUPS_PER_CHUNK", 1)


@pytest.mark.usefixtures("small_chunks")
def test_a_fault_half_way_keeps_what_is_finished(tmp_path: Path) -> None:
    path = write_spice(tmp_path / "a.hdf5")
    whole = IndexedFile(path).index_path.read_bytes()
    (tmp_path / "a.hdf5.index.parquet").unlink()
    status = path.stat()
    edited(path, lambda file: file.move("water/conformations", "water/elsewhere"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DataError, match="'water' has no dataset 'conformations'"):
        IndexedFile(path)
    parts = tmp_path / "a.hdf5.index.parquet.parts"
    assert len(list(parts.glob("0*.parquet"))) == 2
    edited(path, lambda file: file.move("water/elsewhere", "water/conformations"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = IndexedFile(path).index_path
    if path.stat().st_size == status.st_size:
        assert again.read_bytes() == whole
    assert not parts.exists()


@pytest.mark.usefixtures("small_chunks")
def test_two_processes_make_the_same_index(tmp_path: Path) -> None:
    path = write_spice(tmp_path / "a.hdf5")
    source = open_source(path)
    one = indexes.build_index(source, path, tmp_path / "one.parquet")
    two = indexes.build_index(source, path, tmp_path / "two.parquet", workers=2)
    assert one.read_bytes() == two.read_bytes()


KILLED = """
import sys, time
from pathlib import Path
from mlffbench.datasets.index import index
from mlffbench.datasets.files.open import open_source
index.GROUPS_PER_CHUNK = 1
class Stuck:
    def begin(self, title, n): pass
    def advance(self, n): print("chunk", flush=True); time.sleep(600)
path, target = map(Path, sys.argv[1:])
index.build_index(open_source(path), path, target, counter=Stuck())
"""


@pytest.mark.usefixtures("small_chunks")
def test_killed_while_indexing_the_same_call_continues(tmp_path: Path) -> None:
    path = write_spice(tmp_path / "a.hdf5")
    script, target = tmp_path / "script.py", tmp_path / "killed.parquet"
    script.write_text(KILLED)
    process = Started(str(script), str(path), str(target))
    deadline = time.monotonic() + 60
    while process.told() != "chunk\n" and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    assert not target.exists()
    (part,) = (tmp_path / "killed.parquet.parts").glob("0*.parquet")
    assert pq.read_table(part)["key"].to_pylist() == ["hydroxide"] * 4
    source, notes = open_source(path), Notes()
    written: list[tuple[int, int]] = []
    plain = source.walk
    source.walk = lambda *chunk: (written.append(chunk), plain(*chunk))[1]
    indexes.build_index(source, path, target, counter=notes)
    assert written == [(1, 2), (2, 3)]  # the finished chunk was not read again
    assert notes.done == 3
    straight = indexes.build_index(open_source(path), path, tmp_path / "straight.parquet")
    assert target.read_bytes() == straight.read_bytes()


def test_a_changed_file_is_indexed_again(tmp_path: Path) -> None:
    path = write_spice(tmp_path / "a.hdf5")
    first = IndexedFile(path)
    assert first.index.n_structures == 12
    old = first.sha256
    write_spice(path, n_conformers=2)
    second = IndexedFile(path)
    assert second.index.n_structures == 6
    assert second.sha256 != old


def test_a_damaged_index_is_told(tmp_path: Path) -> None:
    source = IndexedFile(write_spice(tmp_path / "a.hdf5"))
    raw = bytearray(source.index_path.read_bytes())
    raw[100:400] = b"x" * 300
    source.index_path.write_bytes(raw)
    with pytest.raises(DataError, match="delete it"):
        source.table  # noqa: B018


def test_the_index_of_a_read_only_folder_is_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_spice(tmp_path / "a.hdf5")
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    source = IndexedFile(path)
    assert source.index_path.is_relative_to(tmp_path / "cache" / "indexes")
    assert not (tmp_path / "a.hdf5.index.parquet").exists()
    assert source.index.n_structures == 12


def test_a_folder_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    path = write_spice(tmp_path / "a.hdf5")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="choose another folder"):
        indexes.build_index(open_source(path), path, tmp_path / "file" / "x.parquet")


def test_geometry_hashes_ignore_numbering_place_and_orientation() -> None:
    rng = np.random.default_rng(0)
    numbers = np.array([6, 8, 1, 1, 1, 1])
    positions = rng.normal(size=(5, 6, 3)) * 2
    order = rng.permutation(6)
    moved = Rotation.random(random_state=1).apply(positions.reshape(-1, 3)) + 7.0
    moved = moved.reshape(5, 6, 3)[:, order]
    state = {"charge": 0, "multiplicity": 1}
    hashes = geometry_hashes(numbers, positions, **state)
    again = geometry_hashes(numbers[order], moved, **state)
    np.testing.assert_array_equal(hashes, again)
    assert len(set(hashes.tolist())) == 5
    assert not set(hashes) & set(
        geometry_hashes(numbers, positions + 0, charge=1, multiplicity=2)
    )
    swapped = geometry_hashes(numbers[[1, 0, 2, 3, 4, 5]], positions, **state)
    assert not set(hashes) & set(swapped)
    near = positions.copy()
    near[0, 0, 0] += 0.1
    assert (geometry_hashes(numbers, near, **state) != hashes).tolist() == [True] + [
        False
    ] * 4
    one, two = fingerprints(numbers, positions), fingerprints(numbers[order], moved)
    np.testing.assert_allclose(one, two, atol=1e-10)


def test_a_single_atom_has_a_hash() -> None:
    positions = np.zeros((2, 1, 3))
    found = geometry_hashes(np.array([2]), positions, charge=0, multiplicity=1)
    assert found[0] == found[1]
