"""Faults of a suite file: what pydantic found, in our words and with the line."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

from mlffbench.core.guards.sizes import shown

_MOST = 4
"""Faults that are told; the rest is counted."""
_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "float_type": "a number",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "mapping_type": "keys with values",
    "model_type": "keys with values",
    "path_type": "a path",
    "too_short": "at least one",
}
"""Kind of fault -> what would have been right."""


class _Found(NamedTuple):
    """The part of a file that a fault is about.

    Attributes:
        path: Keys and numbers down to it.
        line: Where it stands, from 1.
        text: Its value, in words.
    """

    path: tuple[str | int, ...]
    line: int
    text: str


def faults_of_suite(
    error: ValidationError, text: str, whole: type[BaseModel], parts: Mapping[str, Any]
) -> str:
    """Return the first `_MOST` faults in one sentence, each with its line.

    Args:
        error: What pydantic raised.
        text: The file.
        whole: The type of the whole file.
        parts: Key -> type of what stands below it, for suggestions of keys.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:  # an empty file, which nobody brings here
        root = yaml.MappingNode("tag:yaml.org,2002:map", [])
    told: dict[tuple[str | int, ...], list[str]] = {}
    faults = error.errors()
    missing = [fault["loc"] for fault in faults if fault["type"] == "missing"]
    for fault in faults:
        loc = fault["loc"]
        found = _found(root, loc)
        kind, name = fault["type"], _name(loc)
        if kind == "missing":
            said = f"{_where(loc[:-1], found.line)}has no {name}"
            told.setdefault(loc, []).append(said)
        elif kind == "extra_forbidden":
            keys = _keys(loc[:-1], whole, parts)
            lacking = [str(one[-1]) for one in missing if one[:-1] == loc[:-1]]
            close = get_close_matches(str(loc[-1]), lacking, n=1, cutoff=0.5)
            close = close or get_close_matches(str(loc[-1]), keys, n=1, cutoff=0.5)
            hint = f"did you mean {_quoted(close[0])}?" if close else ", ".join(keys)
            hint = hint if close else f"keys: {hint}"
            said = f"has {name} in line {found.line}, which is not a key ({hint})"
            told.setdefault(loc, []).append(said)
        elif kind == "value_error":
            told.setdefault(loc, []).append(fault["msg"].removeprefix("Value error, "))
        else:
            said = f"{_name(found.path)} in line {found.line} is {found.text}"
            expected = _expected(kind, fault)
            known = told.setdefault(found.path, [said, expected])
            if expected not in known:
                known.append(expected)
    sentences = [
        parts[0] if len(parts) == 1 else f"{parts[0]}, expected {' or '.join(parts[1:])}"
        for parts in told.values()
    ]
    rest = len(sentences) - _MOST
    more = [f"and {rest} more fault{'s' * (rest > 1)}"] if rest > 0 else []
    return "; ".join([*sentences[:_MOST], *more])


def _expected(kind: str, fault: Mapping[str, Any]) -> str:
    """Return what a value should have been."""
    context = fault.get("ctx") or {}
    if kind == "literal_error":
        return str(context["expected"])
    if kind == "greater_than_equal":
        return f"at least {context['ge']}"
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        sized = "10k, 500 or full" if "full" in pattern else ""
        return sized or "letters, digits and . _ -, without spaces"
    return _EXPECTED.get(kind, str(fault["msg"]).lower())


def _found(root: yaml.Node, loc: Sequence[str | int]) -> _Found:
    """Return how far a place of pydantic's leads into a file."""
    node, path = root, []
    for step in loc:
        below = _below(node, step)
        if below is None:
            break
        key, node = below
        path.append(step)
    line = root.start_mark.line
    if path:
        line = (key if isinstance(key, yaml.Node) else node).start_mark.line
    if isinstance(node, yaml.ScalarNode):
        text = repr(shown(node.value))
    else:
        text = "a list" if isinstance(node, yaml.SequenceNode) else "keys with values"
        text = text if node.value else "empty"
    return _Found(tuple(path), line + 1, text)


def _below(node: yaml.Node, step: str | int) -> tuple[yaml.Node | None, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return (None, node.value[step]) if step < len(node.value) else None
    return None


def _keys(
    path: Sequence[str | int], whole: type[BaseModel], parts: Mapping[str, Any]
) -> list[str]:
    names = [part for part in path if isinstance(part, str) and part in parts]
    made = parts[names[-1]] if names else whole
    return list(made.model_fields)


def _name(path: Sequence[str | int]) -> str:
    """Return the last key of a path, quoted, with the number of its list behind it."""
    if path and isinstance(path[-1], int):
        before = f" of {_quoted(path[-2])}" if len(path) > 1 else ""
        return f"entry {path[-1] + 1}{before}"
    return _quoted(path[-1]) if path else "the file"


def _where(path: Sequence[str | int], line: int) -> str:
    return f"{_name(path)} in line {line} " if path else ""


def _quoted(key: object) -> str:
    return f'"{shown(str(key))}"'
