"""What a notebook shows of results: the force table as HTML, every name escaped."""

from collections.abc import Iterable, Sequence
from html import escape

from mlffbench.report.document import records_by_suite
from mlffbench.report.tables.record_tables import TextTable, force_table
from mlffbench.run.folder import RunFolder


def html_of(folders: Sequence[RunFolder], faults: Sequence[str]) -> str:
    """Return the force tables of some runs, and what is missing.

    Args:
        folders: Scored runs.
        faults: A sentence each.
    """
    tables = [force_table(records) for records in records_by_suite(folders).values()]
    parts = [_table(table) for table in tables]
    return "\n".join([*parts, *(f"<p><b>{escape(fault)}</b></p>" for fault in faults)])


def _table(table: TextTable) -> str:
    head = _row("th", table.columns)
    body = "\n".join(_row("td", row) for row in table.rows)
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    title = f"<caption>{escape(table.title)}</caption>"
    whole = f"<thead>{head}</thead>\n<tbody>{body}</tbody>"
    return f"<table>{title}{whole}</table>\n<ul>{notes}</ul>"


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
