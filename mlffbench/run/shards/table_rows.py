"""Parquet tables read some rows at a time, forwards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray


@dataclass(slots=True)
class TableRows:
    """A table of which one group of rows is held.

    Attributes:
        file: It.
        ends: Shape (n_groups,): behind the last row of each group.
    """

    file: Any
    ends: NDArray[np.int64]
    _held: tuple[int, Any] = (-1, None)

    def read(self, start: int, stop: int) -> pd.DataFrame:
        """Return some rows, numbered from 0.

        Raises:
            ArrowException: The file is damaged.
        """
        first = int(np.searchsorted(self.ends, start, side="right"))
        parts: list[Any] = []
        for group in range(first, len(self.ends)):
            begin = int(self.ends[group - 1]) if group else 0
            if begin >= stop and parts:
                break
            held = self._group(group)
            low, high = max(start - begin, 0), min(stop - begin, len(held))
            parts.append(held.slice(low, max(high - low, 0)))
        if not parts:
            parts = [self.file.schema_arrow.empty_table()]
        found: pd.DataFrame = pa.concat_tables(parts).to_pandas()
        return found

    def _group(self, number: int) -> Any:
        if self._held[0] != number:
            self._held = -1, None
            self._held = number, self.file.read_row_group(number)
        return self._held[1]


@contextmanager
def table_rows(path: Path) -> Iterator[TableRows]:
    """Open a table for the length of a block.

    Args:
        path: The file; its name need not be UTF-8.

    Raises:
        ArrowException: It is no parquet file.
        OSError: It cannot be opened.
    """
    with path.open("rb") as content:
        file = pq.ParquetFile(content)
        told = file.metadata
        sizes = [told.row_group(i).num_rows for i in range(told.num_row_groups)]
        yield TableRows(file, np.cumsum(np.asarray(sizes, dtype=np.int64)))


def read_numbers(path: Path, name: str) -> NDArray[Any]:
    """Return a whole column of numbers.

    Raises:
        ArrowException: The file is damaged.
        OSError: It cannot be opened.
    """
    with path.open("rb") as content:
        found: NDArray[Any] = pq.read_table(content, columns=[name])[name].to_numpy()
        return found


def read_words(path: Path, name: str) -> tuple[NDArray[np.int64], Sequence[str]]:
    """Return a whole column of words as numbers, and the word of each number.

    Raises:
        ArrowException: The file is damaged.
        OSError: It cannot be opened.
    """
    with path.open("rb") as content:
        column = pq.read_table(content, columns=[name], read_dictionary=[name])[name]
    coded = column.unify_dictionaries().combine_chunks()
    return coded.indices.to_numpy().astype(np.int64), coded.dictionary.to_pylist()
