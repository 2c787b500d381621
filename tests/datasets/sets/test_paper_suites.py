"""The paper's own splits on stand-ins of the true layout, and their suites end to end."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from synthetic_spice import write_pair

from mlffbench.core.errors import DataError
from mlffbench.core.record import Record
from mlffbench.core.split import Split, check_splits
from mlffbench.core.units import KCAL_PER_MOL
from mlffbench.datasets.sets import md17, md22, paper_dynamics, paper_spice
from mlffbench.datasets.sets import spice as spice_sets
from mlffbench.report.document import compose
from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve

STAND_INS = {
    "aspirin": "C6H6",
    "benzene": "C2H4",
    "uracil": "H2CO",
    "toluene": "CH3OH",
    "naphthalene": "HCOOH",
}


def write_frames(path: Path, name: str, norms: np.ndarray) -> Path:
    """Write frames in the layout of MD17 whose mean atomic |F| is given, in eV/Å."""
    rng = np.random.default_rng(0)
    atoms = molecule(name)
    shape = (len(norms), len(atoms), 3)
    forces = rng.normal(size=shape)
    forces /= np.linalg.norm(forces, axis=2).mean(axis=1)[:, None, None]
    places = atoms.positions + rng.normal(scale=0.05, size=shape)
    pull = forces * norms[:, None, None] / KCAL_PER_MOL
    np.savez(path, z=atoms.numbers, R=places, E=rng.normal(size=(len(norms), 1)), F=pull)
    return path


@pytest.fixture
def trajectories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay five short trajectories where downloads would be, the counts scaled down."""
    files = {
        f"md17/{key}": write_frames(tmp_path / f"{key}.npz", name, np.ones(50))
        for key, name in STAND_INS.items()
    }
    norms = np.linspace(1.6, 1.9, 40)
    files["md22/stachyose"] = write_frames(tmp_path / "stachyose.npz", "C2H4", norms)
    for sets in (md17, md22):
        monkeypatch.setattr(sets, "files_of", lambda key: (files[key],))
    monkeypatch.setenv("MLFFBENCH_DATA", str(tmp_path))
    for name, n in (("N_TRAIN", 19), ("N_VAL", 1), ("N_TEST", 20), ("N_EVALUATED", 4)):
        monkeypatch.setattr(paper_dynamics, name, n)


def run_zero(suite: str, out: Path) -> list[Record]:
    """Run a suite with the model that predicts no forces, and score it."""
    request = Request(suite=suite, models=("zero",), modes=("baseline",), out=out)
    (folder,) = run_campaign(resolve(request)).folders
    records, shifts = score_run(folder)
    folder.write_records(records)
    folder.write_alignment(shifts)
    return records


def by_name(splits: tuple[Split, ...]) -> dict[str, Split]:
    check_splits(splits)
    return {split.name: split for split in splits}


def test_published_frames_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.model_selection")
    n = 41_000
    pool, test = sklearn.train_test_split(
        np.arange(n), train_size=n - 10_000, test_size=10_000, random_state=123
    )
    train, val = sklearn.train_test_split(
        pool[:10_000], train_size=9_500, test_size=500, random_state=123
    )
    found = paper_dynamics.published_rows(n)
    np.testing.assert_array_equal(found.test, test)
    np.testing.assert_array_equal(found.train, np.sort(train))
    np.testing.assert_array_equal(found.val, np.sort(val))
    with pytest.raises(DataError, match="expected at least 20,000"):
        paper_dynamics.published_rows(19_999)


@pytest.mark.usefixtures("trajectories")
def test_md17_frames_are_apart() -> None:
    splits = by_name(paper_dynamics.md17())
    assert list(splits) == ["train", "id_frames", "ood_toluene", "ood_naphthalene"]
    train, control = set(splits["train"].ids), set(splits["id_frames"].ids)
    assert (len(train), len(control)) == (3 * 19, 3 * 4)
    assert not train & control
    assert all(name.startswith("toluene/") for name in splits["ood_toluene"].ids)
    order = paper_dynamics.published_rows(50).test[:4]
    assert splits["ood_toluene"].ids == [f"toluene/{i}" for i in sorted(order)]


@pytest.mark.usefixtures("trajectories")
def test_md22_is_cut_on_both_sides() -> None:
    splits = by_name(paper_dynamics.md22())
    for name, split in splits.items():
        forces = split.reference.forces.norm(dim=1).split(split.structures.sizes.tolist())
        norms = [float(part.mean()) for part in forces]
        assert all(n > 1.8 if name == "ood_force_norm" else n < 1.7 for n in norms)
    assert not set(splits["train"].ids) & set(splits["id_calm"].ids)


def test_a_trajectory_on_one_side_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_frames(tmp_path / "stachyose.npz", "C2H4", np.full(9, 1.0))
    monkeypatch.setattr(md22, "files_of", lambda _: (path,))
    monkeypatch.setenv("MLFFBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match="9 frames below and 0 above the cut"):
        paper_dynamics.md22()


@pytest.mark.usefixtures("trajectories")
@pytest.mark.parametrize("suite", ["paper-md17", "paper-md22"])
def test_a_suite_runs_end_to_end(tmp_path: Path, suite: str) -> None:
    records = run_zero(suite, tmp_path / "runs")
    assert all("forces_good_share" in record.metrics for record in records)
    assert {record.counts.failed for record in records} == {0}


@pytest.fixture(scope="module")
def spice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    pair = write_pair(
        tmp_path_factory.mktemp("pair"), n_first=30, n_new=16, n_conformers=2
    )
    return pair[0], pair[1]


def test_spice_by_the_papers_rule_runs_and_stands_beside_the_paper(
    spice: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFFBENCH_DATA", str(tmp_path))
    files = dict(zip(("spice-1", "spice-2"), spice, strict=True))
    for key, path in files.items():
        (tmp_path / key).mkdir()
        shutil.copy(path, tmp_path / key)
    monkeypatch.setattr(
        spice_sets, "files_of", lambda key: (tmp_path / key / files[key].name,)
    )
    splits = by_name(paper_spice.splits("20"))
    whole = splits[paper_spice.WHOLE]
    assert len(whole.rows) == 20
    for name, split in splits.items():
        if name.startswith("ood_"):
            assert set(split.rows) <= set(whole.rows)
            assert split.control == "id_molecules"
    forces = splits["ood_force_norm"].shift
    assert forces is not None
    assert "one standard deviation" in forces.rule
    out = tmp_path / "runs"
    run_zero("paper-spice", out)
    told = json.loads(compose([out], "json").text)["beside_paper"]
    ours = [one for row in told for one in row["ours"]]
    assert ours
    assert {one["suite"] for one in ours} == {"paper-spice"}
    assert not any(one["same_data"] for one in ours)
    bins = [row for row in told if row["ours"] and "connectivity bin" in row["split"]]
    assert {tuple(one["splits"]) for row in bins for one in row["ours"]} == {("ood_all",)}
