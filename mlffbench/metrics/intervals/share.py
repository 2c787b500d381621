"""Share: a sum over structures as a part of another, with an interval over molecules."""

import math

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.record import MetricValue
from mlffbench.metrics.intervals.interval import find_interval
from mlffbench.metrics.intervals.resampling import draw_counts, resample
from mlffbench.metrics.molecules import Molecules


def share(
    part: NDArray[np.float64],
    whole: NDArray[np.float64],
    molecules: Molecules,
    *,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    seed: int = 0,
) -> MetricValue | None:
    """Return Σ part / Σ whole over the structures that have both.

    Unlike a weighted mean, a structure may add to the part alone: one whose error a
    refinement raises although no choice would have lowered it counts against it.

    Args:
        part: Shape (n_systems,), NaN where missing.
        whole: Shape (n_systems,), NaN where missing.
        molecules: The molecules of the structures.
        bounds: Values the share cannot leave.
        seed: Seed of the resampling.

    Returns:
        Dimensionless; None when the whole is not above 0. No interval with one molecule,
        or when the whole of a resample is not above 0, which happens when few molecules
        carry it.
    """
    there = np.isfinite(part) & np.isfinite(whole)
    sums = np.zeros((len(molecules.keys), 2))
    np.add.at(sums, molecules.index[there], np.stack([part, whole], axis=1)[there])
    present = np.unique(molecules.index[there])
    sums = sums[present]
    total = sums.sum(axis=0)
    if not len(present) or not total[1] > 0:
        return None
    value = float(total[0] / total[1])
    ends: dict[str, float] = {}
    if len(present) > 1:
        drawn = resample(draw_counts(len(present), seed=seed), sums)
        if (drawn[:, 1] > 0).all():
            ratios = drawn[:, 0] / drawn[:, 1]
            found = find_interval(value, ratios, len(present), bounds=bounds)
            if math.isfinite(found.low) and math.isfinite(found.high):
                ends = found._asdict()
    return MetricValue(
        value=value,
        unit="1",
        n=int(there.sum()),
        n_molecules=len(present),
        **ends,
    )
