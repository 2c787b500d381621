"""What an entry point of another package points at, read from source: not imported."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import NamedTuple

_ROW = "Entry"


class Look(NamedTuple):
    """What can be told of a module's attribute without importing the module.

    Attributes:
        is_row: Whether it is a row, ``NAME = Entry(...)``, which is meant to be imported
            for a list.
        fault: Why importing it would fail; empty when nothing speaks against it.
        summary: First line of its docstring; empty when it has none.
    """

    is_row: bool
    fault: str = ""
    summary: str = ""


def look_at(module: str, attribute: str) -> Look:
    """Return what a module's attribute is, as far as its source tells.

    Args:
        module: Dotted name; nothing of it is imported, its parents neither.
        attribute: Dotted name inside the module.
    """
    if not attribute:
        return _no(f"it names the module {module!r} and nothing in it")
    if not _is_installed(module):
        return _no(f"there is no module {module!r}")
    path = source_of(module)
    if path is None:
        return Look(is_row=False)  # compiled: only an import can tell
    return _look_into(path, module, attribute)


def _look_into(path: Path, module: str, attribute: str) -> Look:
    try:
        tree = _parse(path, path.stat().st_mtime_ns)
    except (SyntaxError, ValueError, OSError) as error:
        return _no(f"{path.name} cannot be read: {error}")
    missing = [name for name in _needed(tree) if not _is_there(name)]
    first = attribute.partition(".")[0]
    if missing:
        return _no(f"it needs {missing[0]!r}, which is not installed")
    if not _may_define(tree, first):
        return _no(f"module {module!r} has no {first!r}")
    is_row = any(_is_row(node, attribute) for node in tree.body)
    return Look(is_row=is_row, summary=_summary(tree, attribute))


def _no(fault: str) -> Look:
    return Look(is_row=False, fault=fault)


def _is_installed(module: str) -> bool:
    """Return whether a module is there, in whatever form."""
    parent, _, name = module.rpartition(".")
    if not parent:
        return _found(module) is not None
    forms = (path for folder in _folders(parent) for path in folder.glob(f"{name}.*"))
    return bool(_folders(module)) or any(forms)


def files_beside(module: str, name: str) -> Path | None:
    """Return a data file in the folder of a package, None where there is none."""
    paths = (folder / name for folder in _folders(module))
    return next((path for path in paths if path.is_file()), None)


def _folders(module: str) -> list[Path]:
    """Return where a package's files may lie; empty when it is not installed."""
    top, *rest = module.split(".")
    found = _found(top)
    places = found.submodule_search_locations if found else None
    folders = [Path(place).joinpath(*rest) for place in places or ()]
    return [folder for folder in folders if folder.is_dir()]


def source_of(module: str) -> Path | None:
    """Return the source of a module, None when there is none to read."""
    for folder in _folders(module):
        if (folder / "__init__.py").is_file():
            return folder / "__init__.py"
    parent, _, name = module.rpartition(".")
    if parent:
        return files_beside(parent, f"{name}.py")
    found = _found(module)
    origin = Path(found.origin) if found and found.origin else None
    return origin if origin and origin.suffix == ".py" else None


def _found(top: str) -> ModuleSpec | None:
    """Return where a module that has no parent is, None when it is not installed."""
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):  # ValueError: imported by hand, from nowhere
        return None


@cache
def _parse(path: Path, _changed: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=path.name)


def _needed(tree: ast.Module) -> Iterator[str]:
    """Yield the packages that a module imports first thing."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _is_there(package: str) -> bool:
    return package in sys.modules or _found(package) is not None


def _may_define(tree: ast.Module, name: str) -> bool:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=found) | ast.ClassDef(name=found):
                if found in {name, "__getattr__"}:
                    return True
            case ast.Name(id=found, ctx=ast.Store()) if found == name:
                return True
            case ast.alias(name=found, asname=other):
                if name == (other or found.partition(".")[0]) or found == "*":
                    return True
    return False


def _summary(tree: ast.Module, name: str) -> str:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0].rstrip(".")
    return ""


def _is_row(node: ast.stmt, name: str) -> bool:
    """Return whether a statement is ``name = Entry(...)``."""
    match node:
        case ast.Assign(targets=[ast.Name(id=found)], value=ast.Call(func=made)):
            pass
        case ast.AnnAssign(target=ast.Name(id=found), value=ast.Call(func=made)):
            pass
        case _:
            return False
    called = made.attr if isinstance(made, ast.Attribute) else getattr(made, "id", "")
    return found == name and called == _ROW
