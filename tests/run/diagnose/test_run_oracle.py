"""What could have been gained, asked after the runs, against sums written out here."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mini_suites import write_mini_suite
from numpy.typing import NDArray

from mlffbench.core.errors import BenchError, CapabilityError, StoreError
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.record import Record
from mlffbench.models.cutoffs import candidates_of, radii_of
from mlffbench.models.load import load_model
from mlffbench.run.checksums import forget
from mlffbench.run.diagnose.oracle import ask_oracle
from mlffbench.run.evaluate.chosen_radii import Oracle
from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.evaluate.stored import StoredRun, StoredSplit
from mlffbench.run.folder import RunFolder, read_arrays, write_arrays
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve

pytest.importorskip("torch_geometric")

SETTINGS = "{rr: {n_radii: 4}, rr+ttt: {n_radii: 4, steps: 2}}"
N_RADII = 4
CLOSE = 1e-4
"""Float32 forces depend on the batch in their last digits; shares are ratios of them."""


class Counting:
    total = done = 0

    def begin(self, title: str, n_structures: int) -> None:
        self.total, self.done = n_structures, 0

    def advance(self, n_structures: int) -> None:
        self.done += n_structures


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model with all its modes."""
    root = tmp_path_factory.mktemp("asked")
    modes = "[baseline, rr, rr+ttt]"
    suite = write_mini_suite(root, "asked", modes=modes, settings=SETTINGS)
    request = Request(suite=str(suite), limit=2, out=root / "runs")
    done = run_campaign(resolve(request), Counting())
    assert done.faults == []
    for folder in done.folders:
        folder.write_records(score_run(folder).records)
    return done.folders[0].path.parent


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """Return a copy of them that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "mini-schnet"))


def ask(runs: Path, **changes: Any) -> list[RunFolder]:
    return ask_oracle(
        RunFolder(runs / "baseline"), Counting(), **({"n_radii": N_RADII} | changes)
    )


def asked_about(folder: Path) -> list[StoredSplit]:
    splits = StoredRun.read(RunFolder(folder)).splits
    return [split for split in splits if split.manifest["role"] != "train"]


def records(runs: Path, mode: str = "rr") -> dict[str, Record]:
    found = RunFolder(runs / mode).read_records()
    return {f"{record.split}/{record.role}": record for record in found}


def absolute(split: StoredSplit) -> NDArray[np.float64]:
    """Return Σ|ΔF| of each structure, in eV/Å."""
    error = (split.prediction.forces.double() - split.reference.forces.double()).abs()
    sizes = split.structures.sizes.tolist()
    return np.array([float(one.sum()) for one in torch.split(error, sizes)])


def one_by_one(split: StoredSplit) -> NDArray[np.float64]:
    """Return Σ|ΔF| at every candidate, shape (n_candidates, n)."""
    model = load_model("mini-schnet", ModelOptions())
    radii = radii_of(4.5, smallest=3.0, n_radii=N_RADII, given="")
    rows = []
    for candidate in candidates_of(model, radii, "either"):
        forces = [
            candidate.model.predict(
                split.structures.select([place]).to(dtype=torch.float32)
            ).forces
            for place in range(split.structures.n_systems)
        ]
        prediction = replace(split.prediction, forces=torch.cat(forces))
        rows.append(absolute(replace(split, prediction=prediction)))
    return np.array(rows)


def rewrite(folder: Path, change: Callable[[StoredSplit], torch.Tensor]) -> None:
    """Replace a run's forces of the tested splits."""
    forget(folder)
    run = StoredRun.read(RunFolder(folder))
    table = RunFolder(folder).read_table()
    stored = read_arrays(folder / "forces.npz")["forces"].copy()
    for split in run.splits:
        if split.manifest["role"] == "train":
            continue
        mine = (table["split"] == split.manifest["name"]) & (
            table["role"] == split.manifest["role"]
        )
        atoms = np.repeat(mine.to_numpy(), table["n_atoms"].to_numpy())
        stored[atoms] = change(split).numpy()
    write_arrays(folder / "forces.npz", {"forces": stored})


