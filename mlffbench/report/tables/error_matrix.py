"""The matrix of errors: split by split, a row per model and a column per mode."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlffbench.core.guards.plain import counted
from mlffbench.core.record import Record
from mlffbench.metrics.headlines import force_headlines
from mlffbench.report.tables.display_units import UnitSystem, with_interval
from mlffbench.report.tables.record_tables import heading, in_order, title_of
from mlffbench.report.tables.table_notes import left_out, warnings

MARKS = {"better": "↓", "worse": "↑", "no difference": "=", "cannot be judged": "?"}
"""Verdict -> what stands behind an error."""
_FEWER = "*"


@dataclass(frozen=True, slots=True)
class Cell:
    """One error.

    Attributes:
        value: The error; a dash where there is none, ``none`` where nothing was
            evaluated.
        interval: Its interval, or the range of its molecules; may be empty.
        mark: What the mode did to it, and whether structures are missing.
    """

    value: str
    interval: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One split.

    Attributes:
        heading: Its name, role and denominators.
        rows: Model -> a cell per mode.
    """

    heading: str
    rows: dict[str, tuple[Cell, ...]]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The errors of some runs.

    Attributes:
        title: What it shows.
        modes: Headings of the columns.
        parts: Split by split, ID first.
        notes: What a reader must know, one sentence each.
    """

    title: str
    modes: tuple[str, ...]
    parts: tuple[Part, ...]
    notes: tuple[str, ...]


def error_matrix(records: Sequence[Record], system: UnitSystem = "meV") -> Matrix:
    """Return the first headline metric, the force MAE, of every split, model and mode.

    Args:
        records: Records of one suite.
        system: Units shown.
    """
    ordered = in_order(records)
    shown = force_headlines()[0]
    modes = tuple(dict.fromkeys(record.mode for record in ordered))
    by_split: dict[tuple[str, str], list[Record]] = {}
    for record in ordered:
        by_split.setdefault((record.split, record.role), []).append(record)
    parts = []
    for them in by_split.values():
        models = dict.fromkeys(record.model for record in them)
        found = {(record.model, record.mode): record for record in them}
        rows = {
            model: tuple(
                _cell(found.get((model, mode)), shown.name, system) for mode in modes
            )
            for model in models
        }
        parts.append(Part(_heading(them, shown.name), rows))
    return Matrix(
        title=f"{title_of(ordered)}: {heading(shown, system)}",
        modes=modes,
        parts=tuple(parts),
        notes=(*_legend(parts), *warnings(ordered), *left_out(ordered, "structures")),
    )


def _heading(records: Sequence[Record], metric: str) -> str:
    """Return a split with its role and the most that any row evaluated."""
    first = records[0]
    role = "ID" if first.role.startswith("id") else "OOD"
    shift = f", {first.shift.replace('_', ' ')}" if first.shift else ""
    found = [record.metrics[metric] for record in records if metric in record.metrics]
    n_molecules = max((one.n_molecules for one in found), default=0)
    counts = counted(max(record.counts.total for record in records), "structure")
    molecules = f" of {counted(n_molecules, 'molecule')}" if n_molecules else ""
    return f"{first.split} ({role}{shift}): {counts}{molecules}"


def _cell(record: Record | None, metric: str, system: UnitSystem) -> Cell:
    if record is None:
        return Cell("–")
    found = record.metrics.get(metric)
    if found is None:
        return Cell("none")
    value, _, interval = with_interval(found, system).partition(" ")
    compared = record.paired.get(metric)
    mark = MARKS[compared.verdict] if compared else ""
    return Cell(value, interval, mark + _FEWER * (found.n < record.counts.total))


def _legend(parts: Sequence[Part]) -> list[str]:
    """Return what the signs mean, of those that occur."""
    cells = [cell for part in parts for row in part.rows.values() for cell in row]
    signs = {sign for cell in cells for sign in cell.mark}
    values = {cell.value for cell in cells}
    told = []
    if any(cell.interval.startswith("[") for cell in cells):
        told.append("[a, b]: 95 % interval over molecules")
    if any(cell.interval.startswith("(") for cell in cells):
        told.append("(a to b): range of the molecules, too few for an interval")
    marks = [f"{MARKS[one]} {one}" for one in MARKS if MARKS[one] in signs]
    if marks:
        told.append(f"against baseline: {', '.join(marks)}")
    if _FEWER in signs:
        told.append(f"{_FEWER} of fewer structures")
    if "–" in values:
        told.append("–: not run")
    if "none" in values:
        told.append("none: nothing could be evaluated")
    return ["; ".join(told)] if told else []
