"""Batching: which structures are computed together, from their sizes and names alone."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlffbench.core.split import Index, Rows

if TYPE_CHECKING:
    from mlffbench.refine.refiner import Unit  # a report cuts sizes, and knows no mode


def batch_positions(
    index: Index, rows: Rows, *, unit: "Unit", batch_atoms: int
) -> Iterator[Rows]:
    """Yield batches as positions in ``rows``: whole units, small before large.

    The composition depends on the arguments alone, so that a resumed run computes the
    same batches as an undisturbed one.

    Args:
        index: Of the source.
        rows: Rows of it that are to be computed.
        unit: What must stay together.
        batch_atoms: Atoms per batch; a larger unit makes a batch of its own.
    """
    if len(rows) == 0:
        return
    sizes = index.n_atoms[index.record[rows]]
    if unit == "split":
        yield np.argsort(np.zeros_like(sizes), kind="stable")
        return
    if unit == "structure":
        order = np.argsort(sizes, kind="stable")
        lengths = np.ones(len(rows), dtype=np.int64)
        atoms = sizes[order]
    else:
        code = codes_of(index.groups, index.record[rows])
        order, lengths, atoms = _by_unit(sizes, code)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    for first, last in stretches(atoms, batch_atoms):
        yield order[starts[first] : starts[last]]


def stretches(sizes: Rows, most: int) -> Iterator[tuple[int, int]]:
    """Yield first and behind the last of consecutive things that are held together.

    Args:
        sizes: Shape (n,), atoms of each.
        most: Atoms of all that are held together; a larger one is alone.

    Example:
        >>> list(stretches(np.array([2, 2, 9, 1]), 4))
        [(0, 2), (2, 3), (3, 4)]
    """
    reached = np.cumsum(sizes)
    first, before = 0, 0
    while first < len(reached):
        last = int(np.searchsorted(reached, before + most, side="right"))
        last = max(last, first + 1)
        yield first, last
        first, before = last, int(reached[last - 1])


def codes_of(names: Sequence[str], records: Rows) -> Rows:
    """Return a number for the name of each record, equal where names are.

    Numbers are given in the order in which names appear.

    Args:
        names: Name of every record of an index.
        records: Shape (n,): which of them.
    """
    distinct, place = np.unique(records, return_inverse=True)
    known: dict[str, int] = {}
    codes = np.array(
        [known.setdefault(names[record], len(known)) for record in distinct.tolist()],
        dtype=np.int64,
    )[place]
    _, first = np.unique(codes, return_index=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    found: Rows = rank[codes]
    return found


def _by_unit(sizes: Rows, code: Rows) -> tuple[Rows, Rows, Rows]:
    """Return positions unit by unit, and the structures and atoms of each unit.

    Units with small structures come first, then in the order in which they appear.
    """
    n_units = int(code.max()) + 1
    largest = np.zeros(n_units, dtype=np.int64)
    np.maximum.at(largest, code, sizes)
    rank = np.empty(n_units, dtype=np.int64)
    rank[np.argsort(largest, kind="stable")] = np.arange(n_units)
    place = rank[code]
    order = np.argsort(place, kind="stable")
    lengths = np.bincount(place, minlength=n_units)
    atoms = np.zeros(n_units, dtype=np.int64)
    np.add.at(atoms, place, sizes)
    return order, lengths, atoms