def test_headroom_and_capture_are_these_sums(runs: Path) -> None:
    scored = ask(runs)
    assert {folder.path.name for folder in scored} == {"rr", "rr+ttt"}
    found = records(runs)
    before = {
        (s.manifest["name"], s.manifest["role"]): s
        for s in asked_about(runs / "baseline")
    }
    for split in asked_about(runs / "rr"):
        base = absolute(before[split.manifest["name"], split.manifest["role"]])
        least = one_by_one(split).min(axis=0)
        radius = found[f"{split.manifest['name']}/{split.manifest['role']}"].radius
        assert radius is not None
        assert radius.headroom is not None
        expected = (base - least).sum() / base.sum()
        assert radius.headroom.value == pytest.approx(expected, abs=CLOSE)
        assert 0 < radius.headroom.value < 1
        assert radius.captured is not None
        gain = (base - absolute(split)).sum() / (base - least).sum()
        assert radius.captured.value == pytest.approx(gain, abs=10 * CLOSE)
        assert radius.captured.value < 1 + CLOSE
        assert radius.captured.n == radius.n == 2


def test_it_is_asked_about_every_tested_structure_and_candidate(runs: Path) -> None:
    progress = Counting()
    ask_oracle(RunFolder(runs / "baseline"), progress, n_radii=N_RADII)
    n_structures = sum(s.structures.n_systems for s in asked_about(runs / "baseline"))
    assert progress.done == progress.total == n_structures * (2 * N_RADII - 1)
    oracle = Oracle.read(runs)
    assert oracle is not None
    assert oracle.errors.shape == (2 * N_RADII - 1, n_structures)
    assert len(set(oracle.ids.tolist())) == n_structures
    assert oracle.envelopes[:3].tolist() == ["trained", "truncate", "rescale"]


def test_who_chooses_like_the_oracle_captures_all(runs: Path) -> None:
    def best(split: StoredSplit) -> torch.Tensor:
        model = load_model("mini-schnet", ModelOptions())
        radii = radii_of(4.5, smallest=3.0, n_radii=N_RADII, given="")
        candidates = candidates_of(model, radii, "either")
        chosen = one_by_one(split).argmin(axis=0)
        ones = [
            split.structures.select([i]).to(dtype=torch.float32)
            for i in range(len(chosen))
        ]
        return torch.cat(
            [
                candidates[pick].model.predict(one).forces
                for pick, one in zip(chosen, ones, strict=True)
            ]
        )

    rewrite(runs / "rr", best)
    ask(runs)
    for record in records(runs).values():
        assert record.radius is not None
        assert record.radius.captured is not None
        assert record.radius.captured.value == pytest.approx(1, abs=10 * CLOSE)


@pytest.mark.parametrize("worse", [0.0, 0.5])
def test_the_baseline_captures_nothing_and_harm_less_than_that(
    runs: Path, worse: float
) -> None:
    before = {
        (s.manifest["name"], s.manifest["role"]): s
        for s in asked_about(runs / "baseline")
    }

    def harmed(split: StoredSplit) -> torch.Tensor:
        base = before[split.manifest["name"], split.manifest["role"]]
        forces = base.prediction.forces
        return forces + worse * (forces - base.reference.forces).to(forces.dtype)

    rewrite(runs / "rr", harmed)
    ask(runs)
    for record in records(runs).values():
        assert record.radius is not None
        captured, headroom = record.radius.captured, record.radius.headroom
        assert captured is not None
        assert headroom is not None
        expected = -worse / headroom.value
        assert captured.value == pytest.approx(expected, rel=1e-3, abs=CLOSE)


def test_of_an_adapted_model_the_oracle_knows_nothing(runs: Path) -> None:
    ask(runs)
    for record in records(runs, "rr+ttt").values():
        assert record.radius is not None
        assert record.radius.headroom is record.radius.captured is None


def without(runs: Path) -> bool:
    """Return whether scoring again finds no use for the oracle."""
    scored = score_run(RunFolder(runs / "rr")).records
    return all(r.radius is not None and r.radius.headroom is None for r in scored)


def test_an_oracle_of_another_model_or_grid_or_data_is_ignored(runs: Path) -> None:
    assert without(runs)
    ask(runs)
    assert not without(runs)
    oracle = Oracle.read(runs)
    assert oracle is not None
    replace(oracle, model="0" * 64).write(runs)
    assert without(runs)
    elsewhere = np.array([f"x{name}" for name in oracle.ids])
    replace(oracle, ids=elsewhere).write(runs)
    assert without(runs)
    ask(runs, n_radii=3)
    assert without(runs)
    ask(runs, n_radii=N_RADII)
    assert not without(runs)


def test_a_broken_file_is_one_sentence(runs: Path) -> None:
    ask(runs)
    path = runs / "oracle.npz"
    write_arrays(path, {"cutoffs": np.ones(2)})
    with pytest.raises(
        StoreError, match=r"is no oracle's file: .* is missing; delete it"
    ):
        score_run(RunFolder(runs / "rr"))
    path.write_bytes(b"not an archive")
    with pytest.raises(StoreError, match=r"oracle\.npz"):
        score_run(RunFolder(runs / "rr"))


