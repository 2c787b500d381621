"""The floors: an import may only point down. See CONTRIBUTING.md."""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlffbench

PACKAGE = Path(mlffbench.__file__).parent
FLOORS = {
    "core": 1,
    "contract": 2,
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
    "deploy": 5,
    "engines": 5,
    "screening": 6,
    "publish": 6,
    "api": 7,
    "cli": 8,
}
"""Packages of one floor do not know each other."""
ROOMS = {
    "core": {"plugins": 1, "guards": 1},
    "datasets": {
        "molecules": 1,
        "statements": 1,
        "survey": 1,
        "files": 2,
        "index": 3,
        "download": 3,
        "unlabelled": 4,
        "sets": 4,
    },
    "models": {"environments": 1, "physics": 1, "pretrained": 1, "twoheaded": 2},
    "refine": {"radius": 1},
    "metrics": {"intervals": 1},
    "diagnostics": {"distances": 1},
    "report": {"tables": 1, "paper": 1},
    "run": {
        "shards": 1,
        "evaluate": 2,
        "diagnose": 3,
        "simulate": 3,
        "curve": 3,
        "elsewhere": 4,
    },
    "cli": {"shared": 1, "machines": 2, "molecules": 2},
}
"""Floors of the rooms inside a package; its own modules may be used by any of them."""
CORE_MAY_IMPORT = {"torch", "numpy", "pydantic", "vesin"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    home, *rest = path.relative_to(PACKAGE).parts
    if home.endswith(".py"):
        return
    rooms = ROOMS.get(home, {})
    for name in imports_of(path):
        if not name.startswith("mlffbench."):
            continue
        _, target, *inside = name.split(".")
        allowed = target == home or FLOORS[target] < FLOORS[home]
        assert allowed, f"{name_of(path)} imports {name}, which is not on a lower floor"
        if target == home and rest[0] in rooms and inside and inside[0] in rooms:
            lower = rooms[inside[0]] < rooms[rest[0]]
            assert lower or inside[0] == rest[0], f"{name_of(path)} imports {name}"


def test_every_room_has_a_floor() -> None:
    for home in FLOORS:
        rooms = {p.parent.name for p in (PACKAGE / home).glob("*/__init__.py")}
        assert rooms == set(ROOMS.get(home, {})), home


def modules_by_name() -> dict[str, Path]:
    return {
        ".".join(("mlffbench", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for path in MODULES
    }


def test_no_module_needs_itself() -> None:
    modules = modules_by_name()
    needs: dict[str, set[str]] = {}
    for name, path in modules.items():
        found = set()
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and node.module:
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= (whole & modules.keys()) or ({node.module} & modules.keys())
        needs[name] = found
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in sorted(needs[name]):
                visit(other, (*way, name))
            done.add(name)

    for name in needs:
        visit(name, ())


def test_a_name_stands_for_one_module() -> None:
    names = Counter(path.stem for path in MODULES)
    twice = {name for name, n in names.items() if n > 1}
    # the file of a command bears its name, and a batch is predicted below it
    assert twice <= {"__init__", "catalog", "predict"}


def commands() -> Iterator[str]:
    import typer

    from mlffbench.cli.app import app

    yield from typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_the_file_of_a_command_bears_its_name() -> None:
    rooms = [PACKAGE / "cli" / room for room in ("", "machines", "molecules")]
    files = {path.stem for room in rooms for path in room.glob("*.py")}
    assert files - {"__init__", "app"} == {name.replace("-", "_") for name in commands()}


def test_no_folder_holds_more_than_eighteen_modules() -> None:
    counts = Counter(path.parent for path in MODULES)
    assert not {str(folder) for folder, n in counts.items() if n > 18}


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
    for path in (PACKAGE / "core").rglob("*.py"):
        for name in imports_of(path):
            top = name.split(".")[0]
            known = top in sys.stdlib_module_names or top in CORE_MAY_IMPORT
            assert known or top == "mlffbench", f"{path.name} imports {name}"


def test_init_files_are_docstrings() -> None:
    for path in MODULES:
        if path.name == "__init__.py" and path.parent != PACKAGE:
            body = tree_of(path).body
            assert len(body) == 1, f"{name_of(path)} holds more than a docstring"
            assert isinstance(body[0], ast.Expr)
