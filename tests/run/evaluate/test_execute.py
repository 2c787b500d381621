import hashlib
import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ase.io import read, write
from interrupted import (
    StopsAfter,
    complete,
    kill_again_and_again,
    pause,
    with_full_disk,
)

from mlffbench.core.errors import StoreError
from mlffbench.run.folder import RunFolder, read_arrays
from mlffbench.run.loop import Done, run_campaign
from mlffbench.run.request import Request, resolve


def run(suite: Path, model: str, out: Path, **options: object) -> Done:
    request = Request(suite=str(suite), models=(model,), out=out, **options)  # type: ignore[arg-type]
    return run_campaign(resolve(request))


def digest(folder: RunFolder) -> str:
    names = ("predictions.parquet", "forces.npz")
    return hashlib.sha256(
        b"".join((folder.path / name).read_bytes() for name in names)
    ).hexdigest()


def test_stored_predictions_are_those_of_the_bare_model(
    suite_file: Path, springs: str, tmp_path: Path
) -> None:
    done = run(suite_file, springs, tmp_path / "runs")
    assert done.faults == []
    (folder,) = done.folders
    table = folder.read_table()
    namespace: dict[str, object] = {}
    exec(Path(springs.rpartition(":")[0]).read_text(), namespace)
    model = namespace["Springs"]()  # type: ignore[operator]
    campaign = resolve(Request(suite=str(suite_file), models=(springs,)))
    forces = []
    for split in campaign.splits:
        structures = split.structures.to(dtype=torch.float32)
        for i, name in enumerate(structures.ids):
            one = structures.select([i])
            stored = table[(table["id"] == name) & (table["split"] == split.name)]
            assert len(stored) == 1
            labels = model.predict(one)
            if stored["status"].item() == "skipped":
                assert split.name == "ood"
                forces.append(np.full((one.n_atoms, 3), np.nan))
                continue
            assert stored["energy"].item() == pytest.approx(
                float(labels.energy), rel=1e-5
            )
            forces.append(labels.forces.numpy())
    stored_forces = read_arrays(folder.path / "forces.npz")["forces"]
    np.testing.assert_allclose(stored_forces, np.concatenate(forces), atol=1e-5)


def test_unsupported_elements_are_skipped_before_compute(
    suite_file: Path, springs: str, tmp_path: Path
) -> None:
    (folder,) = run(suite_file, springs, tmp_path / "runs").folders
    table = folder.read_table()
    nitrogen = table[table["molecule"] == "NH3"]
    assert set(nitrogen["status"]) == {"skipped"}
    assert set(nitrogen["reason"]) == {"element not supported: N"}
    assert nitrogen["energy"].isna().all()
    assert set(table[table["molecule"] != "NH3"]["status"]) == {"ok"}


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_interrupted_and_continued_is_byte_identical(
    suite_file: Path, springs: str, tmp_path: Path, batches: int
) -> None:
    options = {"batch_atoms": 20}
    (whole,) = run(suite_file, springs, tmp_path / "whole", **options).folders
    request = Request(
        suite=str(suite_file), models=(springs,), out=tmp_path / "cut", batch_atoms=20
    )
    with pytest.raises(KeyboardInterrupt):
        run_campaign(resolve(request), StopsAfter(batches))
    (resumed,) = run_campaign(resolve(request)).folders
    assert digest(resumed) == digest(whole)
    assert not resumed.parts.exists()


def test_killed_three_times_is_byte_identical(
    suite_file: Path, springs: str, tmp_path: Path
) -> None:
    path, _, attribute = springs.rpartition(":")
    slow = Path(path).with_name("slow.py")
    text = Path(path).read_text()
    slow.write_text(text.replace("        x =", f"        {pause(0.2)}\n        x ="))
    model = f"{slow}:{attribute}"
    words = ["run", "--suite", str(suite_file), "--model", model, "--batch-atoms", "12"]
    words += ["--no-diagnose"]
    out = tmp_path / "killed"
    kill_again_and_again(words, out, times=3)
    complete(words, out)
    run(suite_file, model, tmp_path / "whole", batch_atoms=12)
    killed, whole = (
        RunFolder(next(folder.rglob("run.json")).parent)
        for folder in (out, tmp_path / "whole")
    )
    assert digest(killed) == digest(whole)


def test_a_complete_run_is_not_computed_again(
    suite_file: Path, springs: str, tmp_path: Path
) -> None:
    (folder,) = run(suite_file, springs, tmp_path / "runs").folders
    before = (folder.path / "run.json").stat().st_mtime_ns
    run(suite_file, springs, tmp_path / "runs")
    assert (folder.path / "run.json").stat().st_mtime_ns == before


