"""Tables -> Markdown, CSV and the terminal."""

import csv
import io
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from mlffbench.core.guards.plain import csv_cell, markdown_cell
from mlffbench.core.record import MetricValue, Record
from mlffbench.report.tables.display_units import UnitSystem, number, shown_unit
from mlffbench.report.tables.record_tables import TextTable
from mlffbench.report.tables.wrapping import IN_NAMES, blocks, wrapped

_RULE = 3
"""Columns that a rule between two columns takes."""
_LEFT = 3
"""Leading columns that hold names."""
_LEAST_KEY, _LEAST_CELL = 8, 8


def to_rich(table: TextTable, width: int) -> Iterator[Table]:
    """Yield a table for the terminal; hostile names show as text.

    Where it is too wide, more columns follow below, behind the same keys; names are
    broken between their words.

    Args:
        table: The table.
        width: Characters per line.
    """
    keys = range(min(table.n_keys, len(table.columns)))
    most = max(_LEAST_KEY, width // (len(keys) + 1) - _RULE)
    widths = [_width(table, place) for place in range(len(table.columns))]
    rest = width - sum(widths[place] + _RULE for place in keys)
    if rest < max((widths[place] for place in range(len(keys), len(widths))), default=0):
        widths = [min(one, most) if n in keys else one for n, one in enumerate(widths)]
    space = max(width - sum(widths[place] + _RULE for place in keys), _LEAST_CELL)
    widths = [one if n in keys else min(one, space) for n, one in enumerate(widths)]
    needed = [_RULE + one for one in widths[len(keys) :]]
    for block in blocks(needed, space + _RULE):
        places = [len(keys) + place for place in block]
        yield _drawn(table, [*keys, *places], widths, again=block[:1] > [0])


def _width(table: TextTable, place: int) -> int:
    """Return how wide a column is: its cells, and the longest word of its heading."""
    words = table.columns[place].split() or [""]
    texts = [*words, *(row[place] for row in table.rows)]
    return max(cell_len(text) for text in texts)


def _drawn(
    table: TextTable, places: Sequence[int], widths: Sequence[int], *, again: bool
) -> Table:
    title = f"{table.title} (continued)" if again else table.title
    shown = Table(title=title, title_justify="left", pad_edge=False, show_edge=False)
    for place in places:
        heading = "\n".join(wrapped(table.columns[place], widths[place], at=" "))
        left = place < _LEFT
        shown.add_column(heading, justify="left" if left else "right", no_wrap=True)
    previous: tuple[str, ...] = ()
    for line, row in enumerate(table.rows):
        cells = [
            "\n".join(
                wrapped(row[place], widths[place], at=IN_NAMES if place < _LEFT else " ")
            )
            for place in places
        ]
        if previous[:1] == row[:1]:
            cells[0] = ""
        shown.add_row(*map(Text, cells), end_section=line in table.sections)
        previous = row
    return shown


def to_markdown(table: TextTable) -> str:
    """Return a Markdown section."""
    lines = [f"## {markdown_cell(table.title)}", "", _line(table.columns)]
    lines.append("|" + "---|" * _LEFT + "---:|" * (len(table.columns) - _LEFT))
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