def small_oracle() -> Oracle:
    return Oracle(
        cutoffs=np.array([5.0, 4.0, 4.0, 3.0, 3.0]),
        envelopes=np.array(["trained", *["truncate", "rescale"] * 2]),
        ids=np.array(["a", "b"]),
        errors=np.array([[5.0, 1], [4, 2], [3, 3], [2, 4], [1, np.nan]]),
        model="m",
    )


def test_the_best_is_taken_over_what_could_be_chosen() -> None:
    oracle = small_oracle()
    both = [5.0, 4.0]
    assert oracle.best(["a", "b"], both, "truncate").tolist() == [4, 1]
    assert oracle.best(["b", "a"], both, "rescale").tolist() == [1, 3]
    assert oracle.best(["a"], [5.0, 4.00004, 3.0], "either").tolist() == [1]
    assert oracle.best(["a", "b"], [5.0], "truncate").tolist() == [5, 1]
    assert np.isnan(oracle.best(["c"], both, "truncate")).all()
    assert np.isnan(oracle.best(["a"], [5.0, 4.5], "truncate")).all()
    assert np.isnan(oracle.best(["b"], [5.0, 3.0], "rescale")).all()
    hard = replace(oracle, envelopes=np.array(["trained", *["truncate"] * 4]))
    assert np.isnan(hard.best(["a"], both, "rescale")).all()


def test_nobody_was_asked(tmp_path: Path) -> None:
    assert Oracle.read(tmp_path) is None
    with pytest.raises(StoreError, match=r"no baseline in .*--mode baseline,rr first"):
        ask(tmp_path)


def finished(suite: Path, model: str, out: Path) -> RunFolder:
    request = Request(suite=str(suite), models=(model,), modes=("baseline",), out=out)
    done = run_campaign(resolve(request), Counting())
    assert done.faults == []
    return done.folders[0]


def test_a_model_without_cutoff_has_nothing_to_be_asked(
    suite_file: Path, tmp_path: Path
) -> None:
    baseline = finished(suite_file, "zero", tmp_path / "runs")
    with pytest.raises(CapabilityError, match="'zero' has no graph cutoff"):
        ask_oracle(baseline, Counting())
    assert not (baseline.path.parent / "oracle.npz").exists()


PULL = """
import copy
import torch
from mlffbench.core.graph import radius_graph
from mlffbench.core.labels import Labels


class Pull:
    name, elements = "pull", frozenset({1, 6, 8})
    cutoff, cutoff_scope = 2.5, "graph"

    def with_cutoff(self, cutoff):
        twin = copy.copy(self)
        twin.cutoff = cutoff
        return twin

    def predict(self, structures):
        known = torch.tensor([1, 6, 8])
        if not torch.isin(structures.numbers, known).all():
            raise KeyError("nitrogen")
        graph = radius_graph(structures, self.cutoff)
        vectors = graph.vectors(structures)
        pulls = vectors / vectors.norm(dim=1, keepdim=True)
        x = structures.positions
        forces = torch.zeros_like(x).index_add(0, graph.edges[0], pulls)
        energy = x.new_zeros(structures.n_systems)
        return Labels(energy=energy, forces=forces, source="model:pull")
"""


def test_what_the_model_cannot_treat_is_not_asked_about(
    suite_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "pull.py"
    path.write_text(PULL)
    baseline = finished(suite_file, f"{path}:Pull", tmp_path / "runs")
    with pytest.raises(BenchError, match=r"run\.json names the model .* --trust"):
        ask_oracle(baseline, Counting(), smallest=1.2, n_radii=3)
    typed = f"{path}:Pull"
    ask_oracle(baseline, Counting(), smallest=1.2, n_radii=3, typed=typed)
    oracle = Oracle.read(baseline.path.parent)
    assert oracle is not None
    table = baseline.read_table()
    able = table[(table["role"] != "train") & (table["status"] == "ok")]
    assert len(able) < (table["role"] != "train").sum()
    assert [name.rpartition("/")[2] for name in oracle.ids] == [
        str(name).rpartition("/")[2] for name in able["id"]
    ]
    assert np.isfinite(oracle.errors).all()


def test_a_model_that_has_changed_is_refused(suite_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "pull.py"
    path.write_text(PULL)
    baseline = finished(suite_file, f"{path}:Pull", tmp_path / "runs")
    path.write_text(PULL + "# other\n")
    with pytest.raises(BenchError, match=r"has changed since .* --overwrite"):
        ask_oracle(baseline, Counting(), trust=True)
