"""Spread: how far a mean over molecules, or the ratio of two, may lie from the truth.

Molecules are independent, their atoms and frames are not: every formula here is one over
molecules. Errors are positive and skewed, so means are judged by their logarithm. Few
molecules show too little of a long tail; so the variance of the logarithm of a mean is
the larger of two estimates:

- the jackknife, which assumes nothing: leave one molecule out at a time;
- that of a lognormal distribution, from the variance S² of the molecules' log errors:
  (S² + `SKEW` S⁴) / n. Cox's method (Land 1972, Technometrics 14, 145; Zhou & Gao 1997,
  Statist. Med. 16, 783) has ½ in place of `SKEW`; an arithmetic mean needs more.

n is Kish's number of equally weighted molecules, 1 / Σ p², and the quantile is Student's
with (molecules + n) / 2 − 1 degrees of freedom. A comparison has one such variance too:
that of the logarithm of the ratio. Its interval, its p value and its verdict are three
readings of the same two numbers and cannot contradict each other, and the interval of the
difference covers exactly the values that the same pairs of means reach.

``docs/methods.md`` has the coverage, ``docs/coverage.py`` the simulation behind it. All
functions take arrays (..., n_molecules, 2) of Σ w·v and Σ w, and work on these two axes.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from mlffbench.metrics.intervals.interval import TAIL

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

FEWEST = 5
"""Molecules below which no interval is given: none was found that covers."""
SKEW = 0.75
"""Weight of S⁴ in the variance of the logarithm of a mean; ½ for a lognormal's own."""
_LEAST = 0.02
"""Share of the mean below which an error counts as this share: there is no log 0."""
_ANGLES = np.linspace(0.0, 2 * np.pi, 721)[:-1]
"""Directions in which the edge of a joint region is searched; 0 and π are its ends."""


