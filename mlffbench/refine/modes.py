"""Modes: from what a user types to a refiner; a name, or a class in a file of theirs.

Importing this imports no torch, so that a mistyped name is told at once.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from mlffbench.core.errors import BenchError
from mlffbench.core.plugins.user_file import (
    load_from_file,
    parse_user_file,
    told_in_one_sentence,
)
from mlffbench.refine.catalog import REFINERS

if TYPE_CHECKING:
    from mlffbench.refine.refiner import Refiner

MODE_FORM = "path/to/file.py:Mode"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_UNITS = ("structure", "group", "split")
_WORDS = ("name", "unit", "sees")
_FUNCTIONS = ("check", "settings", "refine")


def mode_name(spec: str) -> str:
    """Return what tables and folders call a mode.

    Args:
        spec: A name of the catalogue, or ``path/to/file.py:Mode``.

    Raises:
        UnknownNameError: No row of the catalogue carries the name.
        BenchError: There is no such class in the file, or its ``name`` is not one, or
            one of the catalogue.
    """
    if parse_user_file(spec) is None:
        REFINERS.entry(spec)
        return spec
    name: object = getattr(load_mode(spec), "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        msg = f"{spec} has the name {name!r}; expected a class attribute such as "
        raise BenchError(msg + "name = 'my-mode', of letters, digits and . _ + -")
    if name in REFINERS.names():
        msg = f"{spec} has the name {name!r}, which is a mode of the catalogue; give it "
        raise BenchError(msg + "another, since it names the folder of its runs")
    return name


def load_mode(spec: str) -> "Callable[..., Refiner]":
    """Return what makes the refiner of a mode; its arguments are the mode's settings.

    Args:
        spec: A name of the catalogue, or ``path/to/file.py:Mode``.

    Raises:
        UnknownNameError: No row of the catalogue carries the name.
        MissingExtraError: The mode needs a package that is not installed.
        BenchError: It cannot be imported, or there is no such class in the file.
    """
    file = parse_user_file(spec)
    if file is not None:
        return load_from_file(file, MODE_FORM)
    found: object = REFINERS.load(spec)
    if not callable(found):
        msg = f"mode {spec!r} is registered as a {type(found).__name__}, not a class"
        raise BenchError(msg)
    return found


def guard(spec: str) -> AbstractContextManager[None]:
    """Return what tells an exception of a mode's code in one sentence, if it is not ours.

    Args:
        spec: A name of the catalogue, or ``path/to/file.py:Mode``.
    """
    if parse_user_file(spec) is None and not REFINERS.entry(spec).package:
        return nullcontext()
    return told_in_one_sentence(f"mode {spec!r}")


def load_refiner(
    spec: str, settings: Mapping[str, str | int | float | bool]
) -> "Refiner":
    """Return the refiner that a user names, with settings.

    Args:
        spec: A name of the catalogue, or ``path/to/file.py:Mode``.
        settings: The arguments it is made with; what is left out keeps its default.

    Raises:
        BenchError: There is no such mode, it does not take the settings, its own code
            raises, or what it makes is no refiner.
    """
    make = load_mode(spec)
    try:
        inspect.signature(make).bind(**settings)
    except TypeError as error:
        msg = f"mode {spec!r} does not take the settings {dict(settings)}: {error}"
        raise BenchError(msg) from error
    with guard(spec):
        made: object = make(**settings)
    return _checked(made, spec)


def _checked(made: object, spec: str) -> "Refiner":
    """Return a refiner, or say what is missing to be one."""
    name = mode_name(spec)
    refiner: Refiner = made  # type: ignore[assignment]  # what follows checks it
    lacks = [f".{name}" for name in _WORDS if not isinstance(getattr(made, name, 0), str)]
    lacks += [f".{n}()" for n in _FUNCTIONS if not callable(getattr(made, n, None))]
    if lacks:
        msg = f"mode {spec!r} makes a {type(made).__name__}, which is no refiner: it "
        msg += f"lacks {', '.join(lacks)}; see Refiner in mlffbench/refine/refiner.py"
        raise BenchError(msg)
    if refiner.unit not in _UNITS:
        msg = f"mode {spec!r} has the unit {refiner.unit!r}; expected one of "
        raise BenchError(msg + ", ".join(_UNITS))
    if refiner.name != name:
        msg = f"mode {spec!r} makes a refiner of the name {refiner.name!r}; expected "
        raise BenchError(msg + f"{name!r}, since it names the folder of a run")
    return refiner
