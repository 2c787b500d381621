"""ModelSpec: a model as typed, taken apart; nothing is imported."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from mlffbench.core.errors import ModelError
from mlffbench.core.plugins.user_file import parse_user_file


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
    file = parse_user_file(spec)
    if file is not None:
        return ModelSpec(str(file.path), file.attribute, is_file=True)
    name, _, argument = spec.partition(":")
    return ModelSpec(name, argument, is_file=False)


def split_settings(argument: str) -> tuple[Path, dict[str, str]]:
    """Return the path in ``PATH?NAME=VALUE&…``, and the values by name.

    A question mark may belong to the name of a file: the longest path that is there
    counts, and where none is, the text before the first question mark.

    Raises:
        ModelError: Two files are there, of which either may be meant.

    Example:
        >>> split_settings("my.model?head=a+b")[1]
        {'head': 'a+b'}
    """
    marks = [at for at, letter in enumerate(argument) if letter == "?"]
    ends = [len(argument), *reversed(marks)]
    there = [end for end in ends if _is_there(argument[:end])]
    end, *shorter = there or ends[-1:]
    for other in shorter:
        if all(name and mark for name, mark in _parted(argument[other + 1 : end])):
            msg = f"{argument[:end]!r} and {argument[:other]!r} are both there, and "
            msg += f"{argument!r} may mean either; rename one"
            raise ModelError(msg)
    # A plus sign is a plus sign here, not a blank.
    query = argument[end + 1 :].replace("+", "%2B")
    values = dict(parse_qsl(query, keep_blank_values=True))
    return Path(argument[:end]).expanduser(), values


def _is_there(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError):  # no name that a file can have
        return False


def _parted(query: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each setting, and the sign after it, if there is one."""
    for part in query.split("&"):
        name, mark, _ = part.partition("=")
        yield name, mark


def runs_code(spec: str) -> bool:
    """Return whether loading a model, or a mode, runs code that its name points at.

    A name of a catalogue and a path to weights do not.

    Example:
        >>> runs_code("ase:os:system"), runs_code("mace:my.model")
        (True, False)
    """
    parts = parse_spec(spec)
    return parts.is_file or parts.name in {"ase", "torchsim"}


def check_not_typed(spec: str, file: str, *, trust: bool, what: str = "model") -> None:
    """Refuse what a file names and what would run code, without the user's word.

    Args:
        spec: As the file has it.
        file: What a message calls the file.
        trust: The user's word.
        what: ``model``, ``mode`` or whatever else it names.

    Raises:
        ModelError: It would run code, and the user did not say that it may.
    """
    if runs_code(spec) and not trust:
        msg = (
            f"{file} names the {what} {spec!r}, which runs code of that name; a file may "
            "name a row of the catalogue or a path to weights. If you know and trust "
            "that code, repeat the command with --trust"
        )
        raise ModelError(msg)
