"""Survival: the share of trajectories that are stable, and for how long."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Survival:
    """A Kaplan-Meier curve.

    Attributes:
        time: Shape (n,), in ps: 0, then every time at which something happened.
        share: Shape (n,), share that lives after that time.
        low: Shape (n,), lower end of the pointwise 95 % interval (log-log, Greenwood);
            NaN where it is not defined: before the first and after the last failure.
        high: Shape (n,), upper end, likewise.
        at_risk: Shape (n,), int64, trajectories alive just before that time.
    """

    time: Floats
    share: Floats
    low: Floats
    high: Floats
    at_risk: NDArray[np.int64]

    def restricted_mean(self, horizon: float) -> float:
        """Return the area under the curve up to a time: the mean stable time, in ps."""
        edges = np.append(self.time[self.time < horizon], horizon)
        heights = self.share[: len(edges) - 1]
        return float((heights * np.diff(edges)).sum())

    def at(self, time: float) -> float:
        """Return the share that lives after a time."""
        return float(self.share[np.searchsorted(self.time, time, side="right") - 1])


def kaplan_meier(stable: Floats, failed: NDArray[np.bool_]) -> Survival:
    """Return the survival curve of trajectories.

    Each trajectory counts as independent, so the interval speaks of these molecules; how
    much others differ is what an interval over molecules says.

    Args:
        stable: Shape (n,), times of failure, or of the end for those that live, in ps.
        failed: Shape (n,), whether a trajectory failed.

    Example:
        >>> curve = kaplan_meier(np.array([1.0, 2.0, 2.0]), np.array([True, False, True]))
        >>> curve.time.tolist(), curve.share.round(3).tolist()
        ([0.0, 1.0, 2.0], [1.0, 0.667, 0.333])
    """
    if not failed.any():
        # nothing happened: the curve is flat and has no interval
        time = np.unique(np.append(0.0, stable))
        return Survival(
            time=time,
            share=np.ones(len(time)),
            low=np.full(len(time), np.nan),
            high=np.full(len(time), np.nan),
            at_risk=_at_risk(stable, time),
        )
    from scipy.stats import CensoredData, ecdf  # a second of every command otherwise

    data = CensoredData(uncensored=stable[failed], right=stable[~failed])
    curve = ecdf(data).sf
    with warnings.catch_warnings():  # it warns where it is not defined: NaN says so
        warnings.simplefilter("ignore", RuntimeWarning)
        ends = curve.confidence_interval(CONFIDENCE, method="log-log")
    time, share = curve.quantiles, curve.probabilities
    low, high = ends.low.probabilities, ends.high.probabilities
    if time[0] > 0:
        time, share = np.append(0.0, time), np.append(1.0, share)
        low, high = np.append(np.nan, low), np.append(np.nan, high)
    return Survival(
        time=time, share=share, low=low, high=high, at_risk=_at_risk(stable, time)
    )


def _at_risk(stable: Floats, time: Floats) -> NDArray[np.int64]:
    count: NDArray[np.int64] = (stable[None, :] >= time[:, None]).sum(axis=1)
    return count
