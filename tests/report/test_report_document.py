import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from small_runs import change, edit_records, refined, score

from mlffbench.core.errors import StoreError
from mlffbench.core.record import Record
from mlffbench.report.document import compose, write_report
from mlffbench.report.schema import REPORT_VERSION, Report, schema
from mlffbench.report.tables.display_units import number
from mlffbench.run.folder import SIMULATION, RunFolder, read_arrays

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / f"report-v{REPORT_VERSION}.json"


def told(out: Path) -> Report:
    return Report.model_validate_json(compose([out], "json").text)


def bare(content: Any) -> Any:
    """Return a schema without its descriptions, which may be worded anew."""
    if isinstance(content, dict):
        return {
            key: bare(value) for key, value in content.items() if key != "description"
        }
    return [bare(value) for value in content] if isinstance(content, list) else content


def test_the_json_follows_its_published_schema(
    folders: list[RunFolder], tmp_path: Path
) -> None:
    published = json.loads(SCHEMA.read_text(encoding="utf-8"))
    told_now = json.loads(json.dumps(schema()))
    assert bare(published) == bare(told_now), "run docs/report_schema.py"
    content = json.loads(compose([tmp_path / "runs"], "json").text)
    jsonschema.Draft202012Validator(published).validate(content)
    assert content["schema_version"] == REPORT_VERSION
    assert len(content["records"]) == 2 * len(folders)
    content["boards"][0]["rows"][0]["kind"] = "best"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(published).validate(content)


def test_a_number_of_the_board_is_that_of_the_parquet_rows(
    folders: list[RunFolder], tmp_path: Path
) -> None:
    (board,) = told(tmp_path / "runs").boards
    row = next(row for row in board.rows if row.mode == "ttt")
    folder = Path(row.run)
    table = pd.read_parquet(folder / "predictions.parquet")
    forces = read_arrays(folder / "forces.npz")["forces"]
    reference = read_arrays(folder / "reference.npz")["forces"]
    atoms = np.repeat((table["split"] == "id").to_numpy(), table["n_atoms"])
    error = np.abs(forces[atoms] - reference[atoms])
    cell = row.cells["id"]
    assert cell.error is not None
    assert cell.error.value == pytest.approx(np.nanmean(error))
    assert cell.evaluated == int((table["split"] == "id").sum())


def test_rows_are_model_by_model_with_the_floor_named(
    folders: list[RunFolder], tmp_path: Path
) -> None:
    (board,) = told(tmp_path / "runs").boards
    assert [(row.mode, row.kind) for row in board.rows] == [
        ("baseline", "floor"),
        ("baseline", "model"),
        ("rr", "model"),
        ("ttt", "model"),
    ]
    ttt = board.rows[-1]
    assert ttt.cells["id"].leading
    base = board.rows[1].cells["id"]
    error, to_baseline = ttt.cells["id"].error, ttt.cells["id"].to_baseline
    assert error is not None
    assert base.error is not None
    assert to_baseline is not None
    assert to_baseline.value == pytest.approx(error.value / base.error.value)
    assert base.leading is False or base.error.value >= error.value


def test_the_summary_says_what_the_records_say(
    folders: list[RunFolder], tmp_path: Path
) -> None:
    (board,) = told(tmp_path / "runs").boards
    sentence, verdicts = board.sentences[-2:]
    row = next(
        row for row in board.rows if row.mode == "baseline" and row.model != "zero"
    )
    ratio = row.cells["ood"].ratio
    assert ratio is not None
    assert "unseen elements (ood)" in sentence
    assert f"{number(ratio.value)}×" in sentence
    assert "(95 % " in sentence or "(molecules " in sentence
    assert board.n_verdicts == 4
    assert verdicts.startswith("This board holds 4 verdicts of a mode against baseline")


def test_another_split_is_not_compared(folders: list[RunFolder], tmp_path: Path) -> None:
    edit_records(folders[0], lambda record: {**record, "split_sha256": "f" * 64})
    report = told(tmp_path / "runs")
    assert len(report.boards) == 2
    (sentence,) = report.separated
    assert "are not compared: split 'id' holds other structures on each side" in sentence


def test_another_unit_of_adaptation_has_its_own_table(
    folders: list[RunFolder], tmp_path: Path
) -> None:
    other = tmp_path / "runs" / "toy" / "other"
    folders[0].path.parent.rename(other)
    added = refined(RunFolder(other / "baseline"), "ttt", 0.5, unit="split")
    score(added)
    report = told(tmp_path / "runs")
    assert len(report.boards) == 2
    (sentence,) = report.separated
    assert (
        "adapts per group, elsewhere per split: shown in tables of their own" in sentence
    )
    aside = report.boards[1]
    assert [row.mode for row in aside.rows] == ["baseline", "ttt"]


def test_another_energy_fit_is_left_out(folders: list[RunFolder], tmp_path: Path) -> None:
    path = folders[-1].path / "alignment.json"
    content = json.loads(path.read_text())
    content["energies_ev"][0] += 0.5
    path.write_text(json.dumps(content))
    made = compose([tmp_path / "runs"], "html").text
    assert "rest on another E0 fit than those of its baseline" in made
    assert "refused: another E0 fit" in made


def test_other_weights_are_not_compared(folders: list[RunFolder], tmp_path: Path) -> None:
    change(folders[-1], model={"weights_sha256": "a" * 64})
    report = told(tmp_path / "runs")
    (sentence,) = report.separated
    assert "is not compared with its baseline: they are of other weights" in sentence
    row = next(row for row in report.boards[0].rows if row.mode == "ttt")
    assert row.cells["id"].to_baseline is None


