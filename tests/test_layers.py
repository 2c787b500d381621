"""The floors: an import may only point down. See CONTRIBUTING.md."""

import ast
from pathlib import Path

import pytest

import mlffbench

PACKAGE = Path(mlffbench.__file__).parent
FLOORS = {
    "core": 1,
    "datasets": 2,
    "models": 2,
    "priors": 2,
    "metrics": 2,
    "refine": 3,
    "diagnostics": 3,
    "training": 3,
    "dynamics": 3,
    "run": 4,
    "report": 5,
    "cli": 6,
}
CORE_MAY_IMPORT = {"torch", "numpy", "pydantic", "vesin"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    home = path.relative_to(PACKAGE).parts[0]
    if home.endswith(".py"):
        return
    for name in imports_of(path):
        if not name.startswith("mlffbench."):
            continue
        target = name.split(".")[1]
        allowed = target == home or FLOORS[target] < FLOORS[home]
        assert allowed, f"{name_of(path)} imports {name}, which is not on a lower floor"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_half_of_the_modules_fit_on_150_lines() -> None:
    lengths = sorted(
        len(path.read_text(encoding="utf-8").splitlines())
        for path in MODULES
        if path.name != "__init__.py"
    )
    assert lengths[len(lengths) // 2] <= 150


def test_core_stands_on_few_packages() -> None:
    import sys

    for path in (PACKAGE / "core").glob("*.py"):
        for name in imports_of(path):
            top = name.split(".")[0]
            known = top in sys.stdlib_module_names or top in CORE_MAY_IMPORT
            assert known or top == "mlffbench", f"{path.name} imports {name}"


def test_init_files_are_docstrings() -> None:
    for path in MODULES:
        if path.name == "__init__.py" and path.parent != PACKAGE:
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert len(body) == 1, f"{name_of(path)} holds more than a docstring"
            assert isinstance(body[0], ast.Expr)
