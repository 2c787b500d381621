"""A Python file of the user's: what is in it, and which line of it went wrong."""

import importlib.util
import logging
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from zlib import crc32

from mlffbench.core.errors import BenchError

_LOG = logging.getLogger(__name__)
_OURS = Path(__file__).parents[2]
_STANDARD = Path(sysconfig.get_path("stdlib"))
_INSTALLED = {"site-packages", "dist-packages"}
_LONGEST = 200


class UserFile(NamedTuple):
    """A thing in a file as typed, ``path/to/file.py:attribute``, taken apart.

    Attributes:
        path: The file.
        attribute: The name of the thing; empty when none was typed.
    """

    path: Path
    attribute: str

    def __str__(self) -> str:
        return f"{self.path}:{self.attribute}"


def parse_user_file(spec: str) -> UserFile | None:
    """Return the parts of ``path/to/file.py:attribute``; None for anything else.

    Example:
        >>> parse_user_file("a/mine.py:Mine").attribute
        'Mine'
    """
    path, _, attribute = spec.rpartition(":")
    if path.endswith(".py"):
        return UserFile(Path(path).expanduser(), attribute)
    return UserFile(Path(spec).expanduser(), "") if spec.endswith(".py") else None


def load_from_file(
    file: UserFile, form: str, kind: type[BenchError] = BenchError
) -> Callable[..., Any]:
    """Return a function or class of a user's file; files beside it can be imported.

    Args:
        file: Where it is.
        form: How it is typed, for messages.
        kind: What to raise.

    Raises:
        BenchError: As ``kind``: there is no such file, it cannot be imported, or it has
            no such function or class.
    """
    path, attribute = file
    if not attribute:
        msg = f"{path} is a file; say which function or class in it: {form}"
        raise kind(msg)
    if not path.is_file():
        msg = f"there is no file {path}; expected {form}"
        raise kind(msg)
    status = path.stat()
    try:
        module = _execute(path.resolve(), (status.st_mtime_ns, status.st_size))
    except (Exception, SystemExit) as error:
        msg = f"{path} cannot be imported: {in_words(error)}"
        raise kind(msg) from error
    found = getattr(module, attribute, None)
    if not callable(found):
        known = ", ".join(
            name
            for name, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == module.__name__
        )
        msg = f"{path} has no function or class {attribute!r}; it has: {known or 'none'}"
        raise kind(msg)
    made: Callable[..., Any] = found
    return made


@contextmanager
def told_in_one_sentence(who: str, kind: type[BenchError] = BenchError) -> Iterator[None]:
    """Turn whatever code of somebody else raises into one sentence.

    Args:
        who: Whose code runs, e.g. ``"mine.py:Mine"``.
        kind: What to raise; a BenchError passes as it is.
    """
    try:
        yield
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        msg = f"{who} raised {in_words(error)}"
        raise kind(msg) from error


def in_words(error: BaseException) -> str:
    """Return an exception on one line, with the line of the user's file behind it."""
    _LOG.debug("told in one sentence:", exc_info=error)
    text = (str(error).strip().splitlines() or [""])[0][:_LONGEST]
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError):  # names the line itself
        return said
    lines = [
        (Path(frame.filename), frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if _is_of_a_user(frame.filename)
    ]
    return f"{said} ({lines[-1][0].name}, line {lines[-1][1]})" if lines else said


def _is_of_a_user(filename: str) -> bool:
    """Return whether code is neither ours, nor Python's, nor installed."""
    path = Path(filename)
    if filename.startswith("<") or _INSTALLED & set(path.parts):
        return False
    return not (path.is_relative_to(_OURS) or path.is_relative_to(_STANDARD))


def loaded(path: Path) -> ModuleType | None:
    """Return a user's file as the module it was loaded as, None where it was not."""
    return sys.modules.get(_module_name(path.resolve()))


def _module_name(path: Path) -> str:
    return f"mlffbench_user_{path.stem}_{crc32(str(path).encode()):08x}"


@cache
def _execute(path: Path, stamp: tuple[int, int]) -> ModuleType:  # noqa: ARG001 - the key
    """Return a file as a module, one and the same until the file changes.

    A model and a refinement in one file must be of the same classes.
    """
    name = _module_name(path)
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        msg = f"{path} is no Python file"
        raise ImportError(msg)
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
