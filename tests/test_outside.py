"""The package in ``tests/outside`` adds one of each kind; all of them work."""

import json
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from outside_packages import install
from processes import environment, new_python, python

OUTSIDE = Path(__file__).parent / "outside"
PROJECT = tomllib.loads((OUTSIDE / "pyproject.toml").read_text("utf-8"))["project"]
POINTS: dict[str, dict[str, str]] = PROJECT["entry-points"]
NAMES = [name for points in POINTS.values() for name in points]
BROKEN = """
[project]
name = "sadly-broken"
version = "0.1"

[project.entry-points."mlffbench.models"]
no-module = "sadly_broken.gone:load"
no-attribute = "sadly_broken.rows:LOST"
no-package = "sadly_broken.needy:load"
no-python = "sadly_broken.garbled:load"
raises = "sadly_broken.rows:ROW"

[project.entry-points."mlffbench.suites"]
no-file = "sadly_broken"

[project.entry-points."mlffbench.metrics"]
no_card = "sadly_broken.needy:metric"

[project.entry-points."mlffbench.diagnostics"]
wrong_card = "sadly_broken.cards:DIAGNOSTIC"
"""
MODULES = {
    "__init__": "",
    "rows": "from mlffbench.core.registry import Entry\nROW = Entry('a:b', 'c')\n1 / 0\n",
    "needy": "import nowhere_at_all\ndef load(options): ...\n",
    "garbled": "def load(:\n",
    "cards": "from mlffbench.core.registry import Entry\n"
    "DIAGNOSTIC = Entry('a:b', 'c', card='none')\n",
}
REASONS = {
    "no-module": "cannot be used: there is no module 'sadly_broken.gone'",
    "no-attribute": "cannot be used: module 'sadly_broken.rows' has no 'LOST'",
    "no-package": "cannot be used: it needs 'nowhere_at_all', which is not installed",
    "no-python": "cannot be used: garbled.py cannot be read",
    "raises": "cannot be used: importing sadly_broken.rows raised ZeroDivisionError: "
    "division by zero",
    "no-file": "cannot be used: there is no file sadly_broken/no-file.yaml",
    "no_card": "cannot be used: it needs 'nowhere_at_all'",
    "wrong_card": "cannot be used: sadly_broken.cards:DIAGNOSTIC is no Entry with a "
    "DiagnosticCard",
}


LIMIT = 4


def call(
    code: str, site: Path, folder: Path, run: Callable[..., Any] = python
) -> subprocess.CompletedProcess[str]:
    """Run code where a package is installed."""
    env = {
        **environment(),
        "PYTHONPATH": str(site),
        "MLFFBENCH_CACHE": str(folder / "cache"),
        "COLUMNS": "300",
    }
    return run("-c", code, cwd=folder, env=env)


def one_command(*words: str) -> str:
    """Return the code that is ``mlffbench`` with these words."""
    return (
        f"import sys\nsys.argv[1:] = {words}\nfrom mlffbench.cli.app import main\nmain()"
    )


