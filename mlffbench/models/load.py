"""From what a user types to a force field."""

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

from mlffbench.core.card import SYMBOLS, ModelCard
from mlffbench.core.errors import BenchError, ModelError
from mlffbench.core.forcefield import ForceField, HasCard
from mlffbench.core.guards.collector import uncollected
from mlffbench.core.model_options import (
    DTYPES,
    ModelOptions,
    keep_float32_exact,
    keep_order_of_sums,
)
from mlffbench.core.plugins.user_file import (
    UserFile,
    in_words,
    load_from_file,
    parse_user_file,
    told_in_one_sentence,
)
from mlffbench.models.catalog import ARGUMENTS, MODELS
from mlffbench.models.environments.environment import (
    environment_for,
    not_made,
    only_in,
)
from mlffbench.models.model_spec import parse_spec, runs_code
from mlffbench.models.opened_files import watch

FACTORY_FORM = "path/to/model.py:factory"
_REQUIRED = ("name", "elements", "predict")


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
    # code of others may do more than load, as fit a model for hours
    collector = nullcontext() if runs_code(spec) else uncollected()
    with watch(spec), collector:
        model = _load(spec, options)
    if options.device.startswith("cuda"):
        keep_float32_exact()  # a package may have said otherwise when it was imported
        keep_order_of_sums()
    return model


def _load(spec: str, options: ModelOptions) -> ForceField:
    parts = parse_spec(spec)
    file = parse_user_file(spec)
    if file is not None:
        return _load_from_file(file, options)
    entry = MODELS.entry(parts.name)
    if (own := environment_for(entry)) is not None:
        raise (only_in if own.is_current else not_made)(parts.name, own)
    load = MODELS.load(parts.name)
    if not callable(load):
        msg = f"model {parts.name!r} is registered as a {type(load).__name__}, not a "
        raise ModelError(msg + "function")
    form = ARGUMENTS.get(parts.name)
    if form is not None and not parts.argument:
        msg = f"model {parts.name!r} needs to be told which: {form}"
        raise ModelError(msg)
    if parts.argument and form is None and not entry.package:
        msg = f"model {parts.name!r} takes nothing after a colon, got {parts.argument!r}"
        raise ModelError(msg)
    try:
        made: object = load(replace(options, argument=parts.argument))
    except BenchError:
        raise
    except Exception as error:
        msg = f"model {spec!r} cannot be loaded: {in_words(error)}"
        raise ModelError(msg) from error
    return _checked(made, spec)


def card_of(model: ForceField) -> ModelCard:
    """Return what a model says of itself.

    A model without a card is asked everything: any charge, with or without a cell.
    """
    if isinstance(model, HasCard):
        return model.card
    return ModelCard(elements=model.elements, charges=None, periodic=True)


def _load_from_file(file: UserFile, options: ModelOptions) -> ForceField:
    options.torch_device()
    factory = load_from_file(file, FACTORY_FORM, ModelError)
    with told_in_one_sentence(str(file), ModelError):
        made: object = factory(**_keywords(factory, options))
    return _checked(made, str(file))


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
    if strange := [number for number in elements if not 0 <= number < len(SYMBOLS)]:
        msg = (
            f"{where} returned a {type(made).__name__} whose .elements holds {strange}; "
        )
        raise ModelError(msg + f"expected atomic numbers from 1 to {len(SYMBOLS) - 1}")
    card: object = made.card if isinstance(made, HasCard) else None
    if isinstance(made, HasCard) and not isinstance(card, ModelCard):
        msg = (
            f"{where} returned a {type(made).__name__} whose .card is a "
            f"{type(card).__name__}; expected a mlffbench.core.card.ModelCard, or none"
        )
        raise ModelError(msg)
    return made
