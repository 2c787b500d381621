"""Association: does one number warn of another? AUROC and Spearman's ρ over molecules.

Molecules are resampled with all their structures (`metrics.intervals.resampling`). A
structure drawn twice counts twice: every resample is an exact weighted statistic, ties
included. Structures with a value that is not finite take no part.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.record import MetricValue
from mlffbench.metrics.intervals.interval import find_interval
from mlffbench.metrics.intervals.resampling import N_RESAMPLES, draw_counts
from mlffbench.metrics.molecules import Molecules

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]

MIN_PAIRS = 3
"""Structures below which a rank correlation says nothing."""
_FEWEST, _AT_ONCE = 200, 1_000_000
"""Resamples at least for large sets; weights held in memory at a time."""


class _Draws(NamedTuple):
    """How often each molecule of a union occurs in each resample, and who is in it."""

    drawn: NDArray[np.uint8]
    molecule: NDArray[np.int64]
    smallest: int
    n_molecules: int


def auroc(
    positive: Floats,
    negative: Floats,
    positive_groups: Sequence[str],
    negative_groups: Sequence[str],
    *,
    seed: int = 0,
) -> MetricValue | None:
    """Return P(positive > negative) + ½ P(positive = negative), with interval.

    0.5 means no separation; 1 that every positive lies above every negative, 0 below.
    Where the sides share no molecule they are resampled independently; else the union
    is, and a resample that leaves a side empty is dropped.

    Args:
        positive: Shape (n_positive,), values of one side.
        negative: Shape (n_negative,), values of the other.
        positive_groups: Molecule of each positive.
        negative_groups: Molecule of each negative.
        seed: Seed of the resampling.

    Returns:
        None when a side is empty; no interval when a side has fewer than two molecules.

    Raises:
        DataError: There is not one molecule per value.
    """
    above, above_groups = _finite(positive_groups, positive)
    below, below_groups = _finite(negative_groups, negative)
    if not len(above[0]) or not len(below[0]):
        return None
    values = np.concatenate([above[0], below[0]])
    side = np.arange(len(values)) < len(above[0])
    statistic = _auroc_of(values, side)
    draws = _draw([above_groups, below_groups], len(values), seed)
    return _with_interval(statistic, draws, bounds=(0.0, 1.0))


def spearman(
    x: Floats, y: Floats, groups: Sequence[str], *, seed: int = 0
) -> MetricValue | None:
    """Return Spearman's rank correlation, with interval.

    Args:
        x: Shape (n_systems,).
        y: Shape (n_systems,).
        groups: Molecule of each structure.
        seed: Seed of the resampling.

    Returns:
        None with fewer than `MIN_PAIRS` complete pairs, or where x or y is constant.

    Raises:
        DataError: There is not one molecule per value.
    """
    (first, second), kept = _finite(groups, x, y)
    if len(first) < MIN_PAIRS or not np.ptp(first) or not np.ptp(second):
        return None
    statistic = _spearman_of(first, second)
    draws = _draw([kept], len(first), seed)
    return _with_interval(statistic, draws, bounds=(-1.0, 1.0))


def _finite(
    groups: Sequence[str], *columns: Floats
) -> tuple[tuple[Floats, ...], list[str]]:
    """Return the columns and molecules of the structures whose values are all finite."""
    if any(len(column) != len(groups) for column in columns):
        found = ", ".join(str(len(column)) for column in columns)
        msg = f"{found} values for the molecules of {len(groups)} structures"
        raise DataError(msg)
    keep = np.flatnonzero(np.isfinite(np.stack(columns)).all(axis=0))
    return tuple(column[keep] for column in columns), [
        groups[row] for row in keep.tolist()
    ]


def _draw(sides: list[list[str]], n_values: int, seed: int) -> _Draws:
    """Draw the molecules of all sides; of sides without a common one, each its own."""
    sets = [Molecules.of(side) for side in sides]
    union = Molecules.of([group for side in sides for group in side])
    numbers = [len(molecules.keys) for molecules in sets]
    n_resamples = int(np.clip(4_000_000 // n_values, _FEWEST, N_RESAMPLES))
    if len(union.keys) == sum(numbers):
        drawn = [
            draw_counts(number, seed=seed, stream=stream, n_resamples=n_resamples)
            for stream, number in enumerate(numbers)
        ]
        offsets = np.cumsum([0, *numbers])
        index = np.concatenate([m.index + o for m, o in zip(sets, offsets, strict=False)])
        counts = np.concatenate(drawn, axis=1)
    else:
        counts = draw_counts(len(union.keys), seed=seed, n_resamples=n_resamples)
        index = union.index
    return _Draws(counts, index, min(numbers), len(union.keys))


def _with_interval(
    statistic: Statistic, draws: _Draws, *, bounds: tuple[float, float]
) -> MetricValue:
    """Return a statistic of all structures with the interval over its resamples."""
    n_values = len(draws.molecule)
    value = float(statistic(np.ones((1, n_values)))[0])
    ends: dict[str, float] = {}
    if draws.smallest > 1:
        step = max(1, _AT_ONCE // n_values)
        parts = [
            statistic(draws.drawn[start : start + step].astype(float)[:, draws.molecule])
            for start in range(0, len(draws.drawn), step)
        ]
        resampled = np.concatenate(parts)
        resampled = resampled[np.isfinite(resampled)]
        if len(resampled) > 1:
            found = find_interval(value, resampled, draws.smallest, bounds=bounds)
            ends = found._asdict()
    n_molecules = draws.n_molecules
    return MetricValue(value=value, unit="1", n=n_values, n_molecules=n_molecules, **ends)


def _auroc_of(values: Floats, is_positive: NDArray[np.bool_]) -> Statistic:
    """Return the function weights (n_resamples, n) -> AUROC (n_resamples,)."""
    order = np.argsort(values, kind="stable")
    starts = _starts_of_ties(values[order])
    positive = is_positive[order]

    def statistic(weights: Floats) -> Floats:
        ordered = weights[:, order]
        ups = np.add.reduceat(np.where(positive, ordered, 0.0), starts, axis=1)
        downs = np.add.reduceat(np.where(positive, 0.0, ordered), starts, axis=1)
        below = np.cumsum(downs, axis=1) - downs / 2
        pairs = ups.sum(axis=1) * downs.sum(axis=1)
        won: Floats = (ups * below).sum(axis=1)
        return _over(won, pairs)

    return statistic


def _spearman_of(x: Floats, y: Floats) -> Statistic:
    """Return the function weights (n_resamples, n) -> Spearman's ρ (n_resamples,)."""
    rank_x, rank_y = _ranks_of(x), _ranks_of(y)

    def statistic(weights: Floats) -> Floats:
        middle = (weights.sum(axis=1, keepdims=True) + 1) / 2
        a, b = rank_x(weights) - middle, rank_y(weights) - middle
        spread = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
        joint: Floats = (weights * a * b).sum(axis=1)
        return _over(joint, spread)

    return statistic


def _ranks_of(values: Floats) -> Statistic:
    """Return the function weights (n_resamples, n) -> mid-ranks (n_resamples, n)."""
    order = np.argsort(values, kind="stable")
    starts = _starts_of_ties(values[order])
    tie = np.empty(len(values), dtype=np.int64)
    tie[order] = np.searchsorted(starts, np.arange(len(values)), side="right") - 1

    def ranks(weights: Floats) -> Floats:
        sums = np.add.reduceat(weights[:, order], starts, axis=1)
        middle: Floats = np.cumsum(sums, axis=1) - (sums - 1) / 2
        return middle[:, tie]

    return ranks


def _over(part: Floats, whole: Floats) -> Floats:
    """Return part / whole, NaN where the whole is 0."""
    blank = np.full(len(part), np.nan)
    result: Floats = np.divide(part, whole, out=blank, where=whole > 0)
    return result


def _starts_of_ties(ascending: Floats) -> NDArray[np.int64]:
    """Return where each run of equal values starts."""
    return np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
