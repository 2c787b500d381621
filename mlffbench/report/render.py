"""Tables -> Markdown, CSV, JSON, and the terminal."""

import csv
import io
import json
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from mlffbench.core.record import SCHEMA_VERSION, Record
from mlffbench.report.tables import TextTable
from mlffbench.report.units import number


def to_rich(table: TextTable) -> Table:
    """Return a table for the terminal; hostile names show as text."""
    shown = Table(title=table.title, title_justify="left", pad_edge=False)
    for place, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if place < 3 else "right")  # noqa: PLR2004
    previous: tuple[str, ...] = ()
    for place, row in enumerate(table.rows):
        cells = list(row)
        if previous[:1] == row[:1]:
            cells[0] = ""
        shown.add_row(*map(Text, cells), end_section=place in table.sections)
        previous = row
    return shown


def to_markdown(table: TextTable) -> str:
    """Return a Markdown section."""
    lines = [f"## {_escape(table.title)}", "", _line(table.columns)]
    lines.append("|" + "---|" * 3 + "---:|" * (len(table.columns) - 3))
    lines += [_line(row) for row in table.rows]
    lines += ["", *(f"- {_escape(note)}" for note in table.notes), ""]
    return "\n".join(lines)


def worst_markdown(records: Sequence[Record]) -> str:
    """Return the worst molecule of every split as a Markdown section."""
    rows = [
        (r.split, r.model, r.mode, r.worst_group[0], number(1000 * r.worst_group[1]))
        for r in records
        if r.worst_group is not None
    ]
    lines = ["## Worst molecule", ""]
    lines += [_line(("split", "model", "mode", "molecule", "force MAE meV/Å"))]
    lines += ["|---|---|---|---|---:|", *map(_line, rows), ""]
    return "\n".join(lines)


def to_csv(records: Sequence[Record]) -> str:
    """Return every metric of every record, one line each, in stored units."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        "suite suite_version split role shift model mode seed metric value low high "
        "standard_error unit n n_molecules total evaluated skipped failed".split()
    )
    for r in records:
        key = (
            r.suite,
            r.suite_version,
            r.split,
            r.role,
            r.shift,
            r.model,
            r.mode,
            r.seed,
        )
        counts = (r.counts.total, r.counts.evaluated, r.counts.skipped, r.counts.failed)
        for name, m in r.metrics.items():
            values = (
                m.value,
                m.low,
                m.high,
                m.standard_error,
                m.unit,
                m.n,
                m.n_molecules,
            )
            writer.writerow((*key, name, *values, *counts))
        if not r.metrics:
            writer.writerow((*key, *[None] * 8, *counts))
    return buffer.getvalue()


def to_json(records: Sequence[Record]) -> str:
    """Return every record as one JSON document."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "records": [record.model_dump(mode="json") for record in records],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escape(cell) for cell in cells) + " |"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