def commands(lines: Sequence[str], site: Path, folder: Path) -> str:
    """Run commands one after another in one process; return what they printed."""
    code = (
        "import sys\nfrom mlffbench.cli.app import main\n"
        f"for line in {list(lines)}:\n"
        "    sys.argv = ['mlffbench', *line.split()]\n"
        "    try:\n        main()\n"
        "    except SystemExit as end:\n        assert not end.code, end.code\n"
    )
    done = call(code, site, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_and_tune(suite: str, more: str, prior: str, site: Path, folder: Path) -> Path:
    """Run a suite, and test-time training with a prior on it; return where it lies."""
    trial = f"run --suite {suite} --limit {LIMIT}"
    tune = (
        f"{trial} --model mini-schnet --mode ttt --no-diagnose "
        f"--set ttt.prior={prior} --set ttt.steps=2 --set ttt.gate=off"
    )
    commands([f"{trial} {more}", tune], site, folder)
    return folder / "runs" / f"{suite}--limit-{LIMIT}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the package is installed."""
    return install(OUTSIDE, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def runs(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where its suite was run with its model, mode and prior, and a report."""
    folder = tmp_path_factory.mktemp("runs")
    suite = "outside-ood"
    return run_and_tune(suite, "", "outside-prior", site, folder)


def records(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "records.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_it_adds_one_of_each_kind() -> None:
    kinds = "models priors datasets suites metrics refiners diagnostics".split()
    assert sorted(POINTS) == sorted(f"mlffbench.{kind}" for kind in kinds)
    assert all(len(points) == 1 for points in POINTS.values())


def test_a_list_shows_its_rows_and_imports_no_torch(site: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom mlffbench.cli.app import app\n"
        "app(['list'], standalone_mode=False)\n"
        "assert not {'torch', 'mlffbench_outside.springs'} & set(sys.modules)\n"
    )
    done = call(code, site, tmp_path, new_python)
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        assert f"\n{name} " in done.stdout, name
    assert "a spring between any two atoms" in done.stdout
    assert "Predictions are averaged over a structure and its mirror" in done.stdout
    assert "the wells of mlffbench-outside" in done.stdout


def test_info_and_validate_treat_its_rows_as_any_other(
    site: Path, tmp_path: Path
) -> None:
    code = (
        "from mlffbench.cli.app import app\n"
        f"for name in {NAMES}:\n"
        "    app(['info', name], standalone_mode=False)\n"
        "for name in ('outside-springs', 'outside-prior'):\n"
        "    app(['validate', name], standalone_mode=False)\n"
    )
    done = call(code, site, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert said.count("the package mlffbench-outside 1.0") == len(NAMES) + 1  # two tables
    assert "level of theory springs of 1 eV/Å²" in said
    assert "in tables a column of the force table" in said
    assert "outside-prior (priors)" in said
    assert "ood (ood_test) 9 structures of 3 molecules" in said
    assert "outside-springs keeps every promise." in said
    assert "outside-prior keeps every promise." in said


def test_its_suite_runs_with_its_dataset_model_refiner_and_metric(runs: Path) -> None:
    for mode in ("baseline", "outside-mirror"):
        folder = runs / "outside-springs" / mode
        for record in records(folder):
            assert record["metrics"]["outside_worst_atom"]["value"] > 0
            assert record["counts"]["evaluated"] == record["counts"]["total"] == LIMIT
        manifest = json.loads((folder / "run.json").read_text("utf-8"))
        assert manifest["suite"]["dataset"] == "outside-wells"
        assert list(manifest["model"]["files"]) == ["springs.py"]
    assert manifest["mode"]["settings"] == {"axis": 0}
    assert list(manifest["mode"]["files"]) == ["mirror.py"]
    table = pd.read_parquet(folder / "predictions.parquet")
    assert set(table[table["role"] != "train"]["mirrored_axis"]) == {0}


def test_its_metric_is_a_column_of_the_tables(site: Path, runs: Path) -> None:
    lines = ["report --format md", "report --out page.html"]
    text = commands(lines, site, runs.parent.parent)
    head = next(line for line in text.splitlines() if "force MAE meV/Å" in line)
    columns = [cell.strip() for cell in head.strip("|").split("|")]
    assert columns[columns.index("cosine") + 1] == "worst atom meV/Å"
    row = next(line for line in text.splitlines() if line.startswith("| ood | outside-s"))
    cell = row.strip("|").split("|")[columns.index("worst atom meV/Å")]
    assert " to " in cell  # with the range of its few molecules
    page = (runs.parent.parent / "page.html").read_text("utf-8")
    assert ">worst atom meV/Å</th>" in page


def test_its_diagnostic_is_in_diagnostics_json(runs: Path) -> None:
    path = runs / "outside-springs" / "baseline" / "diagnostics.json"
    found = {
        one["name"]: one for one in json.loads(path.read_text("utf-8"))["diagnostics"]
    }
    assert found["outside_spread"]["unit"] == "Å"
    assert found["outside_spread"]["samples"]["ood"]["summary"]["n"] == 4


def test_its_prior_guides_test_time_training(runs: Path) -> None:
    folder = runs / "mini-schnet" / "ttt"
    manifest = json.loads((folder / "run.json").read_text("utf-8"))
    assert manifest["mode"]["settings"]["prior"] == "outside-prior"
    table = pd.read_parquet(folder / "predictions.parquet")
    adapted = table[table["role"] != "train"]["adapted"]
    assert len(adapted) == 2 * LIMIT
    assert adapted.all()
    assert all(record["status"] == "ok" for record in records(folder))


def test_a_broken_package_has_rows_that_say_so(tmp_path: Path) -> None:
    project = tmp_path / "broken"
    (project / "sadly_broken").mkdir(parents=True)
    (project / "pyproject.toml").write_text(BROKEN)
    for name, code in MODULES.items():
        (project / "sadly_broken" / f"{name}.py").write_text(code)
    site = install(project, tmp_path / "site")
    shown = commands(["list"], site, tmp_path)
    for name, reason in REASONS.items():
        line = next(line for line in shown.splitlines() if line.startswith(f"{name} "))
        assert reason in " ".join(line.split())
        assert "package sadly-broken 0.1" in line
        assert line.rstrip().endswith("broken")
    done = call(one_command("validate", "raises"), site, tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: model 'raises' of the package sadly-broken 0.1 cannot be used: importing "
        "sadly_broken.rows raised ZeroDivisionError: division by zero (rows.py, line 3); "
        "mend the package or uninstall it"
    )


def test_a_name_that_is_taken_is_one_sentence(site: Path, tmp_path: Path) -> None:
    project = tmp_path / "rival"
    (project / "rival").mkdir(parents=True)
    (project / "rival" / "__init__.py").write_text("")
    (project / "pyproject.toml").write_text(
        '[project]\nname = "rival"\nversion = "2"\n'
        '[project.entry-points."mlffbench.suites"]\nmini-ood = "rival"\n'
    )
    place = install(project, tmp_path / "site")
    done = call(one_command("list"), place, tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: rival 2 registers suite 'mini-ood', a name that is taken; rename its "
        "entry point in group 'mlffbench.suites', or uninstall rival"
    )
