"""Parquet tables written piece by piece; one that fits into a group is as if at once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlffbench.core.files import whole_file

ROWS_PER_GROUP = 65_536
Column = Sequence[Any] | NDArray[Any] | pd.Series


@dataclass(frozen=True, slots=True)
class TableStream:
    """A table that grows.

    Attributes:
        writer: Of the file.
        schema: Of the table.
        waiting: What is not yet written.
    """

    writer: Any
    schema: Any
    waiting: list[Any] = field(default_factory=list)

    def append(self, piece: Mapping[str, Column]) -> None:
        """Write some rows; a column that is not there is empty in them.

        Args:
            piece: Columns by name; NaN is a value that is missing.
        """
        n_rows = max(map(len, piece.values()), default=0)
        columns = [_array(piece.get(one.name), one.type, n_rows) for one in self.schema]
        self.waiting.append(pa.Table.from_arrays(columns, schema=self.schema))
        if sum(len(one) for one in self.waiting) >= ROWS_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting as a group of rows."""
        if self.waiting:
            self.writer.write_table(pa.concat_tables(self.waiting).combine_chunks())
            self.waiting.clear()


def _array(values: Column | None, kind: Any, n_rows: int) -> Any:
    """Return a column as Arrow keeps it."""
    # one that is empty in the whole table may come as numbers, all missing
    if values is None or (pa.types.is_null(kind) and pd.isna(pd.Series(values)).all()):
        return pa.nulls(n_rows, kind)
    return pa.array(values, kind, from_pandas=True)


@contextmanager
def table_stream(path: Path, example: pd.DataFrame) -> Iterator[TableStream]:
    """Open a table that is there, whole, at the end of the block.

    Args:
        path: The file.
        example: A table with every column, whose values are of every type that will come.

    Raises:
        StoreError: The disk is full; nothing is left.
    """
    schema = pa.Table.from_pandas(example, preserve_index=False).schema
    with whole_file(path) as file, pq.ParquetWriter(file, schema) as writer:
        stream = TableStream(writer, schema)
        yield stream
        stream.flush()
