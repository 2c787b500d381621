"""Same numbers: two contents of JSON compared, numbers to a relative 1e-6."""

import math
from typing import Any

RELATIVE, ABSOLUTE = 1e-6, 1e-9
"""Sums in another order, of another version of a library, differ by less."""


def difference_of(told: Any, found: Any, where: str = "") -> str:
    """Return where and how two contents differ first; empty where they agree.

    Args:
        told: What is stored.
        found: What was computed.
        where: What a message calls the place.

    Example:
        >>> difference_of({"a": [1.0, 2.0]}, {"a": [1.0, 2.5]})
        'a[1]: 2.0 is stored, 2.5 computed'
    """
    if isinstance(told, dict) and isinstance(found, dict):
        return _of_mappings(told, found, where)
    if isinstance(told, list | tuple) and isinstance(found, list | tuple):
        if len(told) != len(found):
            return f"{where or 'records'}: {len(told)} are stored, {len(found)} computed"
        pairs = enumerate(zip(told, found, strict=True))
        all_of = (difference_of(a, b, f"{where}[{n}]") for n, (a, b) in pairs)
        return next((one for one in all_of if one), "")
    same = _same(told, found)
    return "" if same else f"{where}: {told} is stored, {found} computed"


def _of_mappings(told: dict[str, Any], found: dict[str, Any], where: str) -> str:
    for name in sorted(told.keys() | found.keys()):
        inner = f"{where}.{name}" if where else str(name)
        if name not in told or name not in found:
            return f"{inner} is not {'stored' if name not in told else 'computed'}"
        if different := difference_of(told[name], found[name], inner):
            return different
    return ""


def _same(told: Any, found: Any) -> bool:
    numbers = all(
        isinstance(one, int | float) and not isinstance(one, bool)
        for one in (told, found)
    )
    if not numbers:
        return bool(told == found)
    return math.isclose(told, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def count_numbers(content: Any) -> int:
    """Return how many numbers some contents of JSON hold."""
    if isinstance(content, dict):
        return sum(map(count_numbers, content.values()))
    if isinstance(content, list):
        return sum(map(count_numbers, content))
    return int(isinstance(content, int | float) and not isinstance(content, bool))
