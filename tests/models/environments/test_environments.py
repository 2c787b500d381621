"""Environments of their own: what needs one, what is told, and nothing half-made."""

import importlib.util
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlffbench.cli.app import app
from mlffbench.core.errors import ModelError, UnknownNameError
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.plugins.install import extras
from mlffbench.core.registry import Entry
from mlffbench.models.environments.creation import create, import_fault, remove
from mlffbench.models.environments.environment import (
    ENVIRONMENTS,
    INSIDE,
    environment_for,
    environment_named,
    variables_of,
)
from mlffbench.models.load import load_model

ABSENT = Entry("a:b", "made up", extra="sevenn", requires=("no_such_package",))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(INSIDE, raising=False)
    return tmp_path / "cache"


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_each_has_an_extra_and_a_lock_of_exact_versions() -> None:
    for name, one in ENVIRONMENTS.items():
        assert name in extras()
        pins = [line for line in one.lock.splitlines() if not line.startswith("#")]
        assert len(pins) > 20
        assert all(line.count("==") == 1 for line in pins)


def test_who_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = environment_for(ABSENT)
    assert needed is not None
    assert needed.name == "sevenn"
    assert (
        environment_for(Entry("a:b", "here", extra="sevenn", requires=("json",))) is None
    )
    assert environment_for(Entry("a:b", "", extra="ani", requires=("no_such",))) is None
    monkeypatch.setenv(INSIDE, "sevenn")  # a child hands nothing on
    assert environment_for(ABSENT) is None


@pytest.mark.skipif(
    importlib.util.find_spec("sevenn") is not None,
    reason="sevenn is installed beside mlffbench, so 7net-0 needs no environment",
)
def test_a_model_without_its_packages_names_the_command() -> None:
    with pytest.raises(ModelError, match="run: mlffbench env create sevenn"):
        load_model("7net-0", ModelOptions())
    pretend(Path(os.environ["MLFFBENCH_CACHE"]))
    with pytest.raises(ModelError, match="type: mlffbench env run sevenn COMMAND"):
        load_model("7net-0", ModelOptions())


def pretend(cache: Path) -> None:
    """Make the folder of an environment by hand."""
    one = environment_named("sevenn")
    assert one.folder.is_relative_to(cache)
    executable(one.python, "echo broken >&2; exit 1")
    one.note("by hand")
    assert one.is_current


def test_what_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path / "bin" / "uv", "echo error: no such index >&2; exit 2")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    one, said = environment_named("sevenn"), []
    why = "'sevenn' cannot be made: uv says: error: no such index; nothing is left of it"
    with pytest.raises(ModelError, match=why):
        create(one, said.append)
    assert not one.folder.exists()
    assert "with uv: Python 3" in said[0]
    result = CliRunner().invoke(app, ["env", "create", "sevenn"])
    assert isinstance(result.exception, ModelError)


def test_states_and_removal(cache: Path) -> None:
    one = environment_named("sevenn")
    assert not one.is_current
    pretend(cache)
    assert create(one, print) is False
    assert import_fault(one) == "broken"
    listed = CliRunner().invoke(app, ["env", "list"]).output
    assert "environment 'sevenn' is broken (broken)" in listed
    assert "environment 'orb' is not made" in listed
    (one.folder / "made.json").write_text('{"lock": "other"}')
    assert "'sevenn' is an old one" in CliRunner().invoke(app, ["env", "list"]).output
    assert CliRunner().invoke(app, ["env", "run", "sevenn", "list"]).exit_code == 1
    assert remove(one) is True
    assert remove(one) is False
    with pytest.raises(UnknownNameError, match="Did you mean 'sevenn'"):
        environment_named("seven")


def test_what_lies_where_an_environment_should(tmp_path: Path, cache: Path) -> None:
    one = environment_named("sevenn")
    one.folder.parent.mkdir(parents=True)
    one.folder.write_text("a file")
    assert remove(one) is True
    assert not one.folder.exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    one.folder.symlink_to(tmp_path / "mine")
    assert remove(one) is True
    assert not one.folder.is_symlink()
    assert (tmp_path / "mine" / "thesis.txt").exists()
    pretend(cache)
    (one.folder / "made.json").write_text("[1, 2]")
    assert not one.is_current
    (one.folder.parent / ".orb.lock").mkdir()
    with pytest.raises(ModelError, match=r"\.orb\.lock cannot be written"):
        create(environment_named("orb"), print)


def test_an_interpreter_that_cannot_be_started(cache: Path) -> None:
    pretend(cache)
    one = environment_named("sevenn")
    one.python.write_bytes(b"\x7fELF of another machine")
    result = CliRunner().invoke(app, ["env", "run", "sevenn", "list"])
    assert isinstance(result.exception, ModelError)
    assert "cannot be started: " in str(result.exception)
    assert "cannot be started: " in import_fault(one)


def test_packages_of_pythonpath_are_not_taken_for_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path / "bin" / "uv", 'echo "error: <$PYTHONPATH>" >&2; exit 2')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ModelError, match="uv says: error: <>; nothing"):
        create(environment_named("sevenn"), print)


def test_a_command_runs_there_and_its_exit_code_comes_back(cache: Path) -> None:
    one = environment_named("sevenn")
    executable(one.python, 'test "$4" = list && exit 7')
    one.note("by hand")
    result = CliRunner().invoke(app, ["env", "run", "sevenn", "list", "models"])
    assert result.exit_code == 7
    given = variables_of(one)
    assert given[INSIDE] == "sevenn"
    assert (Path(given["PYTHONPATH"]) / "mlffbench" / "__init__.py").is_file()