class Spread(NamedTuple):
    """A number, its variance and the degrees of freedom of that variance.

    Attributes:
        centre: The number; a natural logarithm where errors are judged by theirs.
        variance: Of the number.
        freedom: For Student's t.
    """

    centre: Floats
    variance: Floats
    freedom: Floats

    @property
    def reach(self) -> Floats:
        """Half the width of the 95 % interval, in the unit of the centre."""
        reach: Floats = stdtrit(self.freedom, 1 - TAIL) * np.sqrt(self.variance)
        return reach

    @property
    def p_value(self) -> Floats:
        """Two-sided p value of a centre of 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(self.centre) / np.sqrt(self.variance)
        t = np.where(self.centre == 0, 0.0, t)
        p: Floats = 2 * stdtr(self.freedom, -t)
        return p


class _Side(NamedTuple):
    """One sample: its mean and both variances of it.

    Attributes:
        mean: Σ w·v / Σ w.
        weight: Shape (..., n), share of each molecule in Σ w.
        effective: Kish's number of molecules.
        logs: Shape (..., n), log error of each molecule minus their mean.
        squared: S², their variance.
        left_out: Shape (..., n), what leaving a molecule out does to the centre.
        model: Lognormal variance; 0 where numbers are not judged by their logarithm.
        jackknife: Jackknife variance.
    """

    mean: Floats
    weight: Floats
    effective: Floats
    logs: Floats
    squared: Floats
    left_out: Floats
    model: Floats
    jackknife: Floats


def spread_of_mean(sums: Floats, *, log: bool) -> Spread:
    """Return the spread of Σ w·v / Σ w, or of its logarithm.

    Args:
        sums: Shape (..., n_molecules, 2).
        log: Whether the number is judged by its logarithm; then it must be above 0.
    """
    side = _side(sums, log=log)
    n = sums.shape[-2]
    variance = np.maximum(side.model, side.jackknife)
    centre = np.log(side.mean) if log else side.mean
    return Spread(centre, variance, (n + side.effective) / 2 - 1)


def spread_of_pair(this: Floats, other: Floats, *, log: bool) -> Spread:
    """Return the spread of this minus other over the same molecules; of logs, the ratio.

    S² is here the variance of the logarithms of each molecule's own ratio, and n the
    number of molecules that the two error sums rest on.

    Args:
        this: Shape (..., n_molecules, 2).
        other: The same shape and the same weights, molecule by molecule.
        log: As in `spread_of_mean`.
    """
    n = this.shape[-2]
    a, b = _side(this, log=log), _side(other, log=log)
    moved = a.left_out - b.left_out
    variance = (n - 1) / n * (moved**2).sum(axis=-1)
    centre = (np.log(a.mean) - np.log(b.mean)) if log else a.mean - b.mean
    if log:
        own = a.logs - b.logs
        own = own - (a.weight * own).sum(axis=-1, keepdims=True)
        few = a.effective / (a.effective - 1)
        squared = (a.weight * own**2).sum(axis=-1) * few
        shares = [
            s[..., 0] / s[..., 0].sum(axis=-1, keepdims=True) for s in (this, other)
        ]
        effective = 1 / (((shares[0] + shares[1]) / 2) ** 2).sum(axis=-1)
        variance = np.maximum(variance, (squared + squared**2 / 2 * few) / effective)
    return Spread(centre, variance, np.full(np.shape(centre), n - 1.0))


def spread_of_gap(
    this: Floats, other: Floats, *, log: bool, shared: tuple[Rows, Rows] | None = None
) -> Spread:
    """Return the spread of this minus other, two samples; of logs, the ratio.

    The degrees of freedom are Welch's.

    Args:
        this: Shape (..., n_this, 2).
        other: Shape (..., n_other, 2).
        log: As in `spread_of_mean`.
        shared: Rows of this and of other that are the same molecules, in one order;
            None where no molecule is in both.
    """
    a, b = _side(this, log=log), _side(other, log=log)
    n_a, n_b = this.shape[-2], other.shape[-2]
    centre = (np.log(a.mean) - np.log(b.mean)) if log else a.mean - b.mean
    parts = [np.maximum(side.model, side.jackknife) for side in (a, b)]
    freedoms = [(n_a + a.effective) / 2 - 1, (n_b + b.effective) / 2 - 1]
    variance = parts[0] + parts[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        welch = variance**2 / (parts[0] ** 2 / freedoms[0] + parts[1] ** 2 / freedoms[1])
    freedom = np.where(variance > 0, welch, np.minimum(*freedoms))
    if shared is not None:
        variance = np.maximum(
            a.model + b.model - 2 * _common_model(a, b, shared),
            a.jackknife + b.jackknife - 2 * _common_jackknife(a, b, shared),
        )
        variance = np.maximum(variance, 0.0)
    return Spread(centre, variance, freedom)


def difference_ends(
    this: Spread, other: Spread, compared: Spread, *, log: bool, root: bool = False
) -> tuple[float, float]:
    """Return the interval of the difference of two means that belongs to a comparison.

    The pairs of means that the data allow fill an ellipse whose width along the compared
    number is the interval of that number. The ends are the least and the largest
    difference in it: 0 is among them exactly where the interval of the ratio holds 1.

    Args:
        this: Spread of one mean; a single number each, as the others.
        other: Spread of the other.
        compared: Spread of their difference, or of their ratio where ``log``.
        log: Whether the spreads are of logarithms.
        root: Whether the numbers compared are the roots of the means.
    """
    across, along = _edge(this, other, compared)
    if not log:
        return float(across.min()), float(across.max())
    power = 0.5 if root else 1.0
    with np.errstate(over="ignore"):
        found = 2 * np.exp(power * along) * np.sinh(power * across / 2)
    return float(found.min()), float(found.max())


def linear_ratio_ends(
    this: Spread, other: Spread, compared: Spread
) -> tuple[float, float] | None:
    """Return the interval of the ratio of two means that are not judged by logarithms.

    It is that of Fieller: the ratios in the ellipse of `difference_ends`; None where the
    other mean may be 0 or less.
    """
    across, along = _edge(this, other, compared)
    below = along - across / 2
    if not (below > 0).all():
        return None
    found = (along + across / 2) / below
    return float(found.min()), float(found.max())


def _edge(this: Spread, other: Spread, compared: Spread) -> tuple[Floats, Floats]:
    """Return this minus other and their middle along the edge of the joint region."""
    variance = float(compared.variance)
    both = float(this.variance) + float(other.variance)
    middle = max(both / 2 - variance / 4, 0.0)
    common = (float(this.variance) - float(other.variance)) / 2
    scale = np.sqrt(variance * middle)
    tilt = np.clip(common / scale, -1.0, 1.0) if scale > 0 else 0.0
    t = float(stdtrit(float(compared.freedom), 1 - TAIL))
    cos, sin = np.cos(_ANGLES), np.sin(_ANGLES)
    across = float(compared.centre) + t * np.sqrt(variance) * cos
    centre = (float(this.centre) + float(other.centre)) / 2
    rest = np.sqrt(1 - tilt**2)
    along = centre + t * np.sqrt(middle) * (tilt * cos + rest * sin)
    return across, along


def _side(sums: Floats, *, log: bool) -> _Side:
    values, weights = sums[..., 0], sums[..., 1]
    n = sums.shape[-2]
    total, whole = values.sum(axis=-1), weights.sum(axis=-1)
    mean = total / whole
    weight = weights / whole[..., None]
    effective = 1 / (weight**2).sum(axis=-1)
    # exactly 0 where a molecule changes nothing; -inf where it is all there is
    share = values / total[..., None] if log else weight
    with np.errstate(divide="ignore"):
        left_out = np.log1p(-share) - np.log1p(-weight) if log else None
    error = values / weights
    if left_out is None:
        left_out = weight * (mean[..., None] - error) / (1 - weight)
    jackknife = (n - 1) / n * (left_out**2).sum(axis=-1)
    logs, squared, model = error * 0, mean * 0, mean * 0
    if log:
        logs = np.log(np.maximum(error, _LEAST * mean[..., None]))
        logs = logs - (weight * logs).sum(axis=-1, keepdims=True)
        few = effective / (effective - 1)
        squared = (weight * logs**2).sum(axis=-1) * few
        model = (squared + SKEW * squared**2 * few) / effective
    return _Side(mean, weight, effective, logs, squared, left_out, model, jackknife)


def _common_model(a: _Side, b: _Side, shared: tuple[Rows, Rows]) -> Floats:
    """Return the lognormal covariance of two means from the molecules in both.

    Fewer than `FEWEST` shared molecules show no covariance: the interval stays wide.
    """
    if len(shared[0]) < FEWEST:
        return np.zeros_like(a.mean)
    product = a.weight[..., shared[0]] * b.weight[..., shared[1]]
    logs = a.logs[..., shared[0]] * b.logs[..., shared[1]]
    both, root = product.sum(axis=-1), np.sqrt(product)
    covariance = (root * logs).sum(axis=-1) / root.sum(axis=-1)
    few = np.sqrt(a.effective * b.effective / ((a.effective - 1) * (b.effective - 1)))
    covariance = np.maximum(covariance * few, 0.0)
    found: Floats = both * (covariance + SKEW * covariance**2 * few)
    return np.minimum(found, np.sqrt(a.model * b.model))


def _common_jackknife(a: _Side, b: _Side, shared: tuple[Rows, Rows]) -> Floats:
    """Return the jackknife covariance of two means from the molecules in both."""
    n_a, n_b = a.weight.shape[-1], b.weight.shape[-1]
    scale = np.sqrt((n_a - 1) / n_a * (n_b - 1) / n_b)
    moved = a.left_out[..., shared[0]] * b.left_out[..., shared[1]]
    found: Floats = scale * moved.sum(axis=-1)
    return found
