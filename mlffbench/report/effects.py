"""Effects: one comparison in words, with its interval and never more than its verdict."""

from mlffbench.core.record import MetricValue
from mlffbench.report.schema import BoardRow, Cell
from mlffbench.report.tables.display_units import factor, number

_MOST = 1000.0
"""Ratio above which a number says no more than that something is broken."""
_WHOLE = 9.5
"""Percent from which no decimal is shown."""


def growth_of(row: BoardRow, split: str, where: str) -> str:
    """Say by how much an error grows out of distribution.

    Args:
        row: A model's baseline, with a ratio on that split.
        split: Name of the OOD split.
        where: The split in words.
    """
    cell = row.cells[split]
    mode = "" if row.mode == "baseline" else f" {row.mode}"
    who = f"On {where} the force error of {row.label}{mode}"
    ratio = cell.ratio
    if ratio is None:
        return f"{who} has no ID control"
    if cell.gap_verdict == "worse":
        return f"{who} grows {_times(ratio)}"
    if cell.gap_verdict == "better":
        return f"{who}, largest against its ID control, is still lower: {_times(ratio)}"
    if cell.gap_verdict == "cannot be judged":
        return f"{who} is {_times(ratio)} its ID control's, which cannot be judged: " + (
            cell.gap_reason
        )
    return (
        f"{who} is {_times(ratio)} its ID control's, "
        "the largest ratio of all splits and no significant difference"
    )


def effect_of(row: BoardRow, split: str, cost: float | None) -> str:
    """Say what a mode does to baseline's error, and whether its prior does better.

    Args:
        row: The mode.
        split: Name of the split.
        cost: Times that it takes as long as baseline; None where not measured.
    """
    cell = row.cells[split]
    if cell.to_baseline is None:
        return f"{row.mode} has no baseline to compare with"
    price = f" at {number(cost)}× the time" if cost else ""
    return (
        f"{row.mode} {_change(cell, cell.to_baseline)}{price}{_beside_prior(row, cell)}"
    )


def _change(cell: Cell, ratio: MetricValue) -> str:
    if ratio.value == ratio.low == ratio.high == 1:
        return "changes nothing"
    share = _signed(ratio.value - 1)
    if cell.verdict == "cannot be judged":
        return f"changes it by {share} {_span(ratio)}, which cannot be judged: " + (
            cell.reason
        )
    if cell.verdict == "no difference":
        return f"makes no significant difference {_span(ratio)}"
    size = _plain(ratio.value - 1)
    ends = sorted(_size(end) for end in (ratio.low, ratio.high) if end is not None)
    around = f" (95 % {'–'.join(_shown(end) for end in ends)})" if ends else ""
    if cell.verdict == "better":
        return f"removes {size} %{around} of it"
    return f"raises it by {size} %{around}"


def _beside_prior(row: BoardRow, cell: Cell) -> str:
    """Return the second half of a sentence: the mode against the prior it follows."""
    if not row.prior:
        return ""
    if cell.to_prior is None:
        return f" ({row.prior}, its prior, was not run beside it)"
    times = _times(cell.to_prior)
    return {
        "better": f" and is better than {row.prior} itself, {times}",
        "worse": f" and is worse than {row.prior} itself, {times}",
        "no difference": f" and is no better than {row.prior} itself, {times}",
    }.get(
        str(cell.prior_verdict),
        f" and cannot be told from {row.prior} itself, {times}",
    )


def _times(ratio: MetricValue) -> str:
    """Return a ratio with its interval, or with the range of its molecules."""
    if ratio.value > _MOST:
        return f"more than {number(_MOST)}×"
    value = f"{factor(ratio.value)}×"
    if ratio.low is not None and ratio.high is not None:
        return f"{value} (95 % {factor(ratio.low)}–{factor(ratio.high)})"
    if ratio.lowest is not None and ratio.highest is not None:
        return f"{value} (molecules {factor(ratio.lowest)}–{factor(ratio.highest)})"
    return f"{value} (no interval)"


def _span(ratio: MetricValue) -> str:
    """Return the interval of a change in percent, or the range of the molecules."""
    if ratio.low is not None and ratio.high is not None:
        return f"(95 % {_signed(ratio.low - 1)} to {_signed(ratio.high - 1)})"
    if ratio.lowest is not None and ratio.highest is not None:
        ends = _signed(ratio.lowest - 1), _signed(ratio.highest - 1)
        return f"(molecules {ends[0]} to {ends[1]})"
    return "(no interval)"


def _signed(share: float) -> str:
    """Return a change in percent with its sign, a true minus."""
    return f"{'−' if share < 0 else '+'}{_plain(share)} %"


def _size(ratio: float) -> float:
    return abs(100 * (ratio - 1))


def _plain(share: float) -> str:
    """Return the size of a share in percent, one decimal below ten."""
    return _shown(abs(100 * share))


def _shown(percent: float) -> str:
    return f"{percent:,.0f}" if percent >= _WHOLE else f"{percent:.1f}"
