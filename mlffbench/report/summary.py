"""Summary: a board in words, made from its numbers, with the uncertainty inside."""

from collections.abc import Sequence

from mlffbench.core.record import MetricValue
from mlffbench.report.schema import Board, BoardRow, BoardSplit
from mlffbench.report.tables.display_units import number

_SHIFTS = {
    "elements": "unseen elements",
    "force_norm": "larger forces than trained on",
    "connectivity": "new connectivity",
    "size": "more atoms than trained on",
    "charge": "unseen charges",
}


def summarise(board: Board) -> tuple[str, ...]:
    """Return the sentences of a board: who leads, then one per model.

    Nothing is said that its numbers do not say: a model without an OOD split, a mode
    without baseline or a difference without interval is named as such.
    """
    told = [_leaders(board)] if len(board.rows) > 1 else []
    for label in dict.fromkeys(row.label for row in board.rows if row.kind != "floor"):
        told.append(_model([row for row in board.rows if row.label == label], board))
    return tuple(sentence for sentence in told if sentence)


def shift_in_words(split: BoardSplit) -> str:
    """Return what is new in a split."""
    if split.shift is None:
        return split.name
    return f"{_SHIFTS.get(split.shift, split.shift.replace('_', ' '))} ({split.name})"


def span(value: MetricValue, *, percent: bool = False, low_first: bool = True) -> str:
    """Return the 95 % interval as ``(95 % 4.2–6.0)``; says so where there is none."""
    if value.low is None or value.high is None:
        return "(no interval: one molecule)"
    ends = (value.low, value.high) if low_first else (value.high, value.low)
    if percent:
        return f"(95 % {_percent(ends[0])} to {_percent(ends[1])})"
    return f"(95 % {number(ends[0])}–{number(ends[1])})"


def _leaders(board: Board) -> str:
    """Say who has the least error on the OOD splits, and who cannot be told apart."""
    ood = [split for split in board.splits if split.role.startswith("ood")]
    best: dict[str, int] = {}
    shared = 0
    for split in ood:
        there = [
            (error.value, row)
            for row in board.rows
            if (error := row.cells[split.name].error) is not None
            and row.cells[split.name].leading
        ]
        if not there:
            continue
        row = min(there, key=lambda pair: pair[0])[1]
        best[_name(row)] = best.get(_name(row), 0) + 1
        shared += len(there) > 1
    if not best:
        return ""
    ranked = sorted(best.items(), key=lambda pair: -pair[1])
    wins = ", ".join(f"{name} on {count}" for name, count in ranked)
    tied = (
        "on each, some others are not significantly worse"
        if shared == len(ood)
        else f"on {shared} of them, others are not significantly worse"
        if shared
        else "every other is significantly worse there"
    )
    what = "OOD split" if len(ood) == 1 else "OOD splits"
    return f"Least force error on {len(ood)} {what}: {wins}; {tied}."


def _model(rows: Sequence[BoardRow], board: Board) -> str:
    """Say how much a model's error grows where it grows most, and what modes do there."""
    base = next((row for row in rows if row.mode == "baseline"), rows[0])
    splits = {split.name: split for split in board.splits}
    worst = _grows_most(base)
    missing = [
        name
        for name, split in splits.items()
        if split.role.startswith("ood") and base.cells[name].error is None
    ]
    if worst is None:
        return f"{base.label}: no OOD split has a number to compare with its ID control."
    ratio = base.cells[worst].ratio
    if ratio is None:  # the split was chosen among those that have one
        return ""
    where = shift_in_words(splits[worst])
    parts = [_growth(base, where, ratio)]
    told = [
        _effect(row, row.cells[worst].to_baseline, _cost(row, base))
        for row in rows
        if row is not base
    ]
    parts += [one for one in told if one]
    sentence = "; ".join(parts) + "."
    harmed = [
        row.mode
        for row in rows
        for name, cell in row.cells.items()
        if cell.verdict == "worse" and splits[name].role.startswith("id")
    ]
    if harmed:
        names = " and ".join(dict.fromkeys(harmed))
        sentence += f" {names} makes it worse on an ID control."
    if missing:
        sentence += f" It evaluated nothing on {' and '.join(missing)}."
    return sentence


def _grows_most(row: BoardRow) -> str | None:
    """Return the split of the largest ratio; growth that is significant comes first."""
    there = {name: cell.ratio for name, cell in row.cells.items() if cell.ratio}
    sure = {n: r for n, r in there.items() if r.low is not None and r.low > 1}
    found = sure or there
    return max(found, key=lambda name: found[name].value) if found else None


def _growth(row: BoardRow, where: str, ratio: MetricValue) -> str:
    """Say by how much the error grows; a growth that may be none is said to be that."""
    mode = "" if row.mode == "baseline" else f" {row.mode}"
    who = f"On {where} the force error of {row.label}{mode}"
    unclear = ratio.low is None or ratio.high is None or ratio.low <= 1 <= ratio.high
    if unclear:
        return (
            f"{who} is {number(ratio.value)}× its ID control's {span(ratio)}, "
            "the largest ratio of all splits and no significant difference"
        )
    verb = "grows" if ratio.value > 1 else "changes"
    return f"{who} {verb} {number(ratio.value)}× {span(ratio)}"


def _effect(row: BoardRow, ratio: MetricValue | None, cost: str) -> str:
    """Say what a mode does to baseline's error."""
    if ratio is None:
        return f"{row.mode} has no baseline to compare with"
    change = ratio.model_copy(
        update={
            "value": 1 - ratio.value,
            "low": None if ratio.high is None else 1 - ratio.high,
            "high": None if ratio.low is None else 1 - ratio.low,
        }
    )
    if change.value == change.low == change.high == 0:
        return f"{row.mode} changes nothing{cost}"
    if change.low is None or change.high is None:
        return f"{row.mode} changes it by {_percent(-change.value)} {span(change)}"
    if change.low <= 0 <= change.high:
        flipped = span(
            ratio.model_copy(
                update={"low": -change.high, "high": -change.low, "value": -change.value}
            ),
            percent=True,
        )
        return f"{row.mode} makes no significant difference {flipped}{cost}"
    if change.value > 0:
        ends = f"(95 % {_plain(change.low)}–{_plain(change.high)})"
        return f"{row.mode} removes {_plain(change.value)} % {ends} of it{cost}"
    ends = f"(95 % {_plain(change.high)}–{_plain(change.low)})"
    return f"{row.mode} raises it by {_plain(change.value)} % {ends}{cost}"


def _cost(row: BoardRow, base: BoardRow) -> str:
    """Say how much longer a mode takes than baseline."""
    ours, theirs = row.seconds_per_structure, base.seconds_per_structure
    if not ours or not theirs:
        return ""
    return f" at {number(ours / theirs)}× the time"


def _percent(share: float) -> str:
    """Return a change in percent with its sign, a true minus."""
    sign = "−" if share < 0 else "+"
    return f"{sign}{_plain(share)} %"


def _plain(share: float) -> str:
    """Return the size of a share in percent, one decimal below ten."""
    percent = abs(100 * share)
    return f"{percent:.0f}" if percent >= 9.5 else f"{percent:.1f}"  # noqa: PLR2004


def _name(row: BoardRow) -> str:
    return row.label if row.mode == "baseline" else f"{row.label} with {row.mode}"
