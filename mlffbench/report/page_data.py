"""Cells: what the page needs to compute a board again for a part of its structures.

A cell holds the structures of one molecule that are made of the same elements and that
the same runs evaluated. All sums of a cell are those of its structures, so every value
the page computes is exact. Where there are more molecules than the page can carry, some
share a cell, drawn at random: values stay exact, intervals become those over such blocks,
and the page says so.
"""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS
from mlffbench.report.schema import BoardSplit
from mlffbench.report.structure_errors import Measured

Integers = NDArray[np.int64]
MOST_SUMS = 300_000
"""Sums that a page carries, over all boards: 1.6 MB."""
MOST_NAME_CHARACTERS = 250_000
"""Characters of molecule names that a page carries."""
_LONGEST_NAME = 80


def make_cells(
    measured: Sequence[Measured], splits: Sequence[BoardSplit], most_sums: int
) -> dict[str, Any]:
    """Return the sums of a board, arrays as base64 of little-endian numbers.

    Args:
        measured: What each run got wrong.
        splits: The splits of the board.
        most_sums: Sums to stay below, by letting molecules share cells.
    """
    tested = measured[0].tested
    names, which = tested.elements
    patterns, pattern = _patterns(measured)
    molecules, owner = np.unique(
        tested.table["molecule"].to_numpy(dtype=str), return_inverse=True
    )
    owner = np.asarray(owner, dtype=np.int64).reshape(-1)
    most_cells = max(50, most_sums // max(1, len(measured) * len(splits)))
    blocks = 0
    if len(molecules) > most_cells:
        blocks = most_cells
        owner = np.random.default_rng(0).integers(blocks, size=len(molecules))[owner]
    sizes = 3.0 * tested.table["n_atoms"].to_numpy()
    made = {}
    for split in splits:
        rows = tested.splits.get(split.name, np.empty(0, dtype=np.int64))
        keys = np.stack([owner[rows], which[rows], pattern[rows]], axis=1)
        cells, inverse = np.unique(keys, axis=0, return_inverse=True)
        inverse = np.asarray(inverse, dtype=np.int64).reshape(-1)
        made[split.name] = {
            "molecule": _integers(cells[:, 0]),
            "elements": _integers(cells[:, 1]),
            "pattern": _integers(cells[:, 2]),
            "n": _integers(np.bincount(inverse, minlength=len(cells))),
            "weight": _integers(_sum(sizes[rows], inverse, len(cells))),
            "sums": [
                _floats(_sum(one.error[rows] * sizes[rows], inverse, len(cells)))
                for one in measured
            ],
        }
    short = [name[:_LONGEST_NAME] for name in molecules.tolist()]
    named = not blocks and sum(map(len, short)) <= MOST_NAME_CHARACTERS
    return {
        "elements": sorted({e for one in names for e in one}, key=SYMBOLS.index),
        "element_sets": [list(one) for one in names],
        "patterns": patterns,
        "molecules": short if named else [],
        "blocks": blocks,
        "splits": made,
    }


def _patterns(measured: Sequence[Measured]) -> tuple[list[list[int]], Integers]:
    """Return the sets of runs that lack a structure, and the set of each structure."""
    lacks = np.stack([~np.isfinite(one.error) for one in measured], axis=1)
    found, which = np.unique(lacks, axis=0, return_inverse=True)
    named = [np.flatnonzero(row).tolist() for row in found]
    return named, np.asarray(which, dtype=np.int64).reshape(-1)


def _sum(values: NDArray[np.float64], index: Integers, n: int) -> NDArray[np.float64]:
    summed = np.bincount(index, weights=np.nan_to_num(values), minlength=n)
    return summed.astype(np.float64)


def _integers(values: NDArray[Any]) -> str:
    return base64.b64encode(values.astype("<u4").tobytes()).decode("ascii")


def _floats(values: NDArray[np.float64]) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")
