"""Totals of samples that come piece by piece, on the disk where they are many."""

import tempfile
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import StoreError
from mlffbench.metrics.molecules import Totals, sum_by_index
from mlffbench.metrics.samples import Samples

IN_MEMORY = 1 << 25
"""Bytes up to which nothing is written to the disk."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The molecules of a piece of a split.

    Attributes:
        molecules: Shape (n_molecules,), ascending numbers of the molecules in it.
        index: Shape (n_systems,): structure -> place in ``molecules``.
        is_whole: Shape (n_molecules,), bool: whether all their structures are in it.
    """

    molecules: NDArray[np.int64]
    index: NDArray[np.int64]
    is_whole: NDArray[np.bool_]


@dataclass(slots=True)
class _Column:
    """Where the blocks of a column lie: of sums, and of samples of split molecules."""

    sums: list[tuple[int, int]] = field(default_factory=list)
    samples: list[tuple[int, int]] = field(default_factory=list)
    n: int = 0


@dataclass(slots=True)
class TotalsSpool:
    """What each molecule adds to each of many numbers, to the last bit as at once.

    Of a molecule that is whole in a piece its sums are kept; of others every sample, as
    sums are taken in the order of the values.
    """

    file: IO[bytes]
    _columns: dict[Hashable, _Column] = field(default_factory=dict)

    def add(self, name: Hashable, samples: Samples, piece: Piece) -> None:
        """Take samples of a piece.

        Args:
            name: Of the column.
            samples: What was measured on the structures of the piece.
            piece: Their molecules.

        Raises:
            StoreError: The disk is full.
        """
        column = self._columns.setdefault(name, _Column())
        whole = piece.is_whole[piece.index]
        kept = samples if whole.all() else samples.where(whole)
        sums, n = sum_by_index(kept, piece.index, len(piece.molecules))
        present = np.flatnonzero(sums[:, 1] > 0)
        block = np.column_stack(
            [piece.molecules[present].astype(np.float64), sums[present]]
        )
        column.n += n
        self._write(column.sums, block)
        rows = np.flatnonzero(samples.evaluated & ~whole)
        owners = piece.molecules[piece.index[rows]].astype(np.float64)
        block = np.column_stack([owners, samples.value[rows], samples.weight[rows]])
        self._write(column.samples, block)

    def totals(self, name: Hashable, keys: Sequence[str]) -> Totals:
        """Return the totals of a column; of none where nothing was taken.

        Args:
            name: Of the column.
            keys: Key of every molecule of the split.
        """
        column = self._columns.get(name, _Column())
        sums, loose = self._read(column.sums), self._read(column.samples)
        owners, place = np.unique(loose[:, 0].astype(np.int64), return_inverse=True)
        rest, n = sum_by_index(Samples(loose[:, 1], loose[:, 2]), place, len(owners))
        numbers = np.concatenate([sums[:, 0].astype(np.int64), owners])
        order = np.argsort(numbers)
        found = np.concatenate([sums[:, 1:], rest])[order]
        names = tuple(keys[number] for number in numbers[order].tolist())
        return Totals(names, found, column.n + n)

    def _write(self, blocks: list[tuple[int, int]], block: NDArray[np.float64]) -> None:
        if not len(block):
            return
        with _told_if_full():
            place = self.file.seek(0, 2)
            self.file.write(np.ascontiguousarray(block).tobytes())
        blocks.append((place, len(block)))

    def _read(self, blocks: list[tuple[int, int]]) -> NDArray[np.float64]:
        found = np.empty((sum(n for _, n in blocks), 3))
        start = 0
        for place, n in blocks:
            with _told_if_full():  # what was written last may still wait for the disk
                self.file.seek(place)
                raw = self.file.read(n * 24)
            found[start : start + n] = np.frombuffer(raw).reshape(n, 3)
            start += n
        return found


@contextmanager
def totals_spool() -> Iterator[TotalsSpool]:
    """Open a spool for the length of a block."""
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - see below
    try:
        yield TotalsSpool(file)
    finally:
        with suppress(OSError):  # what is still to be written to a full disk
            file.close()


@contextmanager
def _told_if_full() -> Iterator[None]:
    """Say in one sentence that there is no room for temporary files.

    Raises:
        StoreError: There is none.
    """
    try:
        yield
    except OSError as error:
        msg = f"sums of scores cannot be kept in a temporary file: {error.strerror}; "
        msg += "free some space, or name another folder in the variable TMPDIR, then "
        raise StoreError(msg + "repeat the command") from error
