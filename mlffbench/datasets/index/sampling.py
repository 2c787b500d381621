"""Choices that depend on names alone: the same on every machine, in any order."""

import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np

from mlffbench.core.errors import DataError
from mlffbench.core.split import Index, Rows

_SIZE = re.compile(r"(\d+)(k?)")


def in_hash_order(names: Iterable[str], seed: str) -> list[str]:
    """Return distinct names in the order of sha256(seed/name), which looks random."""
    return sorted(
        set(names), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest()
    )


def spread(index: Index, rows: Rows, n_most: int | None, seed: str) -> Rows:
    """Return at most so many rows, spread as evenly as can be over molecules.

    Every molecule gives one structure before any gives two.

    Args:
        index: The index of the rows.
        rows: Shape (n_structures,), ascending.
        n_most: How many; None is all.
        seed: Name of the choice.
    """
    if n_most is None or len(rows) <= n_most:
        return rows
    records = np.unique(index.record[rows])
    groups = [index.groups[record] for record in records.tolist()]
    place = {name: i for i, name in enumerate(in_hash_order(groups, seed))}
    molecule = np.array([place[name] for name in groups])[
        np.searchsorted(records, index.record[rows])
    ]
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little")
    shuffled = np.random.default_rng(number).permutation(len(rows))
    by_molecule = shuffled[np.argsort(molecule[shuffled], kind="stable")]
    sorted_molecules = molecule[by_molecule]
    starts = np.searchsorted(sorted_molecules, sorted_molecules, side="left")
    turn = np.arange(len(rows)) - starts
    order = np.lexsort((sorted_molecules, turn))
    return np.sort(rows[by_molecule[order[:n_most]]])


def evenly(rows: Rows, n_most: int) -> Rows:
    """Return at most so many rows at equal distances, the first among them."""
    if len(rows) <= n_most:
        return rows
    return rows[np.arange(n_most) * len(rows) // n_most]


def size_of(text: str) -> int | None:
    """Return the number a size means: ``"10k"``, ``"2500"``; None for ``"full"``.

    Raises:
        DataError: It is none of these.

    Example:
        >>> size_of("10k"), size_of("full")
        (10000, None)
    """
    if text == "full":
        return None
    found = _SIZE.fullmatch(text)
    if found is None or int(found[1]) == 0:
        msg = f"unknown size {text!r}; expected 'full', or a number like '10k' or '2500'"
        raise DataError(msg)
    return int(found[1]) * (1000 if found[2] else 1)


def rows_with(index: Index, molecules: Sequence[str], allowed: Rows) -> Rows:
    """Return those of some rows that belong to some molecules."""
    wanted = set(molecules)
    chosen = np.array([group in wanted for group in index.groups], dtype=np.bool_)
    return allowed[chosen[index.record[allowed]]]
