"""Stored atoms: the arrays of a run, read some structures at a time and never held."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.guards.archives import ARCHIVE_FAULTS, check_members
from mlffbench.core.guards.sizes import size_of
from mlffbench.run.folder import unreadable
from mlffbench.run.shards.batching import stretches
from mlffbench.run.shards.npz_rows import NpzRows, npz_rows

Integers = NDArray[np.int64]
PIECE_ATOMS = 250_000
"""Atoms that are held together."""
_AGAIN = "repeat the run with --overwrite"


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Consecutive structures of a run.

    Attributes:
        start: Of the first one.
        stop: Behind the last one.
        first: Their first atom.
        last: Behind their last one.
        owner: Shape (n_atoms,): the structure of each atom, counted from 0.
    """

    start: int
    stop: int
    first: int
    last: int
    owner: Integers


def stretches_of(sizes: Integers) -> Iterator[Stretch]:
    """Yield all structures of a run, in order.

    Args:
        sizes: Shape (n,), atoms of each.
    """
    ends = np.concatenate([[0], np.cumsum(sizes)])
    for start, stop in stretches(sizes, PIECE_ATOMS):
        owner = np.repeat(np.arange(stop - start), sizes[start:stop])
        yield Stretch(start, stop, int(ends[start]), int(ends[stop]), owner)


@contextmanager
def opened(path: Path, names: Sequence[str], n_atoms: int) -> Iterator[NpzRows]:
    """Open arrays with a row per atom for the length of a block.

    Args:
        path: Their file.
        names: They.
        n_atoms: Of all structures of the run.

    Raises:
        StoreError: The file is missing or broken, or of other structures.
    """
    try:
        size_of(path)
        with path.open("rb") as content:
            check_members(content)
        with npz_rows(path) as arrays:
            for name in names:
                if f"{name}.npy" not in arrays.archive.namelist():
                    msg = f"an array '{name}' is missing in {path.parent}; {_AGAIN}"
                    raise StoreError(msg)
                if arrays.length(name) != n_atoms:
                    msg = f"the files in {path.parent} do not belong together or hold "
                    msg += f"other structures than its splits say; {_AGAIN}"
                    raise StoreError(msg)
            yield arrays
    except (DataError, *ARCHIVE_FAULTS) as error:
        raise unreadable(path, error, _AGAIN) from error


def rows_at(arrays: NpzRows, name: str, wanted: Sequence[slice]) -> list[NDArray[Any]]:
    """Return some stretches of an array; it is read once, forwards."""
    order = sorted(range(len(wanted)), key=lambda place: wanted[place].start)
    read = {
        place: arrays.read(name, wanted[place].start, wanted[place].stop)
        for place in order
    }
    return [read[place] for place in range(len(wanted))]
