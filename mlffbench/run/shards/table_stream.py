"""Parquet tables written piece by piece; one that fits into a group is as if at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mlffbench.core.files import whole_file

ROWS_PER_GROUP = 65_536


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

    def append(self, piece: pd.DataFrame) -> None:
        """Write some rows; a column that is not there is empty in them."""
        piece = piece.reindex(columns=self.schema.names)
        # a column that is empty in the whole table may come as numbers, all missing
        empty = [one.name for one in self.schema if pa.types.is_null(one.type)]
        missing = {name: None for name in empty if piece[name].isna().all()}
        table = pa.Table.from_pandas(
            piece.assign(**missing),
            schema=self.schema,
            preserve_index=False,
        )
        self.waiting.append(table.replace_schema_metadata(self.schema.metadata))
        if sum(len(one) for one in self.waiting) >= ROWS_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting as a group of rows."""
        if self.waiting:
            self.writer.write_table(pa.concat_tables(self.waiting).combine_chunks())
            self.waiting.clear()


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
