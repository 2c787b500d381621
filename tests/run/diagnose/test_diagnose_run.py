"""What is written beside a run, and that it never makes a run fail."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ase.build import molecule
from mini_suites import write_mini_suite

from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnosis import Diagnosis
from mlffbench.diagnostics.diagnostic import Sample
from mlffbench.diagnostics.figures import draw_all
from mlffbench.models.load import load_model
from mlffbench.run.checksums import forget
from mlffbench.run.diagnose.diagnosis_job import (
    DIAGNOSIS,
    FIGURES,
    VALUES,
    diagnose_runs,
    study_of,
)
from mlffbench.run.diagnose.instruments import Instruments
from mlffbench.run.evaluate.stored import StoredRun
from mlffbench.run.folder import RunFolder, read_arrays, write_arrays
from mlffbench.run.loop import Done, run_campaign
from mlffbench.run.request import Request, resolve


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep prior labels that others have cached out of the diagnoses."""
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))


def request(suite: object, model: str, out: Path) -> Request:
    return Request(suite=str(suite), models=(model,), out=out, diagnose=True)


@pytest.fixture(scope="module")
def done(
    shared_suite_file: Path,
    shared_springs: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Done:
    """Return a run and its diagnosis, made once."""
    root = tmp_path_factory.mktemp("made")
    made = request(shared_suite_file, shared_springs, root / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFFBENCH_CACHE", str(root / "cache"))
        return run_campaign(resolve(made))


@pytest.fixture
def folder(done: Done, tmp_path: Path) -> RunFolder:
    """Return a copy of its folder that a test may change."""
    made = done.folders[0].path
    out = made.parents[2]
    shutil.copytree(out, tmp_path / "runs")
    return RunFolder(tmp_path / "runs" / made.relative_to(out))


def test_a_run_leaves_json_and_values_from_which_figures_are_drawn(
    folder: RunFolder,
) -> None:
    diagnosis = Diagnosis.read(folder.path / DIAGNOSIS)
    assert [sample.name for sample in diagnosis.samples] == ["train", "id", "ood"]
    assert diagnosis.samples[2].control == "id"
    assert diagnosis.samples[2].shift_labels["elements"] == 3
    assert not (folder.path / FIGURES).exists()
    draw_all(diagnosis, folder.path / FIGURES)
    figures = {path.stem for path in (folder.path / FIGURES).glob("*.png")}
    assert {"force_norm_mean", "spectral_gap", "size"} <= figures
    assert all(path.stat().st_size < 60_000 for path in (folder.path / FIGURES).iterdir())


def test_values_follow_the_stored_predictions(folder: RunFolder) -> None:
    values = pd.read_parquet(folder.path / VALUES)
    predictions = folder.read_table()
    assert values["id"].tolist() == predictions["id"].tolist()
    assert values["split"].tolist() == predictions["split"].tolist()
    run = StoredRun.read(folder)
    ood = run.splits[2]
    atoms = (ood.structures.system == 4).numpy()
    error = (ood.prediction.forces - ood.reference.forces).abs().numpy()[atoms].mean()
    row = values[values["split"] == "ood"].iloc[4]
    assert row["force_mae"] == pytest.approx(float(error))
    # NH3 is not of the model's elements: no error, yet its distance is known
    skipped = values[values["shifts"].str.contains("elements")]
    assert skipped["force_mae"].isna().all()
    assert skipped["unseen_elements"].to_numpy() == pytest.approx([0.25] * 3)


def test_what_cannot_be_computed_is_told(done: Done) -> None:
    assert done.faults == []
    told = " ".join(done.notes)
    assert "springs.py:Springs' has no embedding" in told  # the model as it was typed
    assert "'springs'" not in told
    assert "prior_gap" in told
    stored = Diagnosis.read(done.folders[0].path / DIAGNOSIS)
    reasons = {one.name: one.reason for one in stored.diagnostics}
    assert reasons["embedding_knn"] == "model 'springs' has no embedding"
    assert "no prior label in the cache" in reasons["prior_gap"]


def test_a_model_without_embedding_gets_the_descriptor(folder: RunFolder) -> None:
    pytest.importorskip("dscribe")
    values = pd.read_parquet(folder.path / VALUES)
    assert np.isfinite(values["descriptor_knn"]).all()


def test_a_diagnosis_is_made_once_and_again_after_a_loss(
    folder: RunFolder, shared_suite_file: Path, shared_springs: str, tmp_path: Path
) -> None:
    path = folder.path / DIAGNOSIS
    before = path.read_bytes(), (folder.path / VALUES).read_bytes()
    stamp = path.stat().st_mtime_ns
    made = request(shared_suite_file, shared_springs, tmp_path / "runs")
    run_campaign(resolve(made))
    assert path.stat().st_mtime_ns == stamp
    path.unlink()
    run_campaign(resolve(made))
    assert (path.read_bytes(), (folder.path / VALUES).read_bytes()) == before


def diagnosed(folder: RunFolder, model: str) -> list[str]:
    """Diagnose a run of a model, and return the notes."""
    loaded = load_model(model, ModelOptions())
    return diagnose_runs(
        [folder], loaded, device="cpu", dtype=None, advance=lambda _: None
    )


def test_a_run_that_memory_does_not_hold_is_not_diagnosed(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlffbench.run.diagnose.diagnosis_job.MOST_STRUCTURES", 3)
    (note,) = diagnosed(folder, "zero")
    assert "are more than the 3 that a diagnosis holds" in note
    assert "--limit 10000" in note


def test_figures_of_an_earlier_diagnosis_go(
    folder: RunFolder, shared_springs: str
) -> None:
    figures = folder.path / FIGURES
    figures.mkdir()
    (figures / "embedding_knn.png").write_bytes(b"of another model")
    (figures / "mine.png").write_bytes(b"of the user")
    (folder.path / DIAGNOSIS).unlink()
    diagnosed(folder, shared_springs)
    assert (folder.path / DIAGNOSIS).exists()
    assert not (figures / "embedding_knn.png").exists()
    assert (figures / "mine.png").exists()


def test_a_diagnosis_that_breaks_off_leaves_none_of_an_earlier_one(
    folder: RunFolder, shared_springs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("mlffbench.run.diagnose.diagnosis_job.table", full)
    manifest = folder.path / DIAGNOSIS
    manifest.write_text(
        manifest.read_text().replace('"fingerprint":"', '"fingerprint":"old')
    )
    notes = diagnosed(folder, shared_springs)
    assert "no space left on device" in notes[0]
    assert not manifest.exists()


def test_poisoned_labels_leave_label_free_columns_byte_for_byte(
    folder: RunFolder, shared_springs: str
) -> None:
    before = pd.read_parquet(folder.path / VALUES)
    reference = read_arrays(folder.path / "reference.npz")
    forget(folder.path)
    poisoned = {name: np.full_like(value, np.nan) for name, value in reference.items()}
    write_arrays(folder.path / "reference.npz", poisoned)
    (folder.path / DIAGNOSIS).unlink()
    notes = diagnosed(folder, shared_springs)
    assert any("no reference forces" in note for note in notes)
    after = pd.read_parquet(folder.path / VALUES)
    reads_labels = {"force_norm_mean", "force_norm_max", "force_mae", "shifts"}
    assert set(before) - set(after) == {"force_norm_mean", "force_norm_max"}
    for name in set(after) - reads_labels:
        old, new = before[name].to_numpy(), after[name].to_numpy()
        if old.dtype == np.float64:
            assert old.tobytes() == new.tobytes(), name
        else:
            assert old.tolist() == new.tolist(), name
    assert after["force_mae"].isna().all()


def test_a_broken_diagnosis_is_a_sentence_and_no_failure(
    folder: RunFolder, shared_springs: str
) -> None:
    (folder.path / "forces.npz").write_bytes(b"")
    notes = diagnosed(folder, shared_springs)
    assert len(notes) == 1
    assert "forces.npz is not what was written there" in notes[0]


def refined(folder: RunFolder) -> RunFolder:
    """Return a run of another mode beside a baseline, without a diagnosis."""
    path = folder.path.parent / "rr"
    shutil.copytree(folder.path, path)
    (path / DIAGNOSIS).unlink()
    change(path, lambda manifest: manifest["mode"].update(name="rr"))
    return RunFolder(path)


def change(path: Path, how: Callable[[dict[str, Any]], None]) -> None:
    forget(path)
    manifest = json.loads((path / "run.json").read_text())
    how(manifest)
    (path / "run.json").write_text(json.dumps(manifest))


def test_a_broken_mode_does_not_cost_the_others(
    folder: RunFolder, shared_springs: str
) -> None:
    other = refined(folder)
    (folder.path / "forces.npz").write_bytes(b"")
    notes = diagnose_runs(
        [folder, other],
        load_model(shared_springs, ModelOptions()),
        device="cpu",
        dtype=None,
        advance=lambda _: None,
    )
    assert notes[0].startswith("no diagnosis of 'springs' (baseline): ")
    assert not any("(rr)" in note for note in notes)
    assert Diagnosis.read(other.path / DIAGNOSIS).mode == "rr"


def test_a_baseline_of_the_same_model_and_files_is_read(folder: RunFolder) -> None:
    other = refined(folder)

    def read() -> list[bool]:
        found = study_of(StoredRun.read(other), Instruments())
        return [probe.sample.prediction is not None for probe in found.tests]

    assert read() == [True, True]
    change(other.path, lambda manifest: manifest["splits"][1].update(source_sha256="new"))
    assert read() == [False, True]
    change(other.path, lambda manifest: manifest["model"].update(weights_sha256="new"))
    assert read() == [False, False]


def test_a_model_that_raises_in_embed_costs_only_the_embedding(
    suite_file: Path, springs: str, tmp_path: Path
) -> None:
    path = Path(springs.rpartition(":")[0])
    path.write_text(
        path.read_text()
        + "\n    def embed(self, structures):\n        raise RuntimeError('not today')\n"
    )
    done = run_campaign(resolve(request(suite_file, springs, tmp_path / "runs")))
    assert done.faults == []
    stored = Diagnosis.read(done.folders[0].path / DIAGNOSIS)
    reasons = {one.name: one.reason for one in stored.diagnostics}
    expected = "the embedding of 'springs' failed: RuntimeError: not today"
    assert reasons["embedding_knn"].startswith(f"{expected} (springs.py, line ")
    assert not reasons["spectral_gap"]


def test_a_split_that_the_model_cannot_embed_gets_the_descriptor(
    suite_file: Path, springs: str, tmp_path: Path
) -> None:
    pytest.importorskip("dscribe")
    path = Path(springs.rpartition(":")[0])
    path.write_text(
        path.read_text()
        + "\n    def embed(self, structures):\n"
        + "        return structures.positions.norm(dim=1, keepdim=True)\n"
    )
    model = load_model(springs, ModelOptions())
    ammonia, water = (
        Sample(
            name=name,
            structures=Structures.build(
                [torch.tensor(molecule(name).positions)],
                [torch.tensor(molecule(name).numbers)],
                ids=[name],
            ),
        )
        for name in ("NH3", "H2O")
    )
    instruments = Instruments.of(model)
    first, second = instruments.examine([ammonia, water])
    assert first.embedding is None
    assert second.embedding is not None
    assert first.descriptor is not None
    assert second.descriptor is not None
    (alone,) = instruments.examine([water])
    assert alone.descriptor is None


def test_modes_share_what_was_measured_and_keep_their_errors(tmp_path: Path) -> None:
    pytest.importorskip("torch_geometric")
    suite = write_mini_suite(tmp_path, "part", modes="[baseline, rr]", settings="{}")
    made = replace(request(suite, "mini-schnet", tmp_path / "runs"), limit=3)
    done = run_campaign(resolve(made))
    assert done.faults == []
    a, b = (pd.read_parquet(folder.path / VALUES) for folder in done.folders)
    same = [name for name in a if name != "force_mae"]
    pd.testing.assert_frame_equal(a[same], b[same])
    first, second = (Diagnosis.read(f.path / DIAGNOSIS) for f in done.folders)
    assert (first.mode, second.mode) == ("baseline", "rr")
    assert first.samples == second.samples
    assert np.isfinite(a["embedding_knn"]).all()
    assert len(first.ranking) == len(second.ranking) > 8
