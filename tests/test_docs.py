"""What the documents tell a reader to type exists, and their examples work."""

import functools
import importlib.util
import re
import shlex
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from processes import mlffbench as command
from processes import python
from typer.testing import CliRunner

import mlffbench
from mlffbench.api.catalogues import all_rows
from mlffbench.cli.app import app
from mlffbench.core.forcefield import HasWeights
from mlffbench.run.suite import parse_suite

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def load_build_pages() -> ModuleType:
    """Return the hook that makes pages; docs/ is no package."""
    path = DOCS / "build_pages.py"
    found = importlib.util.spec_from_file_location("build_pages", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


MADE = load_build_pages()


@functools.cache
def generated() -> dict[str, str]:
    """Return the pages that are made at build; that asks every command for help."""
    return dict(MADE.generated())


PAGES = sorted(DOCS.glob("*.md"))
FENCE = re.compile(r"```(\w*)\n(.*?)```", flags=re.DOTALL)
COMMANDS = sorted(
    {
        line.partition("#")[0].strip()
        for page in PAGES
        for _, block in FENCE.findall(page.read_text(encoding="utf-8"))
        for line in block.splitlines()
        if line.startswith("mlffbench ")
    }
)


def block(page: str, start: str) -> str:
    blocks = FENCE.findall((DOCS / page).read_text(encoding="utf-8"))
    return next(text for _, text in blocks if text.startswith(start))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_exists(command: str) -> None:
    words = shlex.split(command)
    done = CliRunner().invoke(app, [words[1], "--help"], env={"COLUMNS": "300"})
    assert done.exit_code == 0
    shown = re.sub(r"\x1b\[[\d;]*m", "", done.output)
    for word in words[2:]:
        if word.startswith("--"):
            assert word in shown, f"{word} of {command!r}"


def test_the_model_of_own_model_keeps_every_promise(tmp_path: Path) -> None:
    (tmp_path / "springs.py").write_text(block("own-model.md", "# springs.py"))
    done = command("validate", "springs.py:Springs", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "keeps every promise" in done.stdout


def test_the_suite_of_own_data_is_legal() -> None:
    suite = parse_suite(block("own-data.md", "# acac.yaml"), "own-data.md")
    assert [split.role for split in suite.splits] == ["train", "id_test", "ood_test"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith("http") and not (page.parent / target).exists():
            notebook = (page.parent / target).with_suffix(".ipynb")  # its page is made
            assert notebook.exists() or target in generated(), target


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav = str(yaml.safe_load(text)["nav"])
    pages = {page.name for page in PAGES} | {
        name for name in generated() if not name.startswith("commands/")
    }
    assert {name for name in pages if f"'{name}'" not in nav} == set()


def test_the_catalogue_page_holds_every_row() -> None:
    page = MADE.catalogue_page()
    for kind, rows in all_rows().items():
        section = page.partition(f"## {kind.value.capitalize()}\n")[2].partition("\n## ")[
            0
        ]
        for name in rows:
            assert f"| `{name}` |" in section, (kind, name)


def test_every_command_has_a_page_from_its_help() -> None:
    pages = generated()
    for name in MADE.commands():
        assert f"Usage: mlffbench {name}" in pages[f"commands/{name}.md"]
        assert name in pages["commands/index.md"]


def test_every_public_name_has_a_docstring() -> None:
    told = dict(MADE.public_names())
    assert {name for name in told if "." not in name} == {
        *(set(mlffbench.__all__) - {"__version__"})
    }
    assert [name for name, text in told.items() if not text] == []


def test_the_page_of_the_api_holds_every_public_name() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    for name in set(mlffbench.__all__) - {"__version__"}:
        assert f"\n::: mlffbench.{name}\n" in page + "\n", name


@pytest.mark.parametrize("start", ["# a benchmark", "# a model"])
def test_the_examples_of_the_api_run(start: str, tmp_path: Path) -> None:
    done = python("-c", block("api.md", start), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


def test_the_distribution_of_a_gain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mlffbench.run_suite(
        "mini-ood",
        models="mini-schnet",
        modes=["baseline", "ttt"],
        settings={"ttt": {"steps": 2}},
        limit=1,
        diagnose=False,
    )
    text = block("api.md", "# the distribution of a gain")
    text = text.replace("runs/mini-ood", "runs/mini-ood--limit-1")
    exec(text.replace("mini-mace", "mini-schnet"), {})
    assert "50%" in capsys.readouterr().out


def test_the_refinement_of_own_refinement_refines() -> None:
    scope: dict[str, Any] = {}
    exec(block("own-refinement.md", "# smaller_cutoff.py"), scope)
    refiner = scope["SmallerCutoff"](fraction=0.8)
    structures = mlffbench.load_structures("mini-ood:ood_elements", limit=2)
    model: Any = mlffbench.load_model("mini-schnet", device="cpu")
    before = model.cutoff
    refiner.check(model)
    refined = refiner.refine(model, structures)
    assert refined.model.cutoff == refiner.settings(model)["cutoff"] == 0.8 * before
    assert model.cutoff == before
    assert len(refined.facts) == structures.n_systems
    with pytest.raises(mlffbench.BenchError, match="gfn2-xtb has none"):
        refiner.check(mlffbench.load_model("gfn2-xtb"))


def test_a_model_of_a_file_states_its_weights(tmp_path: Path) -> None:
    code = block("own-model.md", "# springs.py") + block("own-model.md", "from pathlib")
    (tmp_path / "springs.pt").write_bytes(b"weights")
    space: dict[str, Any] = {}
    exec(code, space)
    model = space["FromFile"](tmp_path / "springs.pt")
    assert isinstance(model, HasWeights)
    assert model.weights_sha256 == sha256(b"weights").hexdigest()
