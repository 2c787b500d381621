"""Ranking: which diagnostic should a user trust to warn of a large error?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.record import MetricValue
from mlffbench.diagnostics.diagnosis import Rank
from mlffbench.diagnostics.diagnostic import Floats
from mlffbench.diagnostics.measure import Column
from mlffbench.metrics.association import auroc, spearman

WORST, BEYOND = 90.0, 95.0
"""Percentiles: of all errors, and of the ID errors, above which an error is large."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Errors:
    """The errors of all test structures, samples laid end to end.

    Attributes:
        values: Shape (n_systems,), force MAE of each structure in eV/Å; NaN where none.
        groups: Molecule of each.
        is_id: Shape (n_systems,), whether it is in an ID sample.
    """

    values: Floats
    groups: Sequence[str]
    is_id: NDArray[np.bool_]

    def percentile(self, level: float, *, only_id: bool = False) -> float | None:
        """Return a percentile of the errors; None without any."""
        chosen = np.isfinite(self.values) & (self.is_id if only_id else True)
        if not chosen.any():
            return None
        return float(np.percentile(self.values[chosen], level))


def rank(columns: Sequence[Column], errors: Errors, *, seed: int) -> tuple[Rank, ...]:
    """Return how well each diagnostic predicts the error, the best first.

    Sorted by Spearman's ρ over all test structures, ID and OOD. A distance from training
    is to grow with the error, so its sign counts; of the others the size of ρ does, and
    the sign says whether high or low values warn. What cannot be ranked comes last.

    Args:
        columns: The diagnostics of the test samples.
        errors: Their errors, in the same order of structures.
        seed: Seed of the intervals.
    """
    rows = [_rank(column, errors, seed) for column in columns]
    return tuple(sorted(rows, key=_strength, reverse=True))


def _rank(column: Column, errors: Errors, seed: int) -> Rank:
    values = np.concatenate([one.values for one in column.tests])
    both = np.isfinite(values) & np.isfinite(errors.values)
    if not both.any() or not np.ptp(values[both]):
        return _unranked(column, int(both.sum()))
    limits = errors.percentile(WORST), errors.percentile(BEYOND, only_id=True)
    warned = [
        None if limit is None else _warns(values, errors, both, limit, seed)
        for limit in limits
    ]
    return Rank(
        name=column.name,
        needs_labels="reference" in column.card.needs,
        is_distance=column.card.distance,
        n=int(both.sum()),
        spearman=spearman(values, errors.values, errors.groups, seed=seed),
        auroc_worst=warned[0],
        auroc_beyond_id=warned[1],
    )


def _unranked(column: Column, n: int) -> Rank:
    """Return the row of a diagnostic that is the same for every structure."""
    return Rank(
        name=column.name,
        needs_labels="reference" in column.card.needs,
        is_distance=column.card.distance,
        n=n,
        spearman=None,
        auroc_worst=None,
        auroc_beyond_id=None,
    )


def _warns(
    values: Floats, errors: Errors, both: NDArray[np.bool_], limit: float, seed: int
) -> MetricValue | None:
    """Return the AUROC of errors above a limit against the others."""
    large, small = both & (errors.values > limit), both & (errors.values <= limit)
    groups = np.asarray(errors.groups, dtype=np.str_)
    return auroc(
        values[large],
        values[small],
        groups[large].tolist(),
        groups[small].tolist(),
        seed=seed,
    )


def _strength(row: Rank) -> float:
    if row.spearman is None:
        return -math.inf
    rho = row.spearman.value
    return rho if row.is_distance else abs(rho)
