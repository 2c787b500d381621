"""From what a user types to a force field."""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import BenchError, ModelError
from mlffbench.core.forcefield import ForceField, HasCard
from mlffbench.core.model_options import DTYPES, ModelOptions
from mlffbench.core.registry import Entry, Registry
from mlffbench.models.catalog import ARGUMENTS, MODELS
from mlffbench.models.opened_files import watch

FACTORY_FORM = "path/to/model.py:factory"
_REQUIRED = ("name", "elements", "predict")


class ModelSpec(NamedTuple):
    """A model as typed, taken apart.

    Attributes:
        name: A catalogue name, or the path of a Python file.
        argument: What follows the colon; empty when nothing does.
        is_file: Whether ``name`` is a path.
    """

    name: str
    argument: str
    is_file: bool


def parse_spec(spec: str) -> ModelSpec:
    """Return the parts of a model as typed.

    Args:
        spec: ``name``, ``name:argument`` or ``path/to/model.py:factory``.

    Example:
        >>> parse_spec("ase:tblite.ase:TBLite?method=GFN2-xTB").argument
        'tblite.ase:TBLite?method=GFN2-xTB'
    """
    path, _, attribute = spec.rpartition(":")
    if path.endswith(".py") or spec.endswith(".py"):
        if path.endswith(".py"):
            return ModelSpec(path, attribute, is_file=True)
        return ModelSpec(spec, "", is_file=True)
    name, _, argument = spec.partition(":")
    return ModelSpec(name, argument, is_file=False)


def load_model(spec: str, options: ModelOptions) -> ForceField:
    """Return the force field that a user names.

    Args:
        spec: ``name``, ``name:argument`` or ``path/to/model.py:factory``.
        options: Device, dtype and the rest; its argument is replaced by that of ``spec``.

    Raises:
        UnknownNameError: No row of the catalogue carries the name.
        MissingExtraError: The model needs a package that is not installed.
        ModelError: The model cannot be loaded; the message says why and what to do.
    """
    with watch(spec):
        return _load(spec, options)


def _load(spec: str, options: ModelOptions) -> ForceField:
    parts = parse_spec(spec)
    if parts.is_file:
        return _load_from_file(Path(parts.name).expanduser(), parts.argument, options)
    load = _find_loader(MODELS, parts.name)
    form = ARGUMENTS.get(parts.name)
    if form is not None and not parts.argument:
        msg = f"model {parts.name!r} needs to be told which: {form}"
        raise ModelError(msg)
    ours = MODELS.entry(parts.name).target.startswith("mlffbench.")
    if parts.argument and form is None and ours:
        msg = f"model {parts.name!r} takes nothing after a colon, got {parts.argument!r}"
        raise ModelError(msg)
    told = ModelOptions(
        argument=parts.argument,
        device=options.device,
        dtype=options.dtype,
        trust=options.trust,
        workers=options.workers,
    )
    try:
        made: object = load(told)
    except BenchError:
        raise
    except Exception as error:
        msg = f"model {spec!r} cannot be loaded: {type(error).__name__}: {error}"
        raise ModelError(msg) from error
    return _checked(made, spec)


def card_of(model: ForceField) -> ModelCard:
    """Return what a model says of itself.

    A model without a card is asked everything: any charge, with or without a cell.
    """
    if isinstance(model, HasCard):
        return model.card
    return ModelCard(elements=model.elements, charges=None, periodic=True)


def _find_loader(registry: Registry, name: str) -> Callable[[ModelOptions], object]:
    found: object = registry.load(name)
    if isinstance(found, Entry):  # another package may register a whole row
        found = Registry(registry.kind, {name: found}).load(name)
    if not callable(found):
        msg = f"model {name!r} is registered as a {type(found).__name__}, not a function"
        raise ModelError(msg)
    return found


def _load_from_file(path: Path, attribute: str, options: ModelOptions) -> ForceField:
    options.torch_device()
    if not attribute:
        msg = f"{path} is a file; say which function in it: {FACTORY_FORM}"
        raise ModelError(msg)
    if not path.is_file():
        msg = f"there is no file {path}; expected {FACTORY_FORM}"
        raise ModelError(msg)
    where = f"{path}:{attribute}"
    try:
        module = _execute(path)
    except (Exception, SystemExit) as error:
        msg = f"{path} cannot be imported: {type(error).__name__}: {error}"
        raise ModelError(msg) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        known = ", ".join(
            name
            for name, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == module.__name__
        )
        msg = f"{path} has no function {attribute!r}; it has: {known or 'none'}"
        raise ModelError(msg)
    try:
        made: object = factory(**_keywords(factory, options))
    except (Exception, SystemExit) as error:
        msg = f"{where} raised {type(error).__name__}: {error}"
        raise ModelError(msg) from error
    return _checked(made, where)


def _execute(path: Path) -> ModuleType:
    """Return a user's file as a module; files beside it can be imported from it."""
    name = f"mlffbench_user_{path.stem}"
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        msg = f"{path} is no Python file"
        raise ImportError(msg)
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up
    found.loader.exec_module(module)
    return module


def _keywords(factory: Callable[..., object], options: ModelOptions) -> dict[str, object]:
    """Return the keywords a factory understands: ``device``, and ``dtype`` if chosen."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # callables of C extensions have no signature
        return {}
    names = {parameter.name for parameter in parameters}
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        names |= {"device", "dtype"}
    keywords: dict[str, object] = {}
    if "device" in names:
        keywords["device"] = options.torch_device()
    if "dtype" in names and options.dtype is not None:
        keywords["dtype"] = DTYPES[options.dtype]
    return keywords


def _checked(made: object, where: str) -> ForceField:
    """Return a force field, or say what is missing to be one."""
    missing = [name for name in _REQUIRED if not hasattr(made, name)]
    if missing or not isinstance(made, ForceField) or not callable(made.predict):
        lacks = ", ".join(f".{name}" for name in missing) or "a callable .predict"
        msg = (
            f"{where} returned a {type(made).__name__}, which is no force field: it "
            f"lacks {lacks}; expected .name, .elements and .predict(structures) -> Labels"
        )
        raise ModelError(msg)
    elements: object = made.elements
    if not isinstance(elements, frozenset) or not all(
        isinstance(number, int) for number in elements
    ):
        msg = (
            f"{where} returned a {type(made).__name__} whose .elements is {elements!r}; "
            "expected a frozenset of atomic numbers, e.g. frozenset({1, 6, 7, 8})"
        )
        raise ModelError(msg)
    card: object = made.card if isinstance(made, HasCard) else None
    if isinstance(made, HasCard) and not isinstance(card, ModelCard):
        msg = (
            f"{where} returned a {type(made).__name__} whose .card is a "
            f"{type(card).__name__}; expected a mlffbench.core.card.ModelCard, or none"
        )
        raise ModelError(msg)
    return made
