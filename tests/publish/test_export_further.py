"""Simulations and fine-tuning curves: what leaves, what is verified, what is refused."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ase.build import molecule
from ase.io import write
from sealing import change_records, seal_again

from mlffbench.core.errors import StoreError
from mlffbench.dynamics.presets import PRESETS
from mlffbench.publish.export_job import ExportRequest, export_runs
from mlffbench.publish.verification import verify_export
from mlffbench.report.document import compose
from mlffbench.report.tables.curve_tables import saved_csv
from mlffbench.run.curve.curve_score import score_curve
from mlffbench.run.folder import RunFolder, read_arrays, write_arrays, write_table
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import CurveRequest, SimulationRequest, resolve
from mlffbench.run.simulate.simulation_score import write_scores
from mlffbench.training.finetune import FineTuning

FAST = replace(PRESETS["quick"], duration=0.02, record_every=4, seeds=2, thermostat=False)
SUITE = """
name: small
version: 1
summary: two molecules to move
level_of_theory: none
splits:
  - {name: train, role: train, file: train.xyz}
  - {name: ood, role: ood_test, file: ood.xyz, shift: {kind: elements, rule: others}}
models: [zero]
dynamics: {relax: none, reference: zero}
"""


def frames(*names: str) -> list[Any]:
    made = []
    for number, name in enumerate(names):
        atoms = molecule(name)
        atoms.rattle(0.01, seed=number)
        atoms.info |= {"REF_energy": 0.0, "group": name}
        atoms.arrays["REF_forces"] = np.zeros((len(atoms), 3))
        made.append(atoms)
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``runs``, a simulation twice and a curve, and their export."""
    folder = tmp_path_factory.mktemp("further")
    write(folder / "train.xyz", frames("CH3OH"))
    write(folder / "ood.xyz", frames("H2O", "NH3"))
    (folder / "small.yaml").write_text(SUITE)
    moved = SimulationRequest(
        suite=str(folder / "small.yaml"),
        preset=FAST,
        models=("zero",),
        out=folder / "runs",
    )
    (baseline,) = run_campaign(resolve(moved)).folders
    write_scores(baseline)
    write_scores(_refined(baseline))
    tuned = CurveRequest(
        suite="mini-ood",
        models=("mini-schnet",),
        modes=("baseline",),
        splits=("ood_extreme",),
        sizes=(0, 2),
        n_seeds=1,
        tuning=FineTuning(steps=1, batch=2),
        out=folder / "runs",
    )
    (curve,) = run_campaign(resolve(tuned)).folders
    records, saved = score_curve(curve)
    curve.write_records(records)
    curve.write_scores({"labels_saved.csv": saved_csv(saved).encode()})
    export_runs(ExportRequest(runs=(folder / "runs",), out=folder / "whole"))
    return folder


def _refined(baseline: RunFolder) -> RunFolder:
    """Return a simulation beside another, as if ttt had made its molecules last."""
    path = baseline.path.parents[2] / "ttt" / "dynamics" / baseline.path.name
    shutil.copytree(baseline.path, path)
    folder = RunFolder(path, baseline.manifest_name)
    table = folder.read_table("trajectories.parquet")
    table["status"], table["reason"] = "unstable", "/home/janedoe/x: gone"
    table["stable_time_ps"] = 0.5 * table["horizon_ps"]
    write_table(path / "trajectories.parquet", table)
    manifest = folder.read_manifest()
    mode = {**manifest["mode"], "name": "ttt"}
    folder.complete({**manifest, "mode": mode, "job": {**manifest["job"], "mode": "ttt"}})
    return folder


@pytest.fixture
def whole(made: Path, tmp_path: Path) -> Path:
    """Return a copy of the export, to be changed at will."""
    return shutil.copytree(made / "whole", tmp_path / "whole")


