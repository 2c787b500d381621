"""Handing a model's jobs to another interpreter: same folders, same numbers."""

import sys
from pathlib import Path

import pytest

from mlffbench.core.errors import ModelError
from mlffbench.models.environments.environment import INSIDE, environment_named
from mlffbench.run.elsewhere.handover import elsewhere, hand_over
from mlffbench.run.folder import RunFolder
from mlffbench.run.request import Request


class Told:
    """Progress that is kept."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.n = 0

    def begin(self, title: str, n_structures: int) -> None:
        self.titles.append(title)

    def advance(self, n_structures: int) -> None:
        self.n += n_structures


def pretend(cache: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("MLFFBENCH_CACHE", str(cache))
    monkeypatch.delenv(INSIDE, raising=False)
    python = environment_named("sevenn").python
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{command}\n")
    python.chmod(0o755)
    environment_named("sevenn").note("by hand")


def asked(out: Path) -> Request:
    return Request(
        suite="mini-ood",
        models=("zero", "mini-mace"),
        modes=("baseline",),
        limit=1,
        out=out,
        diagnose=False,
    )


def test_jobs_of_one_model_are_done_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path / "cache", monkeypatch, f'exec {sys.executable} "$@"')
    told = Told()
    answer = hand_over(environment_named("sevenn"), "zero", asked(tmp_path), told)
    assert answer.faults == ()
    [path] = answer.folders
    assert path.relative_to(tmp_path).parts[1:] == ("zero", "baseline")
    manifest = RunFolder(path).read_manifest()
    assert manifest["status"] == "complete"
    assert told.titles == ["zero baseline"]
    assert told.n > 5


def test_an_interpreter_that_gives_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path / "cache", monkeypatch, "exit 3")
    with pytest.raises(ModelError, match=r"ended without an answer \(code 3\)"):
        hand_over(environment_named("sevenn"), "zero", asked(tmp_path), Told())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo hello; exit 0", "wrote 'hello' to its output"),
        ("echo 5", "wrote '5' to its output"),
        ("""echo '{"folders": []}'""", "where only answers belong"),
        ("""printf '{"folders": []'; kill -9 $$""", r"without an answer \(code -9\)"),
        ("echo rubbish; exec sleep 60", "wrote 'rubbish'"),  # is not waited for
    ],
)
def test_an_interpreter_that_says_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: str
) -> None:
    pretend(tmp_path / "cache", monkeypatch, command)
    with pytest.raises(ModelError, match=words):
        hand_over(environment_named("sevenn"), "zero", asked(tmp_path), Told())


def test_what_runs_here(tmp_path: Path) -> None:
    assert elsewhere("zero") is None
    assert elsewhere("some/file.py:factory") is None
