"""md17-extreme, md22-force-norm, acac and 3bpa: rules applied to files of the layout."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write
from typer.testing import CliRunner

from mlffbench.cli.app import app
from mlffbench.core.errors import DataError
from mlffbench.core.split import Split, check_splits
from mlffbench.core.units import KCAL_PER_MOL
from mlffbench.datasets.files.npz import NpzFile
from mlffbench.datasets.index.joined import JoinedSource
from mlffbench.datasets.sets import acac_3bpa as botnet
from mlffbench.datasets.sets import md17, md22
from mlffbench.run.catalog import suite_rows
from mlffbench.run.suite import load_suite, needs

N_FRAMES = 40
MOLECULES = {
    "aspirin": "C6H6",
    "benzene": "C2H4",
    "uracil": "H2CO",
    "toluene": "CH3OH",
    "naphthalene": "CH3CH2OH",
    "salicylic-acid": "HCOOH",
}
"""Stand-ins: small molecules in place of the real ones."""


def write_frames(path: Path, name: str, force: np.ndarray) -> Path:
    """Write frames in the layout of MD17 whose mean atomic |F| is given, in eV/Å."""
    rng = np.random.default_rng(0)
    atoms = molecule(name)
    shape = (len(force), len(atoms), 3)
    forces = rng.normal(size=shape)
    forces /= np.linalg.norm(forces, axis=2).mean(axis=1)[:, None, None]
    np.savez(
        path,
        z=atoms.numbers,
        R=atoms.positions + rng.normal(scale=0.05, size=shape),
        E=rng.normal(size=(len(force), 1)),
        F=forces * force[:, None, None] / KCAL_PER_MOL,
    )
    return path


@pytest.fixture
def md17_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        f"md17/{key}": write_frames(tmp_path / f"{key}.npz", name, np.ones(N_FRAMES))
        for key, name in MOLECULES.items()
    }
    monkeypatch.setattr(md17, "files_of", lambda key: (files[key],))


def by_role(splits: tuple[Split, ...]) -> dict[tuple[str, str], Split]:
    check_splits(splits)
    return {(split.name, split.role): split for split in splits}


@pytest.mark.usefixtures("md17_files")
def test_md17_control_is_later_than_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(md17, "N_TEST", 3)
    splits = by_role(md17.extreme())
    train = splits["train", "train"]
    frames = {name: [] for name in ("aspirin", "benzene", "uracil")}
    for name in train.ids:
        key, _, frame = name.partition("/")
        frames[key].append(int(frame))
    assert all(numbers == list(range(32)) for numbers in frames.values())
    test = splits["id_frames", "id_test"].ids
    assert [name.partition("/")[0] for name in test] == ["aspirin"] * 3 + ["uracil"] * 3
    assert all(int(name.partition("/")[2]) >= 36 for name in test)
    assert {n.partition("/")[0] for n in splits["id_frames", "id_val"].ids} == {"benzene"}
    tested = splits["ood_molecules", "ood_test"]
    assert tested.ids == [f"{m}/{i}" for m in md17.TESTED for i in (0, 13, 26)]
    assert tested.reference.forces.norm(dim=1).mean().item() == pytest.approx(1.0)


def test_md22_is_cut_by_mean_force_norm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = np.linspace(1.501, 2.003, 101)
    files = {
        f"md22/{key}": write_frames(tmp_path / f"{key}.npz", name, norms)
        for key, name in (
            ("stachyose", "C6H6"),
            ("dha", "C2H4"),
            ("ac-ala3-nhme", "H2CO"),
        )
    }
    monkeypatch.setattr(md22, "files_of", lambda key: (files[key],))
    monkeypatch.setenv("MLFFBENCH_DATA", str(tmp_path))
    splits = by_role(md22.force_norm())
    again = by_role(md22.force_norm())
    assert [s.sha256 for s in splits.values()] == [s.sha256 for s in again.values()]
    for split in splits.values():
        forces = split.reference.forces.norm(dim=1)
        structures = split.structures
        for system in range(structures.n_systems):
            mean = forces[structures.system == system].mean().item()
            hot = split.role.startswith("ood")
            assert mean >= 1.8 - 1e-9 if hot else mean <= 1.7 + 1e-9
    hot = splits["ood_force_norm", "ood_test"]
    assert {name.partition("/")[0] for name in hot.ids} == {"stachyose", "dha"}
    assert len(hot.rows) == 2 * int((norms >= 1.8).sum())
    assert (tmp_path / "splits" / "md22-force-norm" / "splits.json").exists()


def write_xyz(path: Path, n: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    frames: list[Atoms] = []
    for _ in range(n):
        atoms = molecule("CH3CH2OH")
        atoms.positions += rng.normal(scale=0.05, size=(9, 3))
        atoms.info["REF_energy"] = float(rng.normal())
        atoms.arrays["REF_forces"] = rng.normal(size=(9, 3))
        frames.append(atoms)
    write(path, frames, format="extxyz")
    return path


@pytest.mark.parametrize(
    ("make", "stems"),
    [
        (botnet.acac, ("train_300K", "test_MD_300K", "test_MD_600K")),
        (
            botnet.three_bpa,
            ("train_300K", "test_300K", "test_600K", "test_1200K", "test_dih"),
        ),
    ],
)
def test_one_molecule_suites(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], tuple[Split, ...]],
    stems: tuple[str, ...],
) -> None:
    files = tuple(
        write_xyz(tmp_path / f"{stem}.xyz", 4, seed) for seed, stem in enumerate(stems)
    )
    monkeypatch.setattr(botnet, "files_of", lambda _: files)
    splits = make()
    check_splits(splits)
    assert [split.ids[0] for split in splits] == [f"{stem}/0" for stem in stems]
    assert [split.role for split in splits][:2] == ["train", "id_test"]
    monkeypatch.setattr(botnet, "files_of", lambda _: files[:1])
    with pytest.raises(DataError, match=f"one file {stems[1]}.xyz in the download"):
        make()


def test_joined_sources_are_laid_end_to_end(tmp_path: Path) -> None:
    one = write_frames(tmp_path / "one.npz", "C2H4", np.ones(3))
    two = write_frames(tmp_path / "two.npz", "H2CO", np.ones(4))
    parts = [
        NpzFile(path, energy_unit="kcal/mol", length_unit="angstrom")
        for path in (one, two)
    ]
    joined = JoinedSource(parts)
    rows = np.array([5, 0, 6, 2])
    expected = ["two/2", "one/0", "two/3", "one/2"]
    assert list(joined.structures(rows).ids) == joined.index.ids(rows) == expected
    labels = joined.labels(rows)
    alone = parts[1].labels(np.array([2]))
    np.testing.assert_array_equal(labels.forces[:4], alone.forces)
    np.testing.assert_array_equal(joined.rows_of(1), [3, 4, 5, 6])
    assert joined.structures(rows[:0]).n_systems == 0
    with pytest.raises(DataError, match="at least one source"):
        JoinedSource([])


@pytest.mark.usefixtures("md17_files")
def test_a_stand_in_runs_with_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(md17, "N_TEST", 4)
    arguments = ["--suite", "md17-extreme", "--model", "zero", "--limit", "3"]
    runner = CliRunner()
    planned = runner.invoke(app, ["plan", *arguments])
    assert planned.exit_code == 0
    assert "ood_molecules" in planned.output
    done = runner.invoke(app, ["run", *arguments, "--out", str(tmp_path / "runs")])
    assert done.exit_code == 0, done.output
    folder = tmp_path / "runs" / "md17-extreme--limit-3" / "zero" / "baseline"
    lines = (folder / "records.jsonl").read_text().splitlines()
    assert {json.loads(line)["split"] for line in lines} == {"id_frames", "ood_molecules"}


@pytest.mark.parametrize("name", [name for name in suite_rows() if needs(name)])
def test_a_suite_without_its_files_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("MLFFBENCH_DATA", str(tmp_path))
    runner = CliRunner()
    failed = runner.invoke(app, ["plan", "--suite", name])
    assert failed.exit_code == 1
    assert "mlffbench download" in str(failed.exception)
    told = runner.invoke(app, ["info", name])
    assert told.exit_code == 0, told.output
    assert f"mlffbench download {name}" in told.output
    suite, _ = load_suite(name)
    assert suite.summary


def test_leakcheck_prints_and_exits_with_one_where_something_is_shared(
    tmp_path: Path,
) -> None:
    one = write_xyz(tmp_path / "one.xyz", 4, 0)
    two = write_xyz(tmp_path / "two.xyz", 6, 0)  # begins with the same four
    runner = CliRunner()
    told = runner.invoke(app, ["leakcheck", str(one), str(two)])
    assert told.exit_code == 1, told.output
    assert "1 molecule in both" in told.output
    assert "4 near duplicates of a train geometry in test" in told.output
    told = runner.invoke(app, ["leakcheck", str(one), str(two), "--json"])
    found = json.loads(told.output)
    assert len(found["near_duplicates"]) == 4
    assert found["shared_molecules"][0]["name"] == "C2H6O"
    quiet = runner.invoke(
        app, ["leakcheck", "mini-ood:train", "mini-ood:ood_elements", "--no-geometries"]
    )
    assert quiet.exit_code == 0
    assert "no molecule is in both" in quiet.output
    wrong = runner.invoke(app, ["leakcheck", "mini-ood:trian", str(one)])
    assert wrong.exit_code == 1
    assert "Did you mean 'train'?" in str(wrong.exception)
