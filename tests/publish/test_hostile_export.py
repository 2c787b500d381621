"""What a forger tries beyond other numbers: each is one sentence, and nothing is lost."""

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
from sealing import change_records, seal_again
from small_runs import change, edit_records, score

from mlffbench.core.errors import BenchError, StoreError
from mlffbench.publish.export_folder import refuse_exports
from mlffbench.publish.export_job import ExportRequest, export_runs
from mlffbench.publish.private import places
from mlffbench.publish.reference_check import check_all
from mlffbench.publish.verification import verify_export
from mlffbench.report.document import compose
from mlffbench.run.evaluate.stored import StoredRun
from mlffbench.run.folder import RunFolder, read_arrays, write_table
from mlffbench.run.suite import load_suite
from mlffbench.run.suite_splits import load_splits


def run_of(export: Path) -> Path:
    return next(export.glob("runs/toy/springs.py-Springs-*/ttt"))


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def other_report(export: Path) -> None:
    rewrite(export / "report.md", "# mlffbench report", "# mlffbench report, the best")


def other_shifts(export: Path) -> None:
    path = run_of(export) / "alignment.json"
    shifts = json.loads(path.read_text())
    shifts["energies_ev"][0] += 1.0
    path.write_text(json.dumps(shifts))


def two_models(export: Path) -> None:
    rewrite(run_of(export) / "records.jsonl", "{", '{"model": "mine", ')


def two_jobs(export: Path) -> None:
    rewrite(run_of(export) / "run.json", "{", '{"job": {"model": "mine"}, ')


def two_licences(export: Path) -> None:
    rewrite(export / "export.json", "{", '{"licence": "mine", ')


def no_job(export: Path) -> None:
    path = run_of(export) / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "job": [1]}))


def more_arrays(export: Path) -> None:
    path = run_of(export) / "forces.npz"
    np.savez_compressed(path, **read_arrays(path), letter=np.zeros(3))


def table_of(export: Path, column: str, value: Any) -> None:
    path = run_of(export) / "predictions.parquet"
    table = pd.read_parquet(path)
    table.loc[len(table) - 1, column] = value
    write_table(path, table)


def invented(export: Path) -> None:
    line = json.loads((run_of(export) / "records.jsonl").read_text().splitlines()[0])
    found: dict[str, Any] = line["paired"]
    assert found
    zero = next(export.glob("runs/toy/zero/baseline"))
    change_records(zero, lambda record: record.update(paired=found))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (other_report, "report.md does not say what the records say"),
        (other_shifts, "alignment.json is not what the predictions beside it give"),
        (two_models, "the key 'model' stands there twice"),
        (two_jobs, "the key 'job' stands there twice"),
        (two_licences, "the key 'licence' stands there twice"),
        (no_job, "is not what a run writes: job"),
        (more_arrays, "does not hold the arrays of a run, once each .see 'letter'"),
        (lambda export: table_of(export, "n_atoms", -3), "ask for it or fetch it again"),
        (lambda export: table_of(export, "status", "fine"), "a status that no structure"),
        (invented, "paired"),
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
    assert "--overwrite" not in str(caught.value)  # who got it cannot run it again


def test_a_split_that_was_dropped_is_missed(
    published: Path, shared_suite_file: Path
) -> None:
    run = StoredRun.read(RunFolder(run_of(published / "whole")))
    splits = load_splits(*load_suite(str(shared_suite_file)))
    check_all(run, splits)
    with pytest.raises(StoreError, match="split 'ood' of its suite not at all"):
        check_all(replace(run, splits=run.splits[:-1]), splits)
    with pytest.raises(StoreError, match="twice"):
        check_all(replace(run, splits=[*run.splits, run.splits[-1]]), splits)


def test_what_an_older_mlffbench_did_not_know_is_no_forgery(whole: Path) -> None:
    rewrite(whole / "export.json", '"mlffbench": "', '"mlffbench": "0.0.1')
    for folder in whole.glob("runs/toy/*/*"):

        def forget(record: dict[str, Any]) -> None:
            for part in ("metrics", "gap", "paired", "against_prior"):
                record[part].pop("forces_rmse", None)

        change_records(folder, forget)
    seal_again(whole)
    told = verify_export(whole).open
    assert "metric forces_rmse: it is not in the export" in told
    assert any(one.startswith("README.md: another mlffbench") for one in told)


def test_nothing_of_the_users_is_overwritten(published: Path, whole: Path) -> None:
    request = ExportRequest(runs=(published / "runs",), out=whole, overwrite=True)
    (whole / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match=r"letter.txt in it is not of the export"):
        export_runs(request)
    shutil.rmtree(whole / "runs")
    (whole / "export.json").write_text("{}")  # a folder of another program
    with pytest.raises(StoreError, match=r"not known .* remove it yourself"):
        export_runs(request)
    assert (whole / "letter.txt").read_text() == "dear"


def test_an_export_is_not_put_among_the_runs(published: Path) -> None:
    runs = published / "runs"
    with pytest.raises(StoreError, match="choose a folder beside them"):
        export_runs(ExportRequest(runs=(runs,), out=runs / "export"))


def test_a_run_in_two_exports_is_told_once(published: Path, whole: Path) -> None:
    made = compose([published / "whole", whole], "md")
    assert len(made.left_out) == 3
    assert all("which is told once" in one.reason for one in made.left_out)


def test_an_export_is_replaced_whole(published: Path, whole: Path) -> None:
    zero = next((published / "runs").glob("*/zero"))
    done = export_runs(ExportRequest(runs=(zero, zero), out=whole, overwrite=True))
    assert len(done.export.manifest.runs) == 1
    assert [one.name for one in whole.parent.iterdir()] == [whole.name]


def test_scores_are_not_written_inside_an_export(whole: Path) -> None:
    with pytest.raises(StoreError, match="which nobody changes"):
        refuse_exports([whole / "runs" / "toy"])
    refuse_exports([whole.parent / "runs"])


def test_records_without_predictions_are_not_exported_again(
    records: Path, tmp_path: Path
) -> None:
    with pytest.raises(BenchError, match="with records only, which cannot be scored"):
        export_runs(ExportRequest(runs=(records,), out=tmp_path / "again"))


def test_what_the_oracle_says_is_left_out_and_told(runs: Path, tmp_path: Path) -> None:
    folder = RunFolder(next(runs.rglob("ttt/run.json")).parent)
    change(folder)
    table = folder.read_table()
    table["radius"], table["graph_changed"], table["envelope"] = 4.0, False, "trained"
    write_table(folder.path / "predictions.parquet", table)
    score(folder)
    said = {"value": 0.5, "unit": "1", "n": 3, "n_molecules": 3}

    def judged(record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "radius": {**record["radius"], "headroom": said}}

    edit_records(folder, judged)
    out = tmp_path / os.fsdecode(b"n\xff")  # a name need not be UTF-8
    done = export_runs(ExportRequest(runs=(folder.path,), out=out))
    assert done.without_oracle == (folder.path,)
    told = verify_export(out).verified
    assert any("numbers are what" in one for one in told)


def test_a_place_at_the_start_of_an_id_is_seen(tmp_path: Path) -> None:
    here = tmp_path / "a.xyz"
    assert places(f"m1\n{here}\n".encode()) == str(here)
    assert places(b"C:\\data\\a.xyz") == "C:\\data\\a.xyz"
    assert places(b"/C=C/F\nF/C=C/F\n/N/N\nC:C\nm/1") == ""
