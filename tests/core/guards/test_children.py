"""Nothing beside the data is run by a child process."""

import os
import subprocess
from pathlib import Path

import pytest

from mlffbench.cli.machines.doctor import import_fault
from mlffbench.core.guards.children import VARIABLE, FreshPool

SPY = "import pathlib; pathlib.Path('{name}.ran').touch(); raise SystemExit('run')\n"


@pytest.fixture
def spied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder whose modules have the names of Python's own."""
    for name in ("signal", "struct", "pickle", "selectors", "json"):
        (tmp_path / f"{name}.py").write_text(SPY.format(name=name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_pool_imports_nothing_from_the_current_folder(spied: Path) -> None:
    before = os.environ.get(VARIABLE)
    with FreshPool(1) as pool:
        assert pool.submit(divmod, 7, 2).result() == (3, 1)
    assert not list(spied.glob("*.ran"))
    assert os.environ.get(VARIABLE) == before


def test_doctor_imports_nothing_from_the_current_folder(spied: Path) -> None:
    assert import_fault("json, signal, subprocess") == ""
    assert not list(spied.glob("*.ran"))


def test_every_child_of_the_package_is_started_so() -> None:
    package = Path(__file__).parents[3] / "mlffbench"
    pools, interpreters = [], []
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if 'get_context("spawn")' in text or "multiprocessing.Process(" in text:
            pools.append(path.name)
        if "sys.executable" in text:
            interpreters.append(path.name)
    assert pools == interpreters == ["children.py"]


def test_a_child_without_that_would_run_them(spied: Path) -> None:
    from sys import executable

    plain = {key: value for key, value in os.environ.items() if key != VARIABLE}
    command = [executable, "-c", "import json"]
    subprocess.run(command, check=False, env=plain, capture_output=True)
    assert [path.name for path in spied.glob("*.ran")] == ["json.ran"]
