"""Tables -> Markdown, CSV and the terminal."""

import csv
import io
from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from mlffbench.core.guards.plain import csv_cell, markdown_cell
from mlffbench.core.record import MetricValue, Record
from mlffbench.report.tables.display_units import UnitSystem, number, shown_unit
from mlffbench.report.tables.record_tables import TextTable


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
    lines = [f"## {markdown_cell(table.title)}", "", _line(table.columns)]
    lines.append("|" + "---|" * 3 + "---:|" * (len(table.columns) - 3))
    lines += [_line(row) for row in table.rows]
    lines += ["", *(f"- {markdown_cell(note)}" for note in table.notes), ""]
    return "\n".join(lines)


def worst_markdown(records: Sequence[Record], system: UnitSystem = "meV") -> str:
    """Return the worst molecule of every split as a Markdown section."""
    shown = shown_unit("eV/Å", system)
    rows = [
        (
            r.split,
            r.model,
            r.mode,
            r.worst_group[0],
            number(shown.factor * r.worst_group[1]),
        )
        for r in records
        if r.worst_group is not None
    ]
    lines = ["## Worst molecule", ""]
    lines += [_line(("split", "model", "mode", "molecule", f"force MAE {shown.name}"))]
    lines += ["|---|---|---|---|---:|", *map(_line, rows), ""]
    return "\n".join(lines)


def to_csv(records: Sequence[Record]) -> str:
    """Return every number of every record, one line each, in stored units.

    ``what`` says which number of a metric a line holds: its ``value``, the ``gap`` to the
    ID control, the ``paired`` comparison with baseline, or that ``against`` the prior or
    no forces, as difference or ratio.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        "suite suite_version split role shift control model mode seed metric what value "
        "low high standard_error unit n n_molecules verdict total evaluated skipped "
        "failed reasons worst_molecule wall_s_per_structure dtype device".split()
    )
    for r in records:
        first = (r.suite, r.suite_version, r.split, r.role, r.shift, r.control)
        key = (*first, r.model, r.mode, r.seed)
        counts = (r.counts.total, r.counts.evaluated, r.counts.skipped, r.counts.failed)
        last = (
            *counts,
            "; ".join(f"{n} × {why}" for why, n in r.counts.reasons.items()),
            r.worst_group[0] if r.worst_group else None,
            r.wall_s_per_structure,
            r.provenance.get("dtype"),
            r.provenance.get("device"),
        )
        for name, what, m, verdict in _numbers(r):
            values = (
                m.value,
                m.low,
                m.high,
                m.standard_error,
                m.unit,
                m.n,
                m.n_molecules,
            )
            row = (*key, name, what, *values, verdict, *last)
            writer.writerow(map(csv_cell, row))
        if not r.metrics:
            writer.writerow(map(csv_cell, (*key, *[None] * 10, *last)))
    return buffer.getvalue()


def _numbers(r: Record) -> Iterator[tuple[str, str, MetricValue, str]]:
    """Yield metric, which number of it, the number, and the verdict if it compares."""
    for name, metric in r.metrics.items():
        yield name, "value", metric, ""
    for kind, compared in (
        ("gap", r.gap),
        ("paired", r.paired),
        ("against prior", r.against_prior),
        ("against zero", r.against_zero),
    ):
        for name, comparison in compared.items():
            verdict = comparison.verdict
            yield name, f"{kind} difference", comparison.difference, verdict
            if comparison.ratio is not None:
                yield name, f"{kind} ratio", comparison.ratio, verdict


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(markdown_cell(cell) for cell in cells) + " |"
