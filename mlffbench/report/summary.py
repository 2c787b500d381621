"""Summary: a board in words, made from its numbers, with the uncertainty inside."""

from collections.abc import Sequence

from mlffbench.core.record import MetricValue
from mlffbench.report.effects import effect_of, growth_of
from mlffbench.report.schema import Board, BoardRow, BoardSplit

_SHIFTS = {
    "elements": "unseen elements",
    "force_norm": "larger forces than trained on",
    "connectivity": "new connectivity",
    "size": "more atoms than trained on",
    "charge": "unseen charges",
    "composition": "new combinations and longer chains",
    "spin": "open shells",
}
_LEVEL = 0.05
_SAID = {"better", "worse"}


def summarise(board: Board) -> tuple[str, ...]:
    """Return the sentences of a board: who leads, one per model, how many verdicts.

    Nothing is said that its numbers do not say: a model without an OOD split, a mode
    without baseline or a difference without interval is named as such.
    """
    told = [_leaders(board)] if len(board.rows) > 1 else []
    for label in dict.fromkeys(row.label for row in board.rows if row.kind != "floor"):
        told.append(_model([row for row in board.rows if row.label == label], board))
    told.append(_verdicts(board))
    return tuple(sentence for sentence in told if sentence)


def shift_in_words(split: BoardSplit) -> str:
    """Return what is new in a split."""
    if split.shift is None:
        return split.name
    return f"{_SHIFTS.get(split.shift, split.shift.replace('_', ' '))} ({split.name})"


def _leaders(board: Board) -> str:
    """Say which model has the least error on the OOD splits, and who may be as good."""
    ood = [split.name for split in board.splits if split.role.startswith("ood")]
    won: dict[str, list[BoardRow]] = {}
    shared, others = 0, 0
    for split in ood:
        there = [
            (error.value, row)
            for row in board.rows
            if (error := row.cells[split].error) is not None and row.cells[split].leading
        ]
        if not there:
            continue
        best = min(there, key=lambda pair: pair[0])[1]
        won.setdefault(best.label, []).append(best)
        shared += any(row.label != best.label for _, row in there)
        others += any(
            row.label != best.label and row.cells[split].error is not None
            for row in board.rows
        )
    if not won:
        return ""
    ranked = sorted(won.values(), key=lambda rows: -len(rows))
    wins = ", ".join(f"{_won_with(rows)} on {len(rows)}" for rows in ranked)
    what = "OOD split" if len(ood) == 1 else "OOD splits"
    start = f"Least force error on {len(ood)} {what}: {wins}"
    if len({row.label for row in board.rows}) == 1:
        return f"{start}."
    if not others:
        return f"{start}; no other model has a number there."
    if not shared:
        return f"{start}; every other model with a number there is worse."
    where = "each" if shared == len(ood) else f"{shared} of them"
    return f"{start}; on {where}, another model is not shown to be worse."


def _won_with(rows: Sequence[BoardRow]) -> str:
    """Return a model with the modes that won."""
    modes = list(dict.fromkeys(row.mode for row in rows))
    if modes == ["baseline"]:
        return rows[0].label
    return f"{rows[0].label} with {' or '.join(modes)}"


def _model(rows: Sequence[BoardRow], board: Board) -> str:
    """Say how much a model's error grows where it grows most, and what modes do there."""
    base = next((row for row in rows if row.mode == "baseline"), rows[0])
    splits = {split.name: split for split in board.splits}
    worst = _grows_most(base)
    ratio = base.cells[worst].ratio if worst else None
    if worst is None or ratio is None:
        sentence = (
            f"{base.label}: no OOD split has a number to compare with its ID control."
        )
    else:
        told = [
            effect_of(row, worst, _cost(row, base)) for row in rows if row is not base
        ]
        grown = growth_of(base, worst, shift_in_words(splits[worst]))
        sentence = "; ".join([grown, *filter(None, told)]) + "."
    return " ".join([sentence, *_warnings(rows, base, splits)])


def _warnings(
    rows: Sequence[BoardRow], base: BoardRow, splits: dict[str, BoardSplit]
) -> list[str]:
    """Return what a reader must not miss: harm, no forces, one molecule, nothing."""
    told = []
    for row in rows:
        who = base.label if row is base else f"{base.label} {row.mode}"
        harmed = [
            name
            for name, cell in row.cells.items()
            if cell.verdict == "worse" and splits[name].role.startswith("id")
        ]
        if harmed:
            told.append(f"{row.mode} makes it worse on {_and(harmed)}, an ID control.")
        energy = _where(row, "relative_energy_verdict")
        if energy:
            told.append(f"Relative energies got worse with {row.mode} on {_and(energy)}.")
        useless = _where(row, "zero_verdict")
        if useless:
            told.append(f"On {_and(useless)} {who} is worse than no forces at all.")
    for name, cell in base.cells.items():
        if cell.outlier is not None:
            share = f"{100 * cell.outlier.share:.0f} %"
            told.append(
                f"On {name} {cell.outlier.molecule} alone is {share} of the error."
            )
    missing = [
        name
        for name, split in splits.items()
        if split.role.startswith("ood") and base.cells[name].error is None
    ]
    if missing:
        told.append(f"It evaluated nothing on {_and(missing)}.")
    return told


def _where(row: BoardRow, attribute: str) -> list[str]:
    """Return the splits where a verdict of a row is ``worse``."""
    return [n for n, cell in row.cells.items() if getattr(cell, attribute) == "worse"]


def _and(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _grows_most(row: BoardRow) -> str | None:
    """Return the split of the largest ratio; growth that is significant comes first."""
    there = {name: cell.ratio for name, cell in row.cells.items() if cell.ratio}
    sure: dict[str, MetricValue] = {
        n: r for n, r in there.items() if row.cells[n].gap_verdict == "worse"
    }
    judged = {
        n: r for n, r in there.items() if row.cells[n].gap_verdict != "cannot be judged"
    }
    found = sure or judged or there
    return max(found, key=lambda name: found[name].value) if found else None


def _verdicts(board: Board) -> str:
    """Say how many verdicts the board holds and how many stay when all are counted."""
    if not board.n_verdicts:
        return ""
    said, kept, open_ones = 0, 0, 0
    for row in board.rows:
        for cell in row.cells.values():
            for verdict, adjusted in (
                (cell.verdict, cell.adjusted_p),
                (cell.prior_verdict, cell.prior_adjusted_p),
            ):
                open_ones += verdict == "cannot be judged"
                said += verdict in _SAID
                kept += verdict in _SAID and (adjusted or 0) < _LEVEL
    start = f"This board holds {board.n_verdicts} verdicts of a mode against baseline or "
    start += f"its prior: {said} better or worse"
    many = f", of which {kept} stay so after Holm's correction for looking at all"
    judged = f"; {open_ones} cannot be judged" if open_ones else ""
    return f"{start}{many if said else ''}{judged}."


def _cost(row: BoardRow, base: BoardRow) -> float | None:
    """Return how many times longer a mode takes than baseline."""
    ours, theirs = row.seconds_per_structure, base.seconds_per_structure
    return ours / theirs if ours and theirs else None
