"""Batches read from disk by another process, ahead of whoever uses them."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import NamedTuple

from mlffbench.core.guards.children import FreshPool
from mlffbench.core.labels import Labels
from mlffbench.core.split import Rows, Source
from mlffbench.core.structures import Structures

AHEAD = 4
"""Batches that are read, at most, before they are wanted."""


class LabelledBatch(NamedTuple):
    """Structures and their labels, for training."""

    structures: Structures
    labels: Labels


def read_ahead(
    source: Source, batches: Iterable[Rows], *, ahead: int = AHEAD
) -> Iterator[LabelledBatch]:
    """Yield batches in order while the next ones are being read.

    The reader is a spawned process, so that reading takes nothing from the process that
    computes; a script that uses it needs ``if __name__ == "__main__":``.

    Args:
        source: The source; it is pickled, so it may hold paths but no open file.
        batches: Rows of each batch.
        ahead: Batches that are read before they are wanted.

    Raises:
        DataError: A file is damaged.
    """
    with FreshPool(1, initializer=_take, initargs=(source,)) as pool:
        waiting: deque[Future[LabelledBatch]] = deque()
        try:
            for rows in batches:
                waiting.append(pool.submit(_read, rows))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_TAKEN: list[Source] = []


def _take(source: Source) -> None:
    _TAKEN[:] = [source]


def _read(rows: Rows) -> LabelledBatch:
    source = _TAKEN[0]
    return LabelledBatch(source.structures(rows), source.labels(rows))
