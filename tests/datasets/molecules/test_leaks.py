"""Names differ between files, molecules and geometries do not."""

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from small_files import edited, replace_dataset, write_spice

from mlffbench.core.errors import DataError
from mlffbench.core.roles import Role
from mlffbench.core.split import Shift, Source, Split
from mlffbench.core.structures import Structures
from mlffbench.datasets.files.extxyz import ExtxyzFile
from mlffbench.datasets.files.spice_layout import SpiceFile
from mlffbench.datasets.molecules import comparison, leaks
from mlffbench.datasets.molecules.leaks import check_leaks
from mlffbench.datasets.sets.mini.splits import splits

BENT = np.array([[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.0, -0.7, -0.5]])
WATER = [8, 1, 1]
HEADER = "Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.0 "


def split_of(source: Source, role: Role, *, shares: str = "") -> Split:
    return Split(
        name=role,
        role=role,
        source=source,
        rows=np.arange(source.index.n_structures),
        rule="all",
        shift=Shift("charge", "made up") if role.startswith("ood") else None,
        shares_molecules=shares,
    )


def write_frames(
    path: Path, *comments: str, stretch: float = 1.0, symbols: str = "O H H"
) -> ExtxyzFile:
    """Write water once per comment, each a little larger than the one before."""
    text, names = "", symbols.split()
    more = np.random.default_rng(0).normal(scale=5, size=(len(names), 3))
    shape = np.concatenate([BENT, more])[: len(names)]
    for i, comment in enumerate(comments):
        rows = shape * (stretch + 0.1 * i)
        lines = (
            f"{symbol} {x} {y} {z} 0 0 0\n"
            for symbol, (x, y, z) in zip(names, rows.tolist(), strict=True)
        )
        text += f"{len(names)}\n{HEADER}{comment}\n{''.join(lines)}"
    path.write_text(text)
    return ExtxyzFile(path)