def test_numbers_leave_and_are_computed_again(made: Path) -> None:
    whole = made / "whole"
    found = verify_export(whole)
    assert [run.kind for run in found.export.manifest.runs] == [
        *("simulation", "simulation", "curve"),
    ]
    assert any("numbers are what stored trajectories' times" in t for t in found.verified)
    assert any("fine-tuning curve are those of the data set" in t for t in found.verified)
    assert any("is as told, since neither is in an export" in one for one in found.open)
    names = {path.name for path in whole.rglob("*") if path.is_file()}
    assert "trajectories.parquet" in names
    assert not any(path.suffix == ".extxyz" for path in whole.rglob("*"))
    (thermo, _) = sorted(whole.rglob("thermo.npz"))
    assert list(read_arrays(thermo)) == ["distance_density"]
    assert found.export.n_bytes < 100_000
    readme = (whole / "README.md").read_text()
    assert "| small v1 | zero | ttt, simulation quick | yes |" in readme
    assert "| mini-ood v3 | mini-schnet | fine-tuning curve | yes |" in readme
    assert "model mini-schnet: MIT" in readme
    (table,) = (pd.read_parquet(one) for one in whole.rglob("ttt/**/*.parquet"))
    assert set(table["reason"]) == {"x: gone"}


def test_what_is_compared_comes_along_and_stands_in_one_table(
    made: Path, whole: Path, tmp_path: Path
) -> None:
    ttt = next((made / "runs").rglob("ttt/dynamics/*"))
    done = export_runs(ExportRequest(runs=(ttt,), out=tmp_path / "b"))
    assert [path.parts[-3] for path in done.beside] == ["baseline"]
    text = compose([whole, tmp_path / "b"], "md")
    assert text.text.count("dynamics, quick, no thermostat") == 1
    assert "fine-tuning on OOD labels" in text.text
    assert len(text.left_out) == 2
    assert all("which is told once" in one.reason for one in text.left_out)
    (record,) = RunFolder(ttt, "dynamics.json").read_records()
    assert record.paired["stable_time"].verdict == "cannot be judged"
    assert "distance_distribution_error" in record.metrics
    again = export_runs(ExportRequest(runs=(tmp_path / "b",), out=tmp_path / "c"))
    verify_export(again.export.path)


def longer(export: Path) -> None:
    (path,) = export.rglob("ttt/**/trajectories.parquet")
    table = pd.read_parquet(path)
    table["stable_time_ps"] = table["horizon_ps"]
    write_table(path, table)


def fewer(export: Path) -> None:
    (path,) = export.rglob("ttt/**/trajectories.parquet")
    write_table(path, pd.read_parquet(path).iloc[1:])


def smaller(export: Path) -> None:
    (path,) = export.rglob("errors.npz")
    arrays = read_arrays(path)
    write_arrays(path, {**arrays, "error": 0.5 * arrays["error"]}, packed=True)


def flat(export: Path) -> None:
    (path,) = export.rglob("errors.npz")
    arrays = read_arrays(path)
    write_arrays(path, {**arrays, "error": arrays["error"][0]}, packed=True)


def other_molecules(export: Path) -> None:
    (path,) = export.rglob("curve.json")
    manifest = json.loads(path.read_text())
    manifest["splits"][1]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    change_records(
        path.parent,
        lambda one: one.update(
            split_sha256="0" * 64 if one["role"] == "ood_test" else one["split_sha256"]
        ),
    )


def no_protocol(export: Path) -> None:
    (path,) = export.rglob("ttt/**/dynamics.json")
    manifest = json.loads(path.read_text())
    del manifest["job"]["friction"]
    path.write_text(json.dumps(manifest))


def other_role(export: Path) -> None:
    (path,) = export.rglob("ttt/**/dynamics.json")
    manifest = json.loads(path.read_text())
    manifest["splits"][0]["role"] = "id_test"
    path.write_text(json.dumps(manifest))


def elsewhere(export: Path) -> None:
    content = json.loads((export / "export.json").read_text())
    (run,) = (one for one in content["runs"] if one["mode"] == "ttt")
    (export / "runs" / "a").mkdir()
    (export / run["folder"]).rename(export / "runs" / "a" / "b")
    run["folder"] = "runs/a/b"
    (export / "export.json").write_text(json.dumps(content))


