"""SPICE splits of a made-up pair of releases: what went in must come out, and no leak."""

import shutil
from collections import defaultdict
from pathlib import Path

import h5py
import numpy as np
import pytest
from rdkit import Chem
from synthetic_spice import Made, canonical, write_pair

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError
from mlffbench.core.split import Split, check_splits
from mlffbench.datasets.index.sampling import evenly, size_of, spread
from mlffbench.datasets.molecules.leaks import check_leaks
from mlffbench.datasets.sets import spice as spice_splits

SMALL = {"n_first": 90, "n_new": 40}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Made]:
    return write_pair(tmp_path_factory.mktemp("pair"), **SMALL)


@pytest.fixture
def made(
    pair: tuple[Path, Path, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Made:
    """Return what is in the pair, which is where downloads would be."""
    monkeypatch.setenv("MLFFBENCH_DATA", str(tmp_path))
    files = {"spice-1": pair[0], "spice-2": pair[1]}
    for key, path in files.items():
        (tmp_path / key).mkdir()
        shutil.copy(path, tmp_path / key)
    monkeypatch.setattr(
        spice_splits, "files_of", lambda key: (tmp_path / key / files[key].name,)
    )
    return pair[2]


def molecules(splits: tuple[Split, ...], name: str) -> set[str]:
    """Return the molecules of a split in both halves, read from the file by h5py."""
    found = set()
    for split in splits:
        if split.name != name:
            continue
        with h5py.File(split.source.path) as file:
            for key in {name.rpartition("/")[0] for name in split.ids}:
                mapped = file[key]["smiles"].asstr()[0]
                parameters = Chem.SmilesParserParams()
                parameters.removeHs = False
                found.add(canonical(Chem.MolFromSmiles(mapped, parameters)))
    return found


def test_what_went_in_comes_out(made: Made) -> None:
    splits = spice_splits.shifted("full")
    trained, held = molecules(splits, "train"), molecules(splits, "id_molecules")
    assert trained | held == made.first
    assert not trained & held
    assert len(held) == round(0.05 * len(made.first))
    assert molecules(splits, "ood_elements") == made.with_new_elements
    assert molecules(splits, "ood_charge") == made.charged
    assert molecules(splits, "ood_force_norm") == made.hot
    assert molecules(splits, "ood_size") >= made.larger
    connectivity = molecules(splits, "ood_connectivity")
    assert connectivity >= made.larger
    for name in ("elements", "charge", "force_norm", "size", "connectivity"):
        assert molecules(splits, f"ood_{name}") <= made.new


def test_no_leak_by_an_independent_check(made: Made) -> None:
    splits = spice_splits.shifted("full")
    check_splits(splits)
    check_leaks(splits)
    trained = molecules(splits, "train")
    seen = made.first | made.ions_of_first
    for name in {split.name for split in splits} - {"train", "id_molecules"}:
        assert not molecules(splits, name) & (trained | seen)


def test_halves_share_no_molecule_across_any_split(made: Made) -> None:
    halves = defaultdict(set)
    for split in spice_splits.shifted("full"):
        if split.role.startswith("ood"):
            halves[split.role] |= set(split.groups)
    assert halves["ood_val"]
    assert not halves["ood_val"] & halves["ood_test"]


def test_the_control_has_no_ood(made: Made) -> None:
    both = [spice_splits.identical("full"), spice_splits.shifted("full")]
    for name in ("train", "id_molecules"):
        one, two = ([s.sha256 for s in splits if s.name == name] for splits in both)
        assert one == two
    assert {split.role for split in both[0]} == {"train", "id_val", "id_test"}


def test_a_size_is_a_subset_spread_over_molecules(made: Made) -> None:
    full = {(s.name, s.role): s for s in spice_splits.shifted("full")}
    small = {(s.name, s.role): s for s in spice_splits.shifted("20")}
    assert full.keys() == small.keys()
    for key, split in small.items():
        whole = full[key]
        assert set(split.ids) <= set(whole.ids)
        if split.role == "train":
            assert split.ids == whole.ids
            continue
        assert len(split.rows) == min(len(whole.rows), 4)
        assert len(set(split.groups)) == min(len(set(whole.groups)), len(split.rows))


def test_splits_are_kept_and_the_same_anywhere(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [(s.name, s.role, s.sha256) for s in spice_splits.shifted("20")]
    folder = tmp_path / "splits" / "spice-ood-20"
    kept = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = [(s.name, s.role, s.sha256) for s in spice_splits.shifted("20")]
    assert again == first
    assert kept == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    shutil.rmtree(folder)
    for file in tmp_path.rglob("*.index.parquet"):
        file.unlink()
    assert [(s.name, s.role, s.sha256) for s in spice_splits.shifted("20")] == first


def test_a_split_file_changed_by_hand_is_told(made: Made, tmp_path: Path) -> None:
    spice_splits.shifted("20")
    path = tmp_path / "splits" / "spice-ood-20" / "ood_charge.ood_test.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="is not the split that was made; delete"):
        spice_splits.shifted("20")


def test_a_known_geometry_under_another_smiles_is_no_new_molecule(
    made: Made, tmp_path: Path
) -> None:
    first, second = tmp_path / "spice-1", tmp_path / "spice-2"
    with (
        h5py.File(next(first.glob("*.hdf5"))) as old,
        h5py.File(next(second.glob("*.hdf5")), "r+") as new,
    ):
        name = (
            next(key for key in old if 14 in old[key]["atomic_numbers"][()])
            if any(14 in old[key]["atomic_numbers"][()] for key in old)
            else next(iter(old))
        )
        old.copy(old[name], new, name="a copy")
        symbols = [SYMBOLS[number] for number in new["a copy/atomic_numbers"][()]]
        del new["a copy/smiles"]
        other = [".".join(f"[{name}:{i + 1}]" for i, name in enumerate(symbols))]
        text = h5py.string_dtype()
        new["a copy"].create_dataset("smiles", data=other, dtype=text)
    splits = spice_splits.shifted("full")
    assert not any("a copy/" in name for split in splits for name in split.ids)


def test_ion_pairs_and_ions_are_not_trained_on(made: Made) -> None:
    assert made.ions_of_first
    splits = spice_splits.identical("full")
    for name in ("train", "id_molecules"):
        assert not molecules(splits, name) & made.ions_of_first


def test_structures_beyond_the_gradient_filter_are_left_out(
    made: Made, tmp_path: Path
) -> None:
    path = next((tmp_path / "spice-1").glob("*.hdf5"))
    with h5py.File(path, "r+") as file:
        name = next(iter(file))
        file[name]["dft_total_gradient"][0, 0, 0] = 1.5
        file[name]["dft_total_gradient"][1, 0, 0] = np.nan
    splits = spice_splits.identical("full")
    ids = {name for split in splits for name in split.ids}
    assert f"{name}/2" in ids
    assert not {f"{name}/0", f"{name}/1"} & ids


def test_sizes() -> None:
    assert size_of("10k") == 10_000
    assert size_of("full") is None
    with pytest.raises(DataError, match="unknown size 'many'"):
        size_of("many")


def test_evenly_keeps_distances() -> None:
    rows = np.arange(100, 200)
    np.testing.assert_array_equal(evenly(rows, 4), [100, 125, 150, 175])
    np.testing.assert_array_equal(evenly(rows[:3], 4), rows[:3])


def test_spread_takes_one_of_each_before_two(made: Made) -> None:
    source = spice_splits.identical("full")[0].source
    rows = np.arange(source.index.n_structures)
    n_molecules = len(set(source.index.groups))
    chosen = spread(source.index, rows, n_molecules, "seed")
    assert len(set(source.index.record[chosen].tolist())) == n_molecules
    more = spread(source.index, rows, n_molecules + 5, "seed")
    assert set(chosen) <= set(more)
    assert set(spread(source.index, rows, n_molecules, "other")) != set(chosen)
