"""CONTRIBUTING tells the truth: its package installs and runs, its floors are ours."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from outside_packages import install
from processes import mlffbench
from test_layers import FLOORS
from test_outside import LIMIT, OUTSIDE, call, commands, records, run_and_tune

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FENCE = re.compile(r"```(\w*)\n(.*?)```", flags=re.DOTALL)
FILES = {
    found[1]: block
    for _, block in FENCE.findall(TEXT)
    if (found := re.match(r"# ([\w/.-]+\.\w+)\n", block))
}
POINTS = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]
NAMES = [name for points in POINTS.values() for name in points]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the package of the page is installed."""
    project = tmp_path_factory.mktemp("project")
    for name, block in FILES.items():
        path = project / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(block, encoding="utf-8")
    (project / "my_package" / "__init__.py").write_text("")
    data = OUTSIDE / "mlffbench_outside" / "data"
    shutil.copytree(data, project / "my_package" / "data")
    return install(project, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def folder(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where its suite was run, and a mini model with its prior."""
    folder = tmp_path_factory.mktemp("runs")
    more = "--set inversion.share=0.25"
    run_and_tune("my-ood", more, "bumps-prior", site, folder)
    return folder


def test_every_block_of_code_is_a_file_of_the_package() -> None:
    blocks = [block for kind, block in FENCE.findall(TEXT) if kind]
    assert len(FILES) == len(blocks)
    assert len(POINTS) == 7


def test_the_floors_are_those_of_the_tests() -> None:
    table = re.findall(r"^\| (\d) \| ([^|]+) \|", TEXT, flags=re.MULTILINE)
    told = {name: int(floor) for floor, names in table for name in names.split()}
    assert told == {f"`{name}`": floor for name, floor in FLOORS.items()}


def test_a_list_names_all_and_the_models_keep_their_promises(
    site: Path, tmp_path: Path
) -> None:
    code = (
        "from mlffbench.cli.app import app\n"
        "app(['list'], standalone_mode=False)\n"
        "for name in ('bumps', 'bumps-prior'):\n"
        "    app(['validate', name], standalone_mode=False)\n"
    )
    done = call(code, site, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in NAMES:
        assert f"\n{name} " in done.stdout, name
    assert "broken" not in done.stdout
    assert done.stdout.count("keeps every promise") == 2


def test_the_examples_work_together(folder: Path) -> None:
    runs = folder / "runs" / f"my-ood--limit-{LIMIT}"
    plain = records(runs / "bumps" / "baseline")
    mixed = records(runs / "bumps" / "inversion")
    assert [one["split"] for one in plain] == [one["split"] for one in mixed]
    for record in (*plain, *mixed):
        assert 0 <= record["metrics"]["forces_within"]["value"] <= 1
    assert mixed[0]["provenance"]["setting_share"] == "0.25"
    told = (runs / "bumps" / "baseline" / "diagnostics.json").read_text("utf-8")
    assert '"closest_contact"' in told
    tuned = records(runs / "mini-schnet" / "ttt")
    assert tuned[0]["provenance"]["setting_prior"] == "bumps-prior"
    assert tuned[0]["status"] == "ok"


def test_a_mode_needs_no_package(site: Path, folder: Path) -> None:
    path = site / "my_package" / "inversion.py"
    (folder / "mine.py").write_text(
        path.read_text().replace('name = "inversion"', 'name = "mine"')
    )
    words = "run --suite mini-ood --limit 1 --model zero --mode mine.py:Inversion"
    line = f"{words} --set mine.py:Inversion.share=1 --no-diagnose"
    commands([line], site, folder)
    found = records(folder / "runs" / "mini-ood--limit-1" / "zero" / "mine")
    assert found[0]["provenance"]["setting_share"] == "1"


def test_the_commands_of_the_page_exist() -> None:
    lines = [line for line in TEXT.splitlines() if line.startswith("mlffbench ")]
    assert len(lines) >= 4
    for line in lines:
        words = line.partition("#")[0].split()
        done = mlffbench(words[1], "--help")
        assert done.returncode == 0
        for word in words[2:]:
            if word.startswith("--"):
                assert word in done.stdout, line