def test_other_settings_are_refused_unless_overwritten(
    suite_file: Path, tmp_path: Path
) -> None:
    run(suite_file, "zero", tmp_path / "runs", batch_atoms=50)
    done = run(suite_file, "zero", tmp_path / "runs", batch_atoms=60)
    assert done.folders == []
    assert "batch_atoms: 50 there, 60 now" in done.faults[0]
    assert "--overwrite" in done.faults[0]
    done = run(suite_file, "zero", tmp_path / "runs", batch_atoms=60, overwrite=True)
    assert len(done.folders) == 1


def test_a_trial_does_not_stand_in_the_way_of_the_whole_run(
    suite_file: Path, tmp_path: Path
) -> None:
    (trial,) = run(suite_file, "zero", tmp_path, limit=2).folders
    (whole,) = run(suite_file, "zero", tmp_path).folders
    (larger,) = run(suite_file, "zero", tmp_path, limit=3).folders
    names = [one.path.parent.parent.name for one in (trial, whole, larger)]
    assert names == ["toy--limit-2", "toy", "toy--limit-3"]
    assert len(trial.read_table()) == 6
    assert len(whole.read_table()) > len(larger.read_table()) > 6


def test_a_changed_model_file_is_another_run(
    suite_file: Path, springs: str, tmp_path: Path
) -> None:
    run(suite_file, springs, tmp_path / "runs")
    path = Path(springs.rpartition(":")[0])
    path.write_text(path.read_text() + "\n# changed\n")
    done = run(suite_file, springs, tmp_path / "runs")
    assert "model" in done.faults[0]


def test_a_model_that_cannot_load_does_not_stop_the_others(
    suite_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "nowhere.py").write_text("import nowhere_at_all")
    models = (f"{tmp_path}/nowhere.py:load", "zero")
    request = Request(suite=str(suite_file), models=models, out=tmp_path / "runs")
    done = run_campaign(resolve(request))
    assert len(done.folders) == 1
    assert "nowhere.py" in done.faults[0]


def test_reference_labels_do_not_reach_predictions(
    suite_file: Path, springs: str, tmp_path: Path
) -> None:
    (honest,) = run(suite_file, springs, tmp_path / "honest").folders
    frames = read(suite_file.parent / "ood.xyz", ":")
    for atoms in frames:
        atoms.info["REF_energy"] *= -3.0
        atoms.arrays["REF_forces"] += 100.0
    write(suite_file.parent / "ood.xyz", frames)
    (poisoned,) = run(suite_file, springs, tmp_path / "poisoned").folders
    assert digest(poisoned) == digest(honest)


def test_run_json_says_where_numbers_come_from(
    suite_file: Path, springs: str, tmp_path: Path
) -> None:
    (folder,) = run(suite_file, springs, tmp_path / "runs").folders
    manifest = json.loads((folder.path / "run.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["job"]["seed"] == 0
    assert manifest["dtype"] == "float32"
    assert manifest["versions"]["torch"] == importlib.metadata.version("torch")
    assert len(manifest["model"]["files"]["springs.py"]) == 64
    assert {split["name"] for split in manifest["splits"]} == {"train", "id", "ood"}
    assert all(len(split["sha256"]) == 64 for split in manifest["splits"])
    assert manifest["mode"]["sees"] == "nothing before prediction"


def test_a_file_in_the_way_of_out_is_one_sentence(
    suite_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "runs").write_text("not a folder")
    done = run(suite_file, "zero", tmp_path / "runs")
    assert "cannot create the folder" in done.faults[0]


def test_two_runs_in_one_folder_are_refused(suite_file: Path, tmp_path: Path) -> None:
    campaign = resolve(Request(suite=str(suite_file), out=tmp_path / "runs"))
    folder = campaign.folder(campaign.jobs[0])
    with folder.locked():
        done = run_campaign(campaign)
    assert "another mlffbench is writing" in done.faults[0]


def test_a_full_disk_leaves_nothing_half_written(
    suite_file: Path, tmp_path: Path
) -> None:
    words = ["run", "--suite", str(suite_file), "--out", str(tmp_path / "r")]
    words += ["--no-diagnose"]
    with_full_disk(words, limit=2000)
    assert not list((tmp_path / "r").rglob(".*.npz.*"))
    done = run(suite_file, "zero", tmp_path / "r")
    assert done.faults == []
    assert isinstance(done.folders[0].read_table(), pd.DataFrame)


def test_broken_stored_files_are_one_sentence(suite_file: Path, tmp_path: Path) -> None:
    from mlffbench.run.evaluate.evaluation_score import score_run

    (folder,) = run(suite_file, "zero", tmp_path / "runs").folders
    for name in ("forces.npz", "predictions.parquet", "run.json"):
        content = (folder.path / name).read_bytes()
        (folder.path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(StoreError, match=name.replace(".", r"\.")):
            score_run(folder)
        (folder.path / name).write_bytes(content)
    assert score_run(folder)
