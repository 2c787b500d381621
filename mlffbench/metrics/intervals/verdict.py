"""Verdict: what a comparison says in words, read from its one statistic."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.record import Verdict
from mlffbench.metrics.intervals.spread import FEWEST, Spread
from mlffbench.metrics.metric_card import MetricCard

Floats = NDArray[np.float64]
Sides = tuple[tuple[tuple[str, ...], Floats], tuple[tuple[str, ...], Floats]]
"""Molecule keys and sums of shape (n_molecules, 2) as errors: this and the other."""

HALF = 0.5
"""Share of the error above which one molecule decides a number."""
APART = 2.0
"""Factor: an interval that reaches beyond it both ways tells nothing."""
ROUNDING = 1e-5
"""Part of an error below which two are the same: what rounding in float32 changes."""


class Decisive(NamedTuple):
    """The molecule that carries most of an error.

    Attributes:
        group: Its key.
        share: Its part of the sum over all molecules.
    """

    group: str
    share: float


def judge(
    sides: Sides, spread: Spread | None, card: MetricCard, *, log: bool
) -> tuple[Verdict, str]:
    """Return what a comparison says, and why where it says nothing.

    Better or worse: the interval leaves no difference out. No difference: it does not,
    nor does it reach beyond a factor of `APART` both ways, and no molecule carries more
    than `HALF` of an error; or all of it is within `ROUNDING`. Else it cannot be judged.

    Args:
        sides: The molecules and errors compared.
        spread: The statistic; None without an interval.
        card: What is good.
        log: Whether the statistic is of the logarithm of the ratio.
    """
    smallest = min(len(keys) for keys, _ in sides)
    if smallest < FEWEST:
        plural = "" if smallest == 1 else "s"
        return "cannot be judged", f"{smallest} molecule{plural}, fewer than {FEWEST}"
    if spread is None:
        return "cannot be judged", "the interval is wider than a factor of 1,000"
    centre, reach = float(spread.centre), float(spread.reach)
    if abs(centre) + reach <= ROUNDING * (1.0 if log else _size(sides)):
        return "no difference", ""
    if abs(centre) > reach:
        lower_is_better = log or card.better == "lower"
        return ("better" if (centre < 0) == lower_is_better else "worse"), ""
    reason = _why_open(sides, centre, reach, card) if log else ""
    return ("cannot be judged" if reason else "no difference"), reason


def heaviest(keys: tuple[str, ...], sums: Floats) -> Decisive | None:
    """Return the molecule with the largest part of Σ w·v; None where that is 0."""
    total = float(sums[:, 0].sum())
    if not total > 0:
        return None
    row = int(sums[:, 0].argmax())
    return Decisive(keys[row], float(sums[row, 0]) / total)


def _size(sides: Sides) -> float:
    """Return the larger of two errors."""
    totals = [np.abs(sums.sum(axis=0)) for _, sums in sides]
    sizes = [float(error / weight) for error, weight in totals if weight > 0]
    return max(sizes, default=0.0)


def _why_open(sides: Sides, centre: float, reach: float, card: MetricCard) -> str:
    """Return why a difference that may be none cannot be called none; empty if it can."""
    found = [heaviest(keys, sums) for keys, sums in sides]
    decisive = max((one for one in found if one), key=lambda one: one.share)
    if decisive.share > HALF:
        return f"{decisive.group} alone carries {100 * decisive.share:.0f} % of the error"
    power = 0.5 if card.reduce == "root-mean" else 1.0
    low, high = (math.exp(power * end) for end in (centre - reach, centre + reach))
    if low < 1 / APART and high > APART:
        return f"it may be ×{_two(low)} as well as ×{_two(high)}"
    return ""


def _two(factor: float) -> str:
    """Return two significant digits without an exponent."""
    return np.format_float_positional(float(f"{factor:.2g}"), trim="-")
