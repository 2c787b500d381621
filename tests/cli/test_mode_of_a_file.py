"""``--mode path/to/file.py:Mode`` is a mode as any other, in every command."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlffbench.cli.app import app
from mlffbench.core.errors import BenchError

MINE = '''
from mlffbench.refine.refiner import Refined


class Mine:
    """Nothing is done."""

    name = "my-mode"
    unit = "structure"
    sees = "nothing"

    def __init__(self, *, share: float = 0.5):
        self.share = share

    def check(self, model):
        if self.share > 1:
            raise ValueError("more than all")

    def settings(self, model):
        return {"share": self.share}

    def refine(self, model, structures):
        return Refined(model=model)
'''


@pytest.fixture
def mode(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return f"{path}:Mine"


def invoke(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(done.exception, BenchError):
        return str(done.exception)
    assert done.exit_code in {0, 1}, done.exception
    return " ".join(done.output.split())


def test_plan_and_run_name_the_folder_after_the_class(
    suite_file: Path, tmp_path: Path, mode: str
) -> None:
    words = ("--suite", suite_file, "--model", "zero", "--mode", mode, "--limit", 1)
    assert "runs/toy--limit-1/zero/my-mode" in invoke("plan", *words)
    told = invoke("run", *words, "--out", tmp_path, "--set", f"{mode}.share=0.25")
    manifest = json.loads((tmp_path / "toy--limit-1/zero/my-mode/run.json").read_text())
    assert manifest["mode"]["settings"] == {"share": 0.25}, told
    assert list(manifest["mode"]["files"]) == ["mine.py"]
    assert manifest["job"]["mode"] == mode


def test_a_changed_file_is_another_run(
    suite_file: Path, tmp_path: Path, mode: str
) -> None:
    words = (
        "run",
        "--suite",
        suite_file,
        "--model",
        "zero",
        "--limit",
        1,
        "--no-diagnose",
    )
    invoke(*words, "--mode", mode, "--out", tmp_path)
    Path(mode.rpartition(":")[0]).write_text(MINE.replace("Nothing", "Little"))
    told = invoke(*words, "--mode", mode, "--out", tmp_path)
    assert "holds a run with other settings (mode, files" in told


def test_an_exception_of_the_mode_is_told_with_its_line(
    suite_file: Path, tmp_path: Path, mode: str
) -> None:
    words = ("--suite", suite_file, "--model", "zero", "--mode", mode, "--limit", 1)
    told = invoke("run", *words, "--out", tmp_path, "--set", f"{mode}.share=2")
    assert "raised ValueError: more than all (mine.py, line 17)" in told


def test_simulate_runs_it(
    suite_file: Path, springs: str, tmp_path: Path, mode: str
) -> None:
    with suite_file.open("a") as file:
        file.write("dynamics: {relax: none}\n")
    words = ("--suite", suite_file, "--model", springs, "--mode", mode, "--limit", 1)
    told = invoke(
        *("simulate", *words, "--seeds", 1, "--time", 0.005, "--time-step", 0.5),
        *("--out", tmp_path / "moved"),
    )
    (found,) = (tmp_path / "moved").rglob("dynamics.json")
    assert found.parts[-4:-2] == ("my-mode", "dynamics"), told
    manifest = json.loads(found.read_text())
    assert list(manifest["mode"]["files"]) == ["mine.py"]
