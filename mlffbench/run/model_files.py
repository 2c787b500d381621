"""Model files: every file that a model as typed depends on, as far as it can be told."""

import ast
import importlib.metadata
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from urllib.parse import parse_qsl

import mlffbench
from mlffbench.core.errors import ModelError
from mlffbench.core.files import sha256_of
from mlffbench.core.forcefield import ForceField, HasWeights
from mlffbench.core.plugins.plugin_source import source_of
from mlffbench.core.plugins.user_file import loaded
from mlffbench.models.catalog import MODELS
from mlffbench.models.model_spec import parse_spec, split_settings
from mlffbench.models.opened_files import is_installed, opened_by

HOOK = "files"
"""Module-level name in a user's file: a list of paths, or a function that returns one;
relative ones are beside the file."""
MOST_FILES = 1_000
"""Of a folder."""
UNVERIFIED = (
    "reused; the inputs of this model cannot be verified (name them in a list 'files' in "
    "its .py, or repeat with --overwrite)"
)
_LOG = logging.getLogger(__name__)


def file_hashes(spec: str) -> dict[str, str]:
    """Return the sha256 of every file a model as typed depends on, by name.

    Covered are files and folders the name points at (also in the query of ``ase:``), the
    Python file, local modules it imports, what its `HOOK` lists, and data files it opened
    when it was made. An installed package counts with its version.

    Raises:
        ModelError: The hook lists a file that is not there.
    """
    paths, packages = _files_of(spec)
    found: dict[str, str] = {}
    for path in sorted(paths):
        name = path.name
        while name in found:
            name = f"{path.parent.name}/{name}" if "/" not in name else f"{name}'"
        found[name] = sha256_of(path)
    return {**found, **packages}


def say_reused(spec: str, label: str, model: ForceField) -> None:
    """Warn that old results are kept of a model that may read what nobody can see."""
    if not _is_verified(spec, model):
        _LOG.warning("%s: %s", label, UNVERIFIED)


def _is_verified(spec: str, model: ForceField) -> bool:
    parts = parse_spec(spec)
    if not parts.is_file and parts.name != "ase":
        return True
    if isinstance(model, HasWeights) and model.weights_sha256:
        return True
    if parts.is_file:
        return _hook_of(loaded(Path(parts.name).expanduser())) is not None
    target, _, query = parts.argument.partition("?")
    module = sys.modules.get(target.partition(":")[0])
    return bool([*_named_in(query)]) or _hook_of(module) is not None


def _files_of(spec: str) -> tuple[set[Path], dict[str, str]]:
    """Return files, and packages -> their versions."""
    parts = parse_spec(spec)
    found, packages = set(opened_by(spec)), {}
    if parts.is_file:
        path = Path(parts.name).expanduser()
        found |= set(_code(path)) | _hooked(loaded(path), path.parent)
    elif parts.name == "ase":
        target, _, query = parts.argument.partition("?")
        found |= {file for path in _named_in(query) for file in _content(path)}
        module = sys.modules.get(target.partition(":")[0])
        home = Path(getattr(module, "__file__", None) or "")
        if home.is_file() and not is_installed(home.resolve()):
            found |= set(_code(home)) | _hooked(module, home.parent)
        packages = _versions(target.partition(":")[0].partition(".")[0])
    else:
        row = MODELS.rows().get(parts.name)
        source = source_of(row.target.partition(":")[0]) if row and row.package else None
        found |= {source} if source else set()
        rest, _ = split_settings(parts.argument)
        found |= set(_content(rest)) if parts.argument else set()
    return {path.resolve() for path in found if path.is_file()}, packages


def _named_in(query: str) -> Iterator[Path]:
    """Yield the paths among the values of a query, those that are there."""
    for _, value in parse_qsl(query.replace("+", "%2B")):
        path = Path(value).expanduser()
        if value and path.exists():
            yield path


def _content(path: Path) -> Iterable[Path]:
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if each.is_file())[:MOST_FILES]
    return [path]


def _code(path: Path) -> set[Path]:
    """Return a Python file and the modules beside it that it imports, and they import."""
    todo, found = [path], set[Path]()
    while todo and len(found) < MOST_FILES:
        one = todo.pop()
        if one in found or not one.is_file():
            continue
        found.add(one)
        for name in _imports(one):
            # beside the file, or beside the first one, whose folder is importable
            for folder in {one.parent, path.parent}:
                todo.append(folder / f"{name}.py")
                package = folder / name
                if (package / "__init__.py").is_file() and not _is_ours(package):
                    todo += sorted(package.rglob("*.py"))
    return found


def _imports(path: Path) -> set[str]:
    """Return the first word of every module that a file imports, wherever it does."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()  # it was imported a moment ago, or nothing of it counts
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").partition(".")[0]} - {""}
            if node.level:
                found |= {alias.name for alias in node.names}
    return found


def _is_ours(package: Path) -> bool:
    return package.resolve() == Path(mlffbench.__file__).parent.resolve()


def _hook_of(module: ModuleType | None) -> object | None:
    """Return the hook of a module: its own list or function, nothing it has imported."""
    hook: object = getattr(module, HOOK, None)
    own = getattr(hook, "__module__", None) == getattr(module, "__name__", "")
    return hook if isinstance(hook, list | tuple) or (callable(hook) and own) else None


def _hooked(module: ModuleType | None, folder: Path) -> set[Path]:
    """Return the files that a module's hook lists.

    Raises:
        ModelError: One is not there, or the hook does not list paths.
    """
    hook = _hook_of(module)
    try:
        listed = hook() if callable(hook) else hook or ()
        paths = [folder / Path(each).expanduser() for each in listed]  # type: ignore[union-attr]
    except Exception as error:
        msg = f"{HOOK} of {getattr(module, '__name__', '')} lists no paths: {error}"
        raise ModelError(msg) from error
    for path in paths:
        if not path.exists():
            msg = (
                f"the model says that it depends on {path}, which is not there; correct "
            )
            raise ModelError(msg + f"its list {HOOK!r}")
    return {file for path in paths for file in _content(path)}


def _versions(package: str) -> dict[str, str]:
    """Return the distributions behind an importable name, with their versions."""
    names = _distributions().get(package, ())
    return {f"package {name}": importlib.metadata.version(name) for name in set(names)}


@cache
def _distributions() -> Mapping[str, Sequence[str]]:
    return importlib.metadata.packages_distributions()
