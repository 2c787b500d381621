"""Published numbers beside ours, and the spread of gains -> tables of text."""

from collections.abc import Sequence

from mlffbench.core.record import MetricValue
from mlffbench.report.schema import BesidePaper, GainSpread, OursBeside
from mlffbench.report.tables.display_units import number
from mlffbench.report.tables.record_tables import TextTable

NOTES = (
    "theirs: the value and how far off the reading may be; read: printed in the figure, "
    "digitised (its axis read off), or hearsay",
    "per structure: every structure counts the same; pooled: every force component does; "
    "which of the two theirs is, is not stated",
    "over several splits the pooled value and intervals are left out",
    "within: whether theirs and ours, each with its uncertainty, overlap by either "
    "average; where the data are not the same, agreement says little",
)
_COLUMNS = (
    *("quantity", "mode", "network", "theirs", "read"),
    *(
        "our model",
        "our mode",
        "per structure",
        "pooled",
        "n",
        "same data",
        "within uncertainty",
    ),
)
_TENTHS = 100.0


def paper_tables(rows: Sequence[BesidePaper]) -> list[TextTable]:
    """Return one table per figure, those with a number of ours first."""
    figures: dict[str, list[BesidePaper]] = {}
    for row in rows:
        figures.setdefault(row.figure, []).append(row)
    ordered = sorted(figures.items(), key=lambda item: not any(r.ours for r in item[1]))
    return [
        TextTable(
            title=f"{figure} ({mine[0].dataset})",
            columns=_COLUMNS,
            rows=tuple(line for row in mine for line in _lines(row)),
            sections=frozenset(),
            notes=_notes(mine),
        )
        for figure, mine in ordered
    ]


def gain_table(gains: Sequence[GainSpread]) -> TextTable:
    """Return one row per board, model and mode."""
    return TextTable(
        title="Spread of the gain over structures (OOD, relative to baseline)",
        columns=(
            *("board", "model", "mode", "n", "better", "worse"),
            *("10 %", "25 %", "median", "75 %", "90 %"),
            *("top tenth, meV/Å", "all, meV/Å"),
        ),
        rows=tuple(
            (
                *(one.board, one.model, one.mode, f"{one.n:,}"),
                *(f"{one.n_better:,}", f"{one.n_worse:,}"),
                *(f"{_TENTHS * gain:.0f} %" for gain in one.quantiles),
                _change(one.top_tenth),
                _change(one.all_of_them),
            )
            for one in gains
        ),
        sections=frozenset(),
        notes=(
            "gain: by how much the force MAE of a structure fell, below 0 where it rose",
            "top tenth: mean error before → after of the structures whose error fell "
            "most; they were chosen by that fall, so it says nothing of the others",
        ),
    )


def _lines(row: BesidePaper) -> list[tuple[str, ...]]:
    shown = number(row.value)
    theirs = f"{'> ' if row.more_than else ''}{shown}"
    if row.plus_minus is not None:
        theirs += f" ± {row.plus_minus:g}"
    unit = "" if row.unit in {"1", "count", "factor"} else f" {row.unit}"
    what = f"{row.metric}, {row.split}"
    head = (what, row.mode, row.model, theirs + unit, row.confidence)
    if not row.ours:
        return [(*head, *("–" for _ in range(len(_COLUMNS) - len(head))))]
    return [(*head, *_cells(one)) for one in row.ours]


def _cells(one: OursBeside) -> tuple[str, ...]:
    return (
        *(f"{one.model} ({one.suite})", one.mode),
        *(_value(one.per_structure), _value(one.pooled), f"{one.n:,}"),
        *("yes" if one.same_data else "no", one.within),
    )


def _value(value: MetricValue | None) -> str:
    if value is None:
        return "–"
    factor = 1000.0 if value.unit == "eV/Å" else 1.0
    text = number(factor * value.value)
    if value.low is None or value.high is None:
        return text
    return f"{text} [{number(factor * value.low)}, {number(factor * value.high)}]"


def _change(pair: tuple[float, float] | None) -> str:
    return "–" if pair is None else f"{number(1e3 * pair[0])} → {number(1e3 * pair[1])}"


def _notes(rows: Sequence[BesidePaper]) -> tuple[str, ...]:
    why = dict.fromkeys(
        f"{one.suite}, not the same data: {one.because}"
        for row in rows
        for one in row.ours
        if one.because
    )
    sources = dict.fromkeys(row.source for row in rows)
    return (*why, *(f"source: {source}" for source in sources))
