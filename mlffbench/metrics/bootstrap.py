"""From samples to numbers with 95 % intervals over molecules.

Atoms of one structure and frames of one molecule are not independent, molecules are; so
molecules are what is resampled (a cluster bootstrap of the ratio Σ w·v / Σ w). Molecules
without an evaluated structure take no part. `Interval` says which interval and how well
it covers. The result depends on the seed, not on the order of structures.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.record import Comparison, MetricValue
from mlffbench.metrics.interval import Interval, find_interval
from mlffbench.metrics.metric_card import Better, MetricCard
from mlffbench.metrics.molecules import Molecules, Totals, sum_molecules
from mlffbench.metrics.resampling import draw_counts, resample
from mlffbench.metrics.samples import Samples

Verdict = Literal["better", "worse", "no difference", "undecided"]
Floats = NDArray[np.float64]


class WorstGroup(NamedTuple):
    """The molecule that a metric is worst for.

    Attributes:
        group: Its key.
        value: The metric over its structures.
    """

    group: str
    value: float


class _Pair(NamedTuple):
    """Two numbers to compare: this one and the other, and both in each resample."""

    this: float
    other: float
    resampled_this: Floats
    resampled_other: Floats


class _Basis(NamedTuple):
    """Structures and molecules behind a comparison; smallest: molecules of the fewer."""

    n: int
    n_molecules: int
    smallest: int


def estimate(
    samples: Samples, molecules: Molecules, *, card: MetricCard, seed: int = 0
) -> MetricValue | None:
    """Return the metric with its interval; None when no structure was evaluated.

    With one molecule there is a value but no interval.

    Args:
        samples: What the metric measured on each structure.
        molecules: The molecules of the same structures.
        card: How the samples become one number.
        seed: Seed of the resampling.

    Raises:
        DataError: Samples and molecules are not of the same structures.
    """
    totals = sum_molecules(samples, molecules)
    n_molecules = len(totals.keys)
    if n_molecules == 0:
        return None
    value = float(_reduce(totals.sums.sum(axis=0), card))
    interval = None
    if n_molecules > 1:
        counts = draw_counts(n_molecules, seed=seed)
        resampled = _reduce(resample(counts, totals.sums), card)
        interval = find_interval(value, resampled, n_molecules, bounds=card.bounds)
    basis = _Basis(totals.n, n_molecules, n_molecules)
    return _metric_value(value, card.unit, basis, interval)


def paired(
    a: Samples,
    b: Samples,
    molecules: Molecules,
    *,
    card: MetricCard,
    seed: int = 0,
) -> Comparison | None:
    """Return a against b on the structures both evaluated; None when there are none.

    Both meet the same resampled molecules, so what they share cancels. Better and worse
    are said of ``a``.

    A metric that couples structures (``energy_mae_relative``) needs both predictions cut
    to the structures they share first: `mlffbench.metrics.pairs.blank`.

    Args:
        a: Samples of one mode.
        b: Samples of the other on the same structures, in the same order.
        molecules: The molecules of these structures.
        card: How the samples become one number.
        seed: Seed of the resampling.

    Raises:
        DataError: The samples and molecules are not of the same structures.
    """
    totals_a = sum_molecules(a.where(b.evaluated), molecules)
    totals_b = sum_molecules(b.where(a.evaluated), molecules)
    n_molecules = len(totals_a.keys)
    if n_molecules == 0:
        return None
    counts = draw_counts(n_molecules, seed=seed)
    pair = _Pair(
        float(_reduce(totals_a.sums.sum(axis=0), card)),
        float(_reduce(totals_b.sums.sum(axis=0), card)),
        _reduce(resample(counts, totals_a.sums), card),
        _reduce(resample(counts, totals_b.sums), card),
    )
    return _compare(pair, _Basis(totals_a.n, n_molecules, n_molecules), card)


def gap(
    ood: Samples,
    ood_molecules: Molecules,
    control: Samples,
    control_molecules: Molecules,
    *,
    card: MetricCard,
    seed: int = 0,
) -> Comparison | None:
    """Return an OOD split against its ID control; None when either has nothing.

    ``"worse"``: the model is worse out of distribution. Where the splits share no
    molecule they are resampled independently; where they share some, the union is
    resampled, so that a shared molecule enters both sides or neither, and a resample
    that leaves a side empty is dropped. ``n`` counts the structures of both, and
    ``n_molecules`` the molecules of the union.

    Args:
        ood: Samples of the OOD split.
        ood_molecules: Its molecules.
        control: Samples of the ID control.
        control_molecules: Its molecules.
        card: How the samples become one number.
        seed: Seed of the resampling.

    Raises:
        DataError: Samples and molecules are not of the same structures.
    """
    this = sum_molecules(ood, ood_molecules)
    other = sum_molecules(control, control_molecules)
    if not this.keys or not other.keys:
        return None
    union = tuple(sorted({*this.keys, *other.keys}))
    if len(union) == len(this.keys) + len(other.keys):
        sums_this = resample(draw_counts(len(this.keys), seed=seed), this.sums)
        counts = draw_counts(len(other.keys), seed=seed, stream=1)
        sums_other = resample(counts, other.sums)
    else:
        counts = draw_counts(len(union), seed=seed)
        sums_this = resample(counts, _spread_over(union, this))
        sums_other = resample(counts, _spread_over(union, other))
        both = (sums_this[:, 1] > 0) & (sums_other[:, 1] > 0)
        sums_this, sums_other = sums_this[both], sums_other[both]
    pair = _Pair(
        float(_reduce(this.sums.sum(axis=0), card)),
        float(_reduce(other.sums.sum(axis=0), card)),
        _reduce(sums_this, card),
        _reduce(sums_other, card),
    )
    smallest = min(len(this.keys), len(other.keys))
    return _compare(pair, _Basis(this.n + other.n, len(union), smallest), card)


def worst_group(
    samples: Samples, molecules: Molecules, *, card: MetricCard
) -> WorstGroup | None:
    """Return the molecule with the worst value, the first by key among equals.

    None when no structure was evaluated.

    Raises:
        DataError: Samples and molecules are not of the same structures.
    """
    totals = sum_molecules(samples, molecules)
    if not totals.keys:
        return None
    values = _reduce(totals.sums, card)
    worst = int(values.argmax() if card.better == "lower" else values.argmin())
    return WorstGroup(totals.keys[worst], float(values[worst]))


def _reduce(sums: Floats, card: MetricCard) -> Floats:
    """Return the metric from Σ w·v and Σ w in the last axis."""
    mean: Floats = sums[..., 0] / sums[..., 1]
    return mean if card.reduce == "mean" else np.sqrt(mean)


def _spread_over(union: tuple[str, ...], totals: Totals) -> Floats:
    """Return the sums with rows of zeros for the molecules of the other side."""
    sums = np.zeros((len(union), 2))
    position = {key: row for row, key in enumerate(union)}
    sums[[position[key] for key in totals.keys]] = totals.sums
    return sums


def _compare(pair: _Pair, basis: _Basis, card: MetricCard) -> Comparison:
    difference = pair.this - pair.other
    interval = None
    if basis.smallest > 1:
        resampled = pair.resampled_this - pair.resampled_other
        interval = find_interval(difference, resampled, basis.smallest)
    return Comparison(
        difference=_metric_value(difference, card.unit, basis, interval),
        ratio=_ratio(pair, basis) if card.has_ratio and pair.other > 0 else None,
        verdict=_judge(interval, card.better),
    )


def _ratio(pair: _Pair, basis: _Basis) -> MetricValue:
    """Return this over the other; the interval is that of the difference of logarithms.

    There is none where the ratio is 0 or not finite in the data or in a resample.
    """
    ratio, interval = pair.this / pair.other, None
    positive = (pair.resampled_this > 0).all() and (pair.resampled_other > 0).all()
    if basis.smallest > 1 and ratio > 0 and positive:
        logarithm = np.log(pair.resampled_this) - np.log(pair.resampled_other)
        ends = find_interval(math.log(ratio), logarithm, basis.smallest)
        with np.errstate(over="ignore"):
            low, high = np.exp([ends.low, ends.high]).tolist()
            standard_error = float(np.std(np.exp(logarithm), ddof=1))
        if math.isfinite(high) and math.isfinite(standard_error):
            interval = Interval(low, high, standard_error)
    return _metric_value(ratio, "1", basis, interval)


def _judge(interval: Interval | None, better: Better) -> Verdict:
    """Return what the interval of a difference says."""
    if interval is None:
        return "undecided"
    if interval.low <= 0 <= interval.high:
        return "no difference"
    lower = interval.high < 0
    return "better" if lower == (better == "lower") else "worse"


def _metric_value(
    value: float, unit: str, basis: _Basis, interval: Interval | None
) -> MetricValue:
    ends = {} if interval is None else interval._asdict()
    return MetricValue(
        value=value, unit=unit, n=basis.n, n_molecules=basis.n_molecules, **ends
    )
