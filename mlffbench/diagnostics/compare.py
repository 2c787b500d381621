"""Compare: two samples in one diagnostic, and the error against the shift."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from mlffbench.core.record import MetricValue
from mlffbench.diagnostics.diagnosis import Contrast, CurveBin, Summary
from mlffbench.diagnostics.diagnostic import Floats, Measured
from mlffbench.metrics.intervals.estimates import estimate
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.metrics.molecules import Molecules
from mlffbench.metrics.samples import Samples

N_BINS = 24
"""Bins of a histogram."""
OUTSIDE = 0.5
"""Percent of the pooled values that the first and the last bin catch on each side."""
N_CURVE_BINS, MIN_IN_BIN = 8, 5
"""Bins of an error curve at most, and structures in each at least."""
ERROR = MetricCard(unit="eV/Å")
_WHOLE = 60


def summarize(measured: Measured) -> Summary:
    """Return count, middle and spread of some values."""
    found = finite(measured.values)
    missing = len(measured.values) - len(found)
    reasons = dict(Counter(measured.reasons.values()).most_common())
    if not len(found):
        return Summary(n=0, n_missing=missing, reasons=reasons, notes=measured.notes)
    low, median, high = np.percentile(found, [5, 50, 95]).tolist()
    return Summary(
        n=len(found),
        n_missing=missing,
        reasons=reasons,
        median=median,
        mean=float(found.mean()),
        spread=_spread(found),
        low=low,
        high=high,
        notes=measured.notes,
    )


def shared_edges(samples: Sequence[Floats]) -> Floats:
    """Return the edges of bins that serve all samples, each sample counting the same.

    Bins are equally wide but for the outermost, which reach to the smallest and largest
    value: half a percent of the values on each side does not decide about the rest.
    Whole numbers within 60 get one bin each.

    Returns:
        Shape (n_bins + 1,), strictly ascending; empty without values.
    """
    filled = [finite(values) for values in samples]
    filled = [values for values in filled if len(values)]
    if not filled:
        return np.zeros(0)
    pooled = np.concatenate(filled)
    least, most = float(pooled.min()), float(pooled.max())
    if bool((pooled == np.round(pooled)).all()) and most - least < _WHOLE:
        return np.arange(least - 0.5, most + 1.0)
    weights = np.concatenate([np.full(len(v), 1 / len(v)) for v in filled])
    order = np.argsort(pooled)
    shares = np.cumsum(weights[order]) / weights.sum()
    ends = np.searchsorted(shares, [OUTSIDE / 100, 1 - OUTSIDE / 100])
    low, high = pooled[order][np.minimum(ends, len(pooled) - 1)].tolist()
    margin = 1e-9 * max(1.0, abs(low), abs(high))
    if high - low <= margin:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, N_BINS + 1)
    edges[0], edges[-1] = min(low, least), max(high, most)
    return edges


def count(values: Floats, edges: Floats) -> tuple[int, ...]:
    """Return how many values fall into each bin."""
    if not len(edges):
        return ()
    return tuple(np.histogram(finite(values), edges)[0].tolist())


def contrast(
    this: Floats,
    other: Floats,
    edges: Floats,
    *,
    name: str,
    auroc: MetricValue | None = None,
) -> Contrast | None:
    """Return one sample against another; None where either has no value.

    Args:
        this: Shape (n_this,), NaN where missing.
        other: Shape (n_other,), likewise.
        edges: The shared bins.
        name: Name of the other sample.
        auroc: Of this against the other.
    """
    a, b = finite(this), finite(other)
    if not len(a) or not len(b):
        return None
    distance = float(wasserstein_distance(a, b))
    return Contrast(
        other=name,
        wasserstein=distance,
        effect=effect(distance, a, b),
        overlap=overlap(a, b, edges),
        auroc=auroc,
    )


def effect(distance: float, a: Floats, b: Floats) -> float | None:
    """Return a distance over the root mean square of two standard deviations.

    0 where the distance is 0; None where it is not, and both samples are constant.
    """
    scale = math.sqrt((_spread(a) ** 2 + _spread(b) ** 2) / 2)
    rounding = 1e-12 * max(float(np.abs(a).max()), float(np.abs(b).max()))
    if distance <= rounding:
        return 0.0
    return distance / scale if scale > rounding else None


def overlap(a: Floats, b: Floats, edges: Floats) -> float:
    """Return Σ min(p, q) of two histograms: 1 for equal ones, 0 for disjoint ones."""
    p, q = (np.asarray(count(values, edges)) / len(values) for values in (a, b))
    return float(np.minimum(p, q).sum())


def error_curve(
    values: Floats, errors: Floats, groups: Sequence[str]
) -> tuple[CurveBin, ...]:
    """Return the mean error in bins of about equally many structures.

    Equal values stay in one bin.

    Args:
        values: Shape (n_systems,), the diagnostic.
        errors: Shape (n_systems,), force MAE of each structure, in eV/Å.
        groups: Molecule of each structure.
    """
    rows = np.flatnonzero(np.isfinite(values) & np.isfinite(errors))
    bins = []
    for part in _equal_parts(values[rows]):
        mine = rows[part]
        samples = Samples.of(
            errors[mine], weight=np.ones(len(mine)), evaluated=np.full(len(mine), True)
        )
        molecules = Molecules.of([groups[row] for row in mine.tolist()])
        error = estimate(samples, molecules, card=ERROR)
        if error is not None:
            low, high = float(values[mine].min()), float(values[mine].max())
            bins.append(CurveBin(low=low, high=high, error=error))
    return tuple(bins)


def finite(values: Floats) -> Floats:
    """Return the values that are not NaN or infinite."""
    result: Floats = values[np.isfinite(values)]
    return result


def _equal_parts(values: Floats) -> list[NDArray[np.int64]]:
    """Return row numbers in ascending parts of about equal size, ties together."""
    n_parts = min(N_CURVE_BINS, len(values) // MIN_IN_BIN)
    if n_parts < 1:
        return []
    limits = np.unique(np.quantile(values, np.arange(1, n_parts) / n_parts))
    place = np.searchsorted(limits, values, side="right")
    parts = [np.flatnonzero(place == part) for part in range(len(limits) + 1)]
    return [part for part in parts if len(part)]


def _spread(values: Floats) -> float:
    return float(values.std())
