"""Wrapping: names and cells broken between their words, never inside one that fits."""

import re
from collections.abc import Sequence

from rich.cells import cell_len, chop_cells

IN_NAMES = " -_/:.,?=&@"
"""Characters after which a name may be broken."""


def blocks(needed: Sequence[int], space: int) -> list[list[int]]:
    """Return the places of columns, table by table: as many as fit, at least one.

    Args:
        needed: Characters that each column takes, with what parts it from the last.
        space: Characters of a line.

    Example:
        >>> blocks([4, 4, 9, 3], 8)
        [[0, 1], [2], [3]]
    """
    found: list[list[int]] = [[]]
    used = 0
    for place, one in enumerate(needed):
        if found[-1] and used + one > space:
            found.append([])
            used = 0
        found[-1].append(place)
        used += one
    return found


def wrapped(text: str, width: int, *, at: str = IN_NAMES) -> list[str]:
    """Return a text as lines of at most a width.

    Args:
        text: It may hold characters of double width.
        width: Columns of a line; a word that is longer is broken inside, as nothing else
            helps.
        at: Characters after which it may be broken.

    Example:
        >>> wrapped("mini-mace-scratch", 12)
        ['mini-mace-', 'scratch']
    """
    escaped = re.escape(at)
    lines = [""]
    for piece in re.findall(f"[^{escaped}]*[{escaped}]+|[^{escaped}]+", text):
        bare = piece.rstrip()
        if lines[-1] and cell_len(lines[-1] + bare) > width:
            lines.append("")
        if cell_len(bare) > width:
            *full, last = chop_cells(bare, width)
            lines[-1:] = [*full, last + piece[len(bare) :]]
        else:
            lines[-1] += piece
    return [line.rstrip() for line in lines]
