"""The notebooks of the documents: stored as they ran, small, and they still run."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
MOST_BYTES = 150_000


def script(name: str) -> ModuleType:
    """Return a script of docs/, which is no package."""
    found = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "benchmark-my-network",
        "can-i-trust-mace",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_as_it_ran(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    cells = code_cells(json.loads(text))
    counts = [cell["execution_count"] for cell in cells]
    assert counts == list(range(1, len(cells) + 1))
    outputs = [one for cell in cells for one in cell["outputs"]]
    assert any("image/png" in one.get("data", {}) for one in outputs)
    assert {one["output_type"] for one in outputs}.isdisjoint({"error"})
    assert {one.get("name") for one in outputs}.isdisjoint({"stderr"})
    assert not re.search(r"(?<![\w.<])/(?:opt|root|home|tmp|work|Users)/", text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_becomes_a_page(path: Path) -> None:
    page = script("notebook_pages").page_of(path)
    assert page.startswith("# ")
    assert page.count("```python\n") == len(code_cells(json.loads(path.read_text())))
    assert '<img alt="figure" src="data:image/png;base64,' in page
    assert "<table" in page
    for target in re.findall(r"\]\(\.\./([\w-]+\.md)\)", page):
        assert (DOCS / target).exists(), target


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path) -> None:
    pytest.importorskip("nbclient", reason="needs the extra dev")
    pytest.importorskip("ipykernel", reason="needs the extra dev")
    done = script("run_notebooks").executed(path)
    assert all(cell["execution_count"] for cell in code_cells(done))