CUT = {"run.json": '{"schema_ver', "predictions.parquet": "PAR1", "forces.npz": ""}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("run.json", '{"schema_version": 0}', "schema version 0"),
        ("run.json", '{"schema_version": 1, "status": "complete"}', "lacks"),
        ("records.jsonl", '{"schema_version": 1', "mlffbench score"),
        *((name, content, "missing or broken") for name, content in CUT.items()),
    ],
)
def test_broken_runs_are_listed_as_such(
    folders: list[RunFolder], tmp_path: Path, name: str, content: str, reason: str
) -> None:
    (folders[-1].path / name).write_text(content)
    report = told(tmp_path / "runs")
    (left_out,) = [run for run in report.runs if run.status == "left out"]
    assert left_out.path == str(folders[-1].path)
    assert reason in left_out.reason
    assert len(report.boards[0].rows) == len(folders) - 1
    assert left_out.path in compose([tmp_path / "runs"], "html").text


def test_a_run_that_has_not_finished_is_listed(
    folders: list[RunFolder], tmp_path: Path
) -> None:
    command = "mlffbench run --suite toy"
    change(folders[-1], status="running", command=command)
    (folders[-1].path / "parts").mkdir()
    (folders[-1].path / "parts" / "000000.npz").touch()
    made = compose([tmp_path / "runs"], "html")
    (unfinished,) = made.left_out
    assert unfinished.is_unfinished
    assert unfinished.reason == (
        f"not finished: 1 part is stored, repeat the command to go on: {command}"
    )
    summary = made.text.partition('<section id="leaderboard"')[0]
    assert "<h3>Not finished</h3>" in summary
    assert "<h3>Left out</h3>" not in summary


def test_a_simulation_that_has_not_finished_is_no_fault(
    folders: list[RunFolder], tmp_path: Path
) -> None:
    stopped = RunFolder(tmp_path / "runs" / "stopped", SIMULATION)
    stopped.path.mkdir()
    stopped.write_manifest({"status": "running", "command": "mlffbench simulate"})
    (told,) = compose([tmp_path / "runs"], "json").left_out
    assert told.is_unfinished
    assert told.reason.endswith("repeat the command to go on: mlffbench simulate")


def test_remarks_stand_before_every_number(
    folders: list[RunFolder], tmp_path: Path
) -> None:
    remarks = ["3 structures have forces above 50 eV/Å.", 7, "The labels are <b>new</b>"]
    for folder in folders[:2]:
        change(folder, checks={"remarks": remarks})
    made = compose([tmp_path / "runs"], "html")
    assert made.boards[0].warnings[:2] == (
        "3 structures have forces above 50 eV/Å.",
        "The labels are <b>new</b>.",
    )
    assert len(set(made.boards[0].warnings)) == len(made.boards[0].warnings)
    assert made.boards[0].findings[0].startswith("Least force error")
    first, _, rest = made.text.partition("Least force error")
    assert "Read this first" in first
    assert "The labels are &lt;b&gt;new&lt;/b&gt;." in first
    assert "50 eV/Å" not in rest.partition("payload")[0]


def test_what_was_left_undone_is_open_and_the_rest_folded(
    folders: list[RunFolder], tmp_path: Path
) -> None:
    text = compose([tmp_path / "runs"], "html").text
    open_part, _, folded = text.partition("Evaluated, skipped, failed</h3>")[2].partition(
        "<details>"
    )
    assert open_part.count("element not supported: N") == len(folders) - 1
    assert "zero" not in open_part
    assert f"All {2 * len(folders)} rows" in folded


def test_no_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="make one with: mlffbench run --suite mini-ood"):
        write_report([tmp_path / "runs"], tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written_is_left_as_it_was(
    folders: list[RunFolder], tmp_path: Path
) -> None:
    target = tmp_path / "out" / "report.html"
    target.mkdir(parents=True)  # a folder stands in its place
    with pytest.raises(StoreError, match="cannot write"):
        write_report([tmp_path / "runs"], target)
    assert list(target.parent.iterdir()) == [target]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot create the folder"):
        write_report([tmp_path / "runs"], tmp_path / "file" / "report.html")


def test_records_stay_readable_by_their_own_class(
    folders: list[RunFolder], tmp_path: Path
) -> None:
    content = json.loads(compose([tmp_path / "runs"], "json").text)
    for record in content["records"]:
        Record.model_validate(record)


def test_a_report_imports_no_model(folders: list[RunFolder], tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from mlffbench.report.document import write_report; "
        "write_report([Path(sys.argv[1])], Path(sys.argv[2])); "
        "print([m for m in sys.modules if m.startswith(('mlffbench.models.p', "
        "'mlffbench.models.load', 'mlffbench.models.twoheaded', 'mlffbench.refine', "
        "'mace', 'torchani', 'tblite'))])"
    )
    out = tmp_path / "report.html"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "runs"), str(out)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
    text = out.read_text(encoding="utf-8")
    assert "<link" not in text
    assert "src=" not in text.partition("plotly.js v")[0]


def test_the_scripts_of_the_page_make_no_markup_from_text() -> None:
    page = Path(__file__).parents[2] / "mlffbench" / "report" / "page"
    for path in page.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ):
            assert word not in text, f"{word} in {path.name}"
