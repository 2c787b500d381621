"""Hostile names in a run: every form of the report shows them as text."""

import csv
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table
from small_runs import change, edit_records, score
from typer.testing import CliRunner

from mlffbench.cli.app import app
from mlffbench.cli.shared.console import make_console, print_error, print_warnings
from mlffbench.core.guards.plain import UNSEEN
from mlffbench.report.document import Form, compose, write_report
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve

NAME = (
    "=cmd|' /C calc'!A0\x1b[31m\x1b]0;owned\x07\u202egnp.\u2066<script>x</script>[/red]"
)


@pytest.fixture(scope="module")
def runs(shared_suite_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run in which a model, a molecule and reasons have hostile names."""
    out = tmp_path_factory.mktemp("hostile") / "runs"
    request = Request(suite=str(shared_suite_file), models=("zero",), out=out)
    (folder,) = run_campaign(resolve(request)).folders
    score(folder)

    def spoil(record: dict[str, Any]) -> dict[str, Any]:
        counts = {**record["counts"], "reasons": {NAME: 1}}
        worst = [NAME, record["worst_group"][1]]
        return {**record, "model": NAME, "counts": counts, "worst_group": worst}

    edit_records(folder, spoil)
    change(folder, job={"model": NAME}, checks={"remarks": [NAME]})
    return out


def is_plain(text: str) -> bool:
    return not any(UNSEEN.search(line) for line in text.split("\n"))


def test_markdown_and_json_are_plain(runs: Path) -> None:
    text = compose([runs], "md").text
    assert is_plain(text)
    assert "<script" not in text
    assert "cmd" in text
    made = compose([runs], "json").text
    assert is_plain(made)
    assert {record["model"] for record in json.loads(made)["records"]} == {NAME}


def test_no_cell_of_the_csv_is_a_formula(runs: Path) -> None:
    text = compose([runs], "csv").text
    assert is_plain(text)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert all(row["model"].startswith("'=cmd") for row in rows)
    for row in rows:
        for cell in row.values():
            assert not cell.startswith(("=", "+", "@"))
            if cell.startswith("-"):
                float(cell)


def test_the_page_is_plain(runs: Path) -> None:
    page = compose([runs], "html").text
    assert "<script>x" not in page
    for character in ("\x1b", "\x07", "\u202e", "\u2066"):
        assert character not in page


def test_the_terminal_is_plain(runs: Path) -> None:
    for words in (["report", "--format", "md"], ["report", "--format", "csv"]):
        done = CliRunner().invoke(app, [*words, str(runs)])
        assert done.exit_code == 0
        assert is_plain(done.output)
    done = CliRunner().invoke(app, ["score", str(runs)])
    assert is_plain(done.output)


def test_a_console_shows_text_only(capsys: pytest.CaptureFixture[str]) -> None:
    console = make_console()
    table = Table(title=NAME)
    table.add_column(NAME)
    table.add_row(NAME)
    console.print(table)
    console.print(f"a {NAME}")
    print_error(NAME)
    print_warnings([NAME, "x" * 10**5])
    shown = capsys.readouterr()
    assert is_plain(shown.out)
    assert is_plain(shown.err)
    assert "[/red]" in shown.out
    assert len(shown.err) < 10_000


def test_a_terminal_gets_the_colours_that_are_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    console = make_console()
    with console.capture() as got:
        console.print(f"a {NAME}", style="red")
    shown = got.get()
    assert "\x1b[31m" in shown
    assert "\x1b]0;owned" not in shown
    assert "\x07" not in shown


@pytest.mark.parametrize("form", ["html", "md", "csv", "json"])
def test_a_folder_whose_name_is_no_utf8_is_reported(
    runs: Path, tmp_path: Path, form: Form
) -> None:
    folder = tmp_path / os.fsdecode(b"out_\xff")
    try:
        shutil.copytree(runs, folder)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes only UTF-8")
    made = write_report([folder], tmp_path / f"report.{form}", form)
    assert made.left_out == ()
    assert "ood" in (tmp_path / f"report.{form}").read_text(encoding="utf-8")