def endless_text(export: Path) -> None:
    (path,) = export.rglob("ttt/**/trajectories.parquet")
    table = pd.read_parquet(path)
    table["reason"] = pd.Categorical(["x" * (20 << 20)] * len(table))
    write_table(path, table)


def other_command(export: Path) -> None:
    (path,) = export.rglob("curve.json")
    told = {"status": "running", "command": "repeat its command; rm -rf /"}
    path.write_text(json.dumps({**json.loads(path.read_text()), **told}))


def one_start_less(export: Path) -> None:
    (path,) = export.rglob("errors.npz")
    arrays = read_arrays(path)
    write_arrays(path, {**arrays, "mode": np.array(["baseline", "x"])}, packed=True)


def steadier(export: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["metrics"]["stable_time"]["value"] *= 1.1

    change_records(next(export.rglob("ttt/dynamics/*")), change)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (longer, "is not what the numbers beside it give, so it was altered"),
        (steadier, "metrics.stable_time.value"),
        (fewer, "holds 3 trajectories, its simulation has 4"),
        (smaller, "is not what the numbers beside it give"),
        (flat, "is not of a curve"),
        (other_molecules, "are not those of the data set, so they were altered"),
        (no_protocol, "is not what a simulation writes: job.friction"),
        (other_role, "trajectories of other molecules than its simulation names"),
        (elsewhere, "has the simulation runs/a/b, where none is written"),
        (endless_text, "would unpack into 83,.* bytes of text"),
        (other_command, "finetune-curve has not finished; ask for it or fetch it again$"),
        (one_start_less, "is not of a curve .starts with other numbers of labels"),
    ],
)
def test_a_forgery_is_one_sentence(
    whole: Path, harm: Callable[[Path], None], told: str
) -> None:
    harm(whole)
    seal_again(whole)
    with pytest.raises(StoreError, match=told) as caught:
        verify_export(whole)
    assert "\n" not in str(caught.value)
    assert "--overwrite" not in str(caught.value)


def test_what_has_not_finished_or_was_not_scored_is_refused(
    made: Path, tmp_path: Path
) -> None:
    runs = shutil.copytree(made / "runs" / "small", tmp_path / "runs")
    ttt = next(runs.rglob("ttt/dynamics/*"))
    (ttt / "records.jsonl").unlink()
    request = ExportRequest(runs=(ttt,), out=tmp_path / "out")
    with pytest.raises(StoreError, match="has no records; repeat its command"):
        export_runs(request)
    folder = RunFolder(ttt, "dynamics.json")
    folder.write_manifest({**folder.read_manifest(), "status": "running"})
    with pytest.raises(StoreError, match="has not finished"):
        export_runs(request)
    assert [one.name for one in tmp_path.iterdir()] == ["runs"]


def test_what_a_killed_export_left_is_cleared_and_an_old_one_put_back(
    made: Path, whole: Path
) -> None:
    hidden = whole.parent / f".{whole.name}.export"
    (hidden / "new" / "runs").mkdir(parents=True)
    (hidden / "new" / "runs" / "half").write_text("half")
    (hidden / ".lock").touch()
    os.rename(whole, hidden / "old")  # noqa: PTH104 - as a killed export had done
    ttt = next((made / "runs").rglob("ttt/dynamics/*"))
    request = ExportRequest(runs=(ttt,), out=whole)
    with pytest.raises(StoreError, match="holds an export; choose another"):
        export_runs(request)
    assert verify_export(whole).export.manifest.runs[2].kind == "curve"
    (hidden / "new").mkdir(parents=True)
    export_runs(replace(request, overwrite=True))
    assert [one.name for one in whole.parent.iterdir()] == [whole.name]


def test_two_exports_to_one_place_exclude_each_other(made: Path, tmp_path: Path) -> None:
    ttt = next((made / "runs").rglob("ttt/dynamics/*"))
    with (
        RunFolder(tmp_path / ".out.export").locked(),
        pytest.raises(StoreError, match="another mlffbench is writing to"),
    ):
        export_runs(ExportRequest(runs=(ttt,), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
