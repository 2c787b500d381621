"""What a board says in words, from boards made by hand."""

from typing import Any

import pytest

from mlffbench.core.record import MetricValue, Outlier
from mlffbench.report.schema import Board, BoardRow, BoardSplit, Cell
from mlffbench.report.summary import summarise


def metric(
    value: float, low: float | None = None, high: float | None = None, **more: Any
):
    unit = {"unit": "1", "n": 12, "n_molecules": 6}
    return MetricValue(value=value, low=low, high=high, **unit, **more)


def split(name: str, role: str, shift: str | None = None) -> BoardSplit:
    return BoardSplit(
        name=name,
        role=role,
        shift=shift,
        shift_rule="",
        rule="",
        control="" if shift is None else "id",
        n=12,
        sha256="0",
        level_of_theory="x",
    )


def cell(error: float, **more: Any) -> Cell:
    counts = {"total": 12, "evaluated": 12, "skipped": 0, "failed": 0}
    return Cell(**counts, error=metric(error, error / 2, error * 2), **more)


def row(label: str, mode: str, ood: Cell, id_cell: Cell | None = None, prior: str = ""):
    return BoardRow(
        run=f"{label}/{mode}",
        label=label,
        model=label,
        mode=mode,
        unit="group",
        prior=prior,
        kind="model",
        cells={"id": id_cell or cell(0.1), "ood": ood},
    )


def board(*rows: BoardRow, n_verdicts: int = 0) -> Board:
    return Board(
        name="toy",
        suite="toy",
        suite_version=1,
        half="test",
        summary="",
        sentences=(),
        n_verdicts=n_verdicts,
        splits=(split("id", "id_test"), split("ood", "ood_test", "elements")),
        rows=rows,
    )


GROWN = {"ratio": metric(4.0, 2.0, 8.0), "gap_verdict": "worse"}


def test_models_are_counted_not_rows() -> None:
    mine = row("a", "baseline", cell(0.4, leading=True, **GROWN))
    better = row("a", "rr", cell(0.39, leading=True, **GROWN))
    other = row("b", "baseline", cell(0.9, leading=False, **GROWN))
    first = summarise(board(mine, better, other))[0]
    assert first == (
        "Least force error on 1 OOD split: a with rr on 1; "
        "every other model with a number there is worse."
    )
    tied = other.model_copy(
        update={"cells": {**other.cells, "ood": cell(0.9, leading=True, **GROWN)}}
    )
    assert summarise(board(mine, better, tied))[0].endswith(
        "on each, another model is not shown to be worse."
    )


def ttt(**more: Any) -> BoardRow:
    known = {
        "to_baseline": metric(0.34, 0.25, 0.45),
        "verdict": "better",
        "p_value": 0.001,
        "adjusted_p": 0.002,
        "leading": True,
        **GROWN,
    }
    return row("a", "ttt", cell(0.2, **{**known, **more}), prior="gfn2-xtb")


def test_the_prior_is_in_the_sentence() -> None:
    base = row("a", "baseline", cell(0.4, leading=True, **GROWN))
    close = ttt(to_prior=metric(1.03, 0.8, 1.3), prior_verdict="no difference")
    sentence = summarise(board(base, close, n_verdicts=4))[1]
    assert sentence == (
        "On unseen elements (ood) the force error of a grows 4.00× (95 % 2.00–8.00); ttt "
        "removes 66 % (95 % 55–75) of it and is no better than gfn2-xtb itself, 1.03× "
        "(95 % 0.800–1.30)."
    )
    alone = summarise(board(base, ttt()))[1]
    assert "of it (gfn2-xtb, its prior, was not run beside it)." in alone


def test_what_cannot_be_judged_says_why_and_gives_the_range() -> None:
    few = metric(0.5, lowest=0.4, highest=0.7)
    reason = "2 molecules, fewer than 5"
    base = row(
        "a",
        "baseline",
        cell(
            0.4,
            ratio=metric(3.0, lowest=2.0, highest=4.0),
            gap_verdict="cannot be judged",
            gap_reason=reason,
        ),
    )
    open_one = ttt(to_baseline=few, verdict="cannot be judged", reason=reason)
    sentence = summarise(board(base, open_one, n_verdicts=1))
    assert sentence[-1].endswith("0 better or worse; 1 cannot be judged.")
    assert (
        "is 3.00× (molecules 2.00–4.00) its ID control's, which cannot be judged: 2 "
        "molecules, fewer than 5; ttt changes it by −50 % (molecules −60 % to −30 %), "
        "which cannot be judged: 2 molecules, fewer than 5"
    ) in sentence[-2]


def test_harm_is_said() -> None:
    base = row(
        "a",
        "baseline",
        cell(
            0.4,
            zero_verdict="worse",
            outlier=Outlier(molecule="CCO", share=0.71),
            ratio=metric(13_304_002.0, 2.0, 1e9),
            gap_verdict="worse",
        ),
    )
    harm = cell(0.2, verdict="worse", relative_energy_verdict="worse")
    worse = ttt().model_copy(update={"cells": {**ttt().cells, "id": harm}})
    sentence = summarise(board(base, worse))[1]
    for part in (
        "grows more than 1,000×",
        "ttt makes it worse on id, an ID control.",
        "Relative energies got worse with ttt on id.",
        "On ood a is worse than no forces at all.",
        "On ood CCO alone is 71 % of the error.",
    ):
        assert part in sentence
    assert "13,304" not in sentence


def test_verdicts_are_counted_and_corrected() -> None:
    base = row("a", "baseline", cell(0.4, **GROWN))
    loose = ttt(adjusted_p=0.06)
    last = summarise(board(base, ttt(), loose, n_verdicts=2))[-1]
    assert last == (
        "This board holds 2 verdicts of a mode against baseline or its prior: 2 better "
        "or worse, of which 1 stay so after Holm's correction for looking at all."
    )


@pytest.mark.parametrize("verdict", ["better", "no difference"])
def test_a_growth_that_is_none_is_not_called_one(verdict: str) -> None:
    base = row(
        "a", "baseline", cell(0.4, ratio=metric(0.8, 0.6, 0.9), gap_verdict=verdict)
    )
    other = row("b", "baseline", cell(0.4))
    sentence = summarise(board(base, other))
    assert "grows" not in sentence[0]
    assert "0.800× (95 % 0.600–0.900)" in sentence[0]
    assert sentence[1] == "b: no OOD split has a number to compare with its ID control."
