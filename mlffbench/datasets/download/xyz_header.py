"""Whether a file is an XYZ file, told by its first frame instead of its name."""

from itertools import islice
from pathlib import Path

_LONGEST_LINE = 1 << 16
_LINES = 10


def atoms_of_first_frame(path: Path) -> int | None:
    """Return the atoms of the first frame of an XYZ file; None if it is none.

    A frame is a line with a number, a comment, and that many lines of a symbol (or an
    atomic number) and three numbers or more. The first `_LINES` of them are looked at.
    """
    try:
        with path.open(encoding="utf-8") as file:
            n_atoms = int(file.readline(_LONGEST_LINE))
            file.readline(_LONGEST_LINE)
            lines = [line.split() for line in islice(file, min(max(n_atoms, 0), _LINES))]
        for words in lines:
            _ = [float(word) for word in words[1:4]]
    except (OSError, ValueError):  # not readable, not text, or no number where one is due
        return None
    whole = len(lines) == min(n_atoms, _LINES) > 0
    return n_atoms if whole and all(len(words) > len("xyz") for words in lines) else None