def atoms_of(smiles: str) -> str:
    """Return the symbols of a SMILES, those of water where it is none."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return "O H H"
    return " ".join(atom.GetSymbol() for atom in Chem.AddHs(molecule).GetAtoms())


def renamed(file: h5py.File) -> None:
    for name in list(file):
        file.move(name, f"other {name}")


def test_renamed_groups_of_another_file(tmp_path: Path) -> None:
    train = SpiceFile(write_spice(tmp_path / "a.hdf5"))
    other = SpiceFile(edited(write_spice(tmp_path / "b.hdf5", seed=1), renamed))
    pair = [split_of(train, "train"), split_of(other, "id_test")]
    with pytest.raises(DataError, match=r"3 molecules of split 'id_test' .* 'other \w"):
        check_leaks(pair)
    check_leaks([pair[0], split_of(other, "id_test", shares="other conformers")])


def test_a_reason_does_not_excuse_a_geometry(tmp_path: Path) -> None:
    train = SpiceFile(write_spice(tmp_path / "a.hdf5"))
    copy = SpiceFile(edited(write_spice(tmp_path / "b.hdf5"), renamed))
    pair = [split_of(copy, "id_val", shares="conformers"), split_of(train, "train")]
    with pytest.raises(DataError, match=r"12 structures .*'other hydroxide/0' that of"):
        check_leaks(pair)


def test_a_copied_file_under_another_name(tmp_path: Path) -> None:
    train = write_frames(tmp_path / "a.xyz", "group=a", "group=b")
    shutil.copy(train.path, tmp_path / "b.xyz")
    copy = ExtxyzFile(tmp_path / "b.xyz")
    pair = [split_of(train, "train"), split_of(copy, "ood_test", shares="hotter")]
    with pytest.raises(DataError, match=r"2 structures of split 'ood_test' .*'b/0' that"):
        check_leaks(pair)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("[O:1]([H:2])[H:3]", "O", True),
        ("[O:1]([H:2])[H:3]", "[H][O][H]", True),
        ("CNC(C)=O", "CC(=O)NC", True),
        ("OCCN", "NCCO", True),
        ("CCO", "COC", False),
        ("CC(=O)O", "CC(=O)[O-]", False),
    ],
)
def test_spellings(tmp_path: Path, one: str, other: str, *, same: bool) -> None:
    pytest.importorskip("rdkit")
    train = write_frames(
        tmp_path / "a.xyz", f'smiles="{one}" group=a', symbols=atoms_of(one)
    )
    comment = f'smiles="{other}" group=b'
    test = write_frames(
        tmp_path / "b.xyz", comment, stretch=1.05, symbols=atoms_of(other)
    )
    pair = [split_of(train, "train"), split_of(test, "id_test")]
    if not same:
        return check_leaks(pair)
    with pytest.raises(DataError, match=r"1 molecules .*'b', there 'a', both"):
        check_leaks(pair)
    return None


@pytest.mark.parametrize("known", ["smiles=O group=a", "smiles='no SMILES' group=a", ""])
def test_what_has_no_smiles_is_compared_by_its_bonds(tmp_path: Path, known: str) -> None:
    pytest.importorskip("rdkit")
    train = write_frames(tmp_path / "a.xyz", known)
    test = write_frames(tmp_path / "b.xyz", "group=b", stretch=1.05)
    with pytest.raises(DataError, match="the same by the bonds between their atoms"):
        check_leaks([split_of(train, "train"), split_of(test, "id_test")])
    check_leaks([split_of(train, "train"), split_of(test, "id_test", shares="hotter")])


def test_what_is_not_comparable_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(comparison, "MOST_ATOMS", 1)  # as if nothing could be derived
    train = write_frames(tmp_path / "a.xyz", "smiles=O group=a")
    test = write_frames(tmp_path / "b.xyz", "group=b", stretch=1.05)
    check_leaks([split_of(train, "train"), split_of(test, "id_test")])
    assert "not comparable without SMILES" in caplog.text
    near = write_frames(tmp_path / "c.xyz", "group=b", stretch=1.002)
    with pytest.raises(DataError, match=r"are nearly those of train, e\.g\. 'c/0' 'a/0'"):
        check_leaks([split_of(train, "train"), split_of(near, "id_test")])


def test_without_rdkit_names_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    train = write_frames(tmp_path / "a.xyz", "smiles=O group=a")
    same = write_frames(tmp_path / "b.xyz", "smiles=[H]O[H] group=b", stretch=1.05)
    check_leaks([split_of(train, "train"), split_of(same, "id_test")])
    named = write_frames(tmp_path / "c.xyz", "group=a", stretch=1.05)
    with pytest.raises(DataError, match=r"1 molecules of split 'id_test' .*'a', there"):
        check_leaks([split_of(train, "train"), split_of(named, "id_test")])


def test_clean_files_pass(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    train = SpiceFile(write_spice(tmp_path / "a.hdf5"))
    other = write_frames(tmp_path / "b.xyz", "smiles=CC", symbols=atoms_of("CC"))
    check_leaks([split_of(train, "train"), split_of(other, "ood_val")])
    again = SpiceFile(write_spice(tmp_path / "c.hdf5", seed=1))
    check_leaks([split_of(train, "train"), split_of(again, "id_val", shares="hotter")])


def test_the_embedded_splits_pass() -> None:
    check_leaks(splits())


def keys(positions: np.ndarray, numbers: list[int], **more: object) -> list[bytes]:
    structures = Structures.build(
        [torch.tensor(positions)], [torch.tensor(numbers)], ids=["x"], **more
    )  # type: ignore[arg-type]
    return [key for key, _ in leaks._keys(structures)]


def turned(positions: np.ndarray) -> np.ndarray:
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    return positions @ matrix.T + [1.0, -2.0, 3.0]


SAME: dict[str, Callable[[], list[bytes]]] = {
    "turned": lambda: keys(turned(BENT), WATER),
    "renumbered": lambda: keys(BENT[[2, 0, 1]], [1, 8, 1]),
    "seven digits": lambda: keys(turned(BENT).round(7), WATER),
}
OTHER: dict[str, Callable[[], list[bytes]]] = {
    "moved atom": lambda: keys(np.diag([1, 1, 1.02]) @ BENT, WATER),
    "elements": lambda: keys(BENT, [16, 1, 1]),
    "charge": lambda: keys(BENT, WATER, charge=[1], multiplicity=[2]),
    "spin": lambda: keys(BENT, WATER, multiplicity=[3]),
}


@pytest.mark.parametrize("name", SAME)
def test_what_is_the_same_geometry(name: str) -> None:
    assert SAME[name]() == keys(BENT, WATER)


@pytest.mark.parametrize("name", OTHER)
def test_what_is_another_geometry(name: str) -> None:
    assert OTHER[name]() != keys(BENT, WATER)


def test_a_cell_is_part_of_a_geometry() -> None:
    def crystal(length: float) -> list[bytes]:
        cell = torch.eye(3, dtype=torch.float64)[None] * length
        pbc = torch.ones((1, 3), dtype=torch.bool)
        return keys(np.zeros((1, 3)), [29], cell=cell, pbc=pbc, multiplicity=[2])

    assert crystal(3.6) == crystal(3.6) != crystal(3.7)


def test_too_many_structures_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = write_frames(tmp_path / "a.xyz", "group=a")
    copy = write_frames(tmp_path / "b.xyz", "group=b")
    pair = [split_of(train, "train"), split_of(copy, "id_test", shares="hotter")]
    monkeypatch.setattr(leaks, "MOST_STRUCTURES", 1)
    check_leaks(pair)
    monkeypatch.setattr(leaks, "MOST_STRUCTURES", 2)
    with pytest.raises(DataError, match="have the geometry of a train structure"):
        check_leaks(pair)


def test_chunks_are_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaks, "CHUNK", 2)
    source = SpiceFile(write_spice(tmp_path / "a.hdf5"))
    split = split_of(source, "train")
    kinds = set(leaks._kinds(split).values())
    assert [name for _, name in leaks._geometries(split, kinds)] == split.ids
    some = {kind for kind in kinds if kind[0] > 2}
    found = [name for _, name in leaks._geometries(split, some)]
    assert found == split.ids[4:], "hydroxide is of no kind that is asked for"


def test_geometries_are_the_same_however_many_are_compared_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SpiceFile(write_spice(tmp_path / "a.hdf5"))
    structures = source.structures(np.arange(source.index.n_structures))
    together = list(leaks._keys(structures))
    for most in (1, 9, 20):
        monkeypatch.setattr(leaks, "_MOST_AT_ONCE", most)
        assert list(leaks._keys(structures)) == together


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    how = replace_dataset("water/conformations", np.full((4, 3, 3), np.nan))
    bad = SpiceFile(edited(write_spice(tmp_path / "a.hdf5"), how))
    with pytest.raises(DataError, match="not finite"):
        check_leaks([split_of(bad, "train")])
