"""From sums over molecules to numbers with 95 % intervals, and their comparisons.

What each molecule adds to a metric is all that an interval needs, so samples may come
piece by piece. `metrics.intervals.estimates` does the same for samples at once.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.record import Comparison, MetricValue
from mlffbench.metrics.intervals.spread import (
    FEWEST,
    Spread,
    difference_ends,
    linear_ratio_ends,
    spread_of_gap,
    spread_of_mean,
    spread_of_pair,
)
from mlffbench.metrics.intervals.verdict import HALF, Decisive, heaviest, judge
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.metrics.molecules import Totals

Floats = NDArray[np.float64]
Ends = tuple[float, float]

WIDEST = math.log(1000.0)
"""An interval that reaches further than a factor of 1,000 either way is none."""


class WorstGroup(NamedTuple):
    """The molecule that a metric is worst for.

    Attributes:
        group: Its key.
        value: The metric over its structures.
    """

    group: str
    value: float


class _Pair(NamedTuple):
    """Two numbers to compare.

    Attributes:
        this: Sums of one, as errors.
        other: Sums of the other.
        values: Both numbers as the metric has them.
        shared: Rows of two splits that are the same molecules; None where none is.
        is_paired: Whether the rows of both are the same molecules, one by one.
        n: Structures behind it.
        n_molecules: Molecules behind it.
    """

    this: Totals
    other: Totals
    values: tuple[float, float]
    shared: tuple[NDArray[np.int64], NDArray[np.int64]] | None
    is_paired: bool
    n: int
    n_molecules: int


def mean_of(totals: Totals, *, card: MetricCard) -> MetricValue | None:
    """Return the metric with its interval; None when no structure was evaluated.

    With fewer than `FEWEST` molecules there is the range of the molecules instead.

    Args:
        totals: What each molecule adds to it.
        card: How the sums become one number.
    """
    n_molecules = len(totals.keys)
    if n_molecules == 0:
        return None
    value = float(_reduce(totals.sums.sum(axis=0), card))
    found = None
    if n_molecules >= FEWEST:
        sums = _as_errors(totals.sums, card)
        log = _is_log(card) and bool(sums[:, 0].sum() > 0)
        found = _of_mean(value, spread_of_mean(sums, log=log), card, log=log)
    singles = _reduce(totals.sums, card)
    return _number(value, card.unit, (totals.n, n_molecules), found, singles)


def pair_of(this: Totals, other: Totals, *, card: MetricCard) -> Comparison | None:
    """Return one against another on the same structures; None when there are none.

    What both share on a molecule cancels. Better and worse are said of ``this``.

    Args:
        this: Sums of one over the structures that both evaluated.
        other: Sums of the other over the same.
        card: How the sums become one number.
    """
    n = len(this.keys)
    if n == 0:
        return None
    values = _whole(this, card), _whole(other, card)
    return _compare(_Pair(this, other, values, None, True, this.n, n), card)


def gap_of(this: Totals, other: Totals, *, card: MetricCard) -> Comparison | None:
    """Return an OOD split against its ID control; None when either has nothing.

    Molecules in both are counted as the same. ``n`` counts the structures of both, and
    ``n_molecules`` the molecules of the union.

    Args:
        this: Sums of the OOD split.
        other: Sums of the ID control.
        card: How the sums become one number.
    """
    if not this.keys or not other.keys:
        return None
    place = {key: row for row, key in enumerate(other.keys)}
    both = [(row, place[key]) for row, key in enumerate(this.keys) if key in place]
    shared = None
    if both:
        rows = np.asarray(both, dtype=np.int64)
        shared = rows[:, 0], rows[:, 1]
    union = len(this.keys) + len(other.keys) - len(both)
    values = _whole(this, card), _whole(other, card)
    n = this.n + other.n
    return _compare(_Pair(this, other, values, shared, False, n, union), card)


def worst_of(totals: Totals, *, card: MetricCard) -> WorstGroup | None:
    """Return the molecule with the worst value, the first by key among equals.

    None when no structure was evaluated.
    """
    if not totals.keys:
        return None
    values = _reduce(totals.sums, card)
    worst = int(values.argmax() if card.better == "lower" else values.argmin())
    return WorstGroup(totals.keys[worst], float(values[worst]))


def decisive_of(totals: Totals) -> Decisive | None:
    """Return the molecule that carries more than `HALF` of the error; None if none does.

    With fewer than `FEWEST` molecules none is named: there is no interval either.
    """
    found = heaviest(totals.keys, totals.sums)
    if len(totals.keys) < FEWEST or found is None or found.share <= HALF:
        return None
    return found


def _reduce(sums: Floats, card: MetricCard) -> Floats:
    """Return the metric from Σ w·v and Σ w in the last axis."""
    mean: Floats = sums[..., 0] / sums[..., 1]
    return mean if card.reduce == "mean" else np.sqrt(mean)


def _whole(totals: Totals, card: MetricCard) -> float:
    return float(_reduce(totals.sums.sum(axis=0), card))


def _is_mirrored(card: MetricCard) -> bool:
    """Return whether the error is the distance from the best value, as of a cosine."""
    return card.better == "higher" and card.bounds[0] < 0 and card.bounds[1] < math.inf


def _is_log(card: MetricCard) -> bool:
    """Return whether the number is an error above 0, judged by its logarithm."""
    return _is_mirrored(card) or (card.better == "lower" and card.bounds[0] == 0)


def _as_errors(sums: Floats, card: MetricCard) -> Floats:
    """Return sums of the distance from the best value where that is not 0."""
    if not _is_mirrored(card):
        return sums
    away = np.maximum(card.bounds[1] * sums[:, 1] - sums[:, 0], 0.0)
    return np.stack([away, sums[:, 1]], axis=1)


def _of_mean(
    value: float, spread: Spread, card: MetricCard, *, log: bool
) -> tuple[float, float, float] | None:
    """Return low, high and standard error; None where they are not finite."""
    centre, reach = float(spread.centre), float(spread.reach)
    error = math.sqrt(float(spread.variance))
    if not math.isfinite(reach) or (_is_log(card) and not log):
        return None  # one molecule is all there is, or there is no error at all
    if log and reach > WIDEST:
        return None
    ends: Ends | None = centre - reach, centre + reach
    if log:
        power = 0.5 if card.reduce == "root-mean" else 1.0
        ends = _exp((centre - reach, centre + reach), power)
        error = math.exp(centre * power) * error * power
    if ends is None:
        return None
    if log and _is_mirrored(card):
        ends = card.bounds[1] - ends[1], card.bounds[1] - ends[0]
    low, high = max(ends[0], card.bounds[0]), min(ends[1], card.bounds[1])
    return min(low, value), max(high, value), error


def _exp(ends: Ends, power: float) -> Ends | None:
    """Return the exponentials; None where one is beyond floating point."""
    with np.errstate(over="ignore", under="ignore"):
        low, high = (float(np.exp(power * end)) for end in ends)
    return (low, high) if low > 0 and math.isfinite(high) else None


def _number(
    value: float,
    unit: str,
    basis: tuple[int, int],
    found: tuple[float, float, float] | None,
    singles: Floats,
) -> MetricValue:
    """Return a number with its interval, or with the range of its molecules."""
    more: dict[str, float] = {}
    if found is not None:
        more = dict(zip(("low", "high", "standard_error"), found, strict=True))
    elif len(singles) > 1 and np.isfinite(singles).all():
        more = {"lowest": float(singles.min()), "highest": float(singles.max())}
    n, n_molecules = basis
    return MetricValue(value=value, unit=unit, n=n, n_molecules=n_molecules, **more)


def _compare(pair: _Pair, card: MetricCard) -> Comparison:
    a, b = (_as_errors(side.sums, card) for side in (pair.this, pair.other))
    log = _is_log(card) and bool(a[:, 0].sum() > 0 and b[:, 0].sum() > 0)
    smallest = min(len(a), len(b))
    spread, ends = None, None
    if smallest >= FEWEST:
        with np.errstate(invalid="ignore"):
            spread = (
                spread_of_pair(a, b, log=log)
                if pair.is_paired
                else spread_of_gap(a, b, log=log, shared=pair.shared)
            )
            ends = _ends(a, b, spread, card, log=log)
    sides = (pair.this.keys, a), (pair.other.keys, b)
    verdict, reason = judge(sides, spread if ends else None, card, log=log)
    this, other = pair.values
    basis = pair.n, pair.n_molecules
    singles = _reduce(pair.this.sums, card)
    theirs = _reduce(pair.other.sums, card) if pair.is_paired else np.full(1, other)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = singles / theirs
    has_ratio = card.has_ratio and other > 0
    return Comparison(
        difference=_number(
            this - other, card.unit, basis, ends[0] if ends else None, singles - theirs
        ),
        ratio=_number(this / other, "1", basis, ends[1] if ends else None, ratios)
        if has_ratio
        else None,
        verdict=verdict,
        reason=reason,
        p_value=float(spread.p_value) if spread is not None and ends else None,
    )


_Found = tuple[float, float, float]


def _ends(
    a: Floats, b: Floats, spread: Spread, card: MetricCard, *, log: bool
) -> tuple[_Found, _Found | None] | None:
    """Return low, high and standard error of the difference and of the ratio."""
    this, other = spread_of_mean(a, log=log), spread_of_mean(b, log=log)
    reaches = [float(one.reach) for one in (spread, this, other)]
    if not all(map(math.isfinite, reaches)) or (log and reaches[0] > WIDEST):
        return None
    root = card.reduce == "root-mean"
    power = 0.5 if root else 1.0
    centre, reach = float(spread.centre), reaches[0]
    error = math.sqrt(float(spread.variance))
    low, high = difference_ends(this, other, spread, log=log, root=root)
    if log:
        ratio = _exp((centre - reach, centre + reach), power)
        if ratio is None or not math.isfinite(high) or not math.isfinite(low):
            return None
        scale = math.exp(power * (float(this.centre) + float(other.centre)) / 2)
        if _is_mirrored(card):
            low, high = -high, -low
        found = *ratio, power * error * math.exp(power * centre)
        return (low, high, scale * power * error), found
    # an error of exactly 0 over another has no interval
    fieller = None if _is_log(card) else linear_ratio_ends(this, other, spread)
    if fieller is None:
        return (low, high, error), None
    wide = error / float(other.centre)
    return (low, high, error), (max(fieller[0], 0.0), fieller[1], wide)
