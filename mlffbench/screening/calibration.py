"""Calibration: from alarms to an expected error with an interval that holds.

log error = a + Σ b·log alarm, a ridge regression in which every molecule counts the same.
Its residuals on molecules that it was not fitted to (cross-conformal, folds by molecule)
give the interval: a new molecule's residual lies between their 5 % and 95 % quantiles, as
long as it is exchangeable with the calibration molecules (Vovk, Ann. Math. Artif. Intell.
74, 9, 2015; molecules as groups: Dunn et al., J. Am. Stat. Assoc. 118, 2491, 2023).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError

Floats = NDArray[np.float64]

COVERAGE = 0.9
"""Share of new molecules whose error the interval holds."""
LEAST_MOLECULES = 20
"""Below it no interval of this coverage exists: 5 % of fewer is less than one."""
N_FOLDS = 10
RIDGE = 1.0
"""Penalty on the slopes of standardised alarms, in molecules."""
FLOOR = 1e-6
"""Alarms and errors below it count as it."""
SAME = 1e-9
"""Spread of log alarms at or below which all are the same: the rest is round-off."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Expected:
    """Expected errors of some structures, in eV/Å; NaN where an alarm is missing.

    Attributes:
        middle: Shape (n,), the median.
        low: Shape (n,), lower end of the interval.
        high: Shape (n,), upper end.
    """

    middle: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Calibration:
    """A regression of log error on log alarms, with residuals of unseen molecules.

    Attributes:
        names: The alarms.
        centre: Shape (n_alarms,), mean of their logarithms.
        scale: Shape (n_alarms,), their standard deviation.
        slopes: Shape (n_alarms,), of the standardised logarithms.
        intercept: Log of the error in eV/Å at the centre.
        below: Residual that 5 % of new molecules stay below; −inf where too few say.
        above: Residual that 5 % exceed; inf likewise.
        n_molecules: Molecules that calibrated it.
        n_structures: Structures.
    """

    names: tuple[str, ...]
    centre: Floats
    scale: Floats
    slopes: Floats
    intercept: float
    below: float
    above: float
    n_molecules: int
    n_structures: int

    @classmethod
    def of(
        cls, alarms: Mapping[str, Floats], errors: Floats, molecules: Sequence[str]
    ) -> Self:
        """Return the calibration of some structures whose errors are known.

        Args:
            alarms: Name -> shape (n,), positive; NaN where it could not be measured.
            errors: Shape (n,), force MAE in eV/Å; NaN where not known.
            molecules: Molecule of each structure.

        Raises:
            DataError: No structure has all alarms and an error.
        """
        names = tuple(alarms)
        points = _logs(alarms, names)
        targets = np.log(np.maximum(errors, FLOOR))
        known = np.isfinite(points).all(axis=1) & np.isfinite(targets)
        if not known.any():
            msg = (
                "no val structure has all alarms and finite reference forces; name a "
                "suite with labelled val splits that the model and the prior can compute"
            )
            raise DataError(msg)
        points, targets = points[known], targets[known]
        groups = [name for name, kept in zip(molecules, known, strict=True) if kept]
        weights = weights_of(groups)
        fit = _Line.of(points, targets, weights)
        residuals = _held_out(points, targets, groups, weights)
        n_molecules = len(set(groups))
        half = (1 - COVERAGE) / 2
        return cls(
            names=names,
            centre=fit.centre,
            scale=fit.scale,
            slopes=fit.slopes,
            intercept=fit.intercept,
            below=-group_quantile(-residuals, weights, n_molecules, 1 - half),
            above=group_quantile(residuals, weights, n_molecules, 1 - half),
            n_molecules=n_molecules,
            n_structures=len(groups),
        )

    @property
    def has_interval(self) -> bool:
        """Whether there were enough molecules for an interval."""
        finite = bool(np.isfinite([self.below, self.above]).all())
        return finite and self.n_molecules >= LEAST_MOLECULES

    def expect(self, alarms: Mapping[str, Floats]) -> Expected:
        """Return the expected errors of structures with these alarms."""
        points = _logs(alarms, self.names)
        line = _Line(self.centre, self.scale, self.slopes, self.intercept)
        middle = line.at(points)
        ends = (self.below, self.above) if self.has_interval else (np.nan, np.nan)
        low, high = (np.exp(middle + end) for end in ends)
        return Expected(middle=np.exp(middle), low=low, high=high)


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    centre: Floats
    scale: Floats
    slopes: Floats
    intercept: float

    @classmethod
    def of(cls, points: Floats, targets: Floats, weights: Floats) -> Self:
        total = weights.sum()
        centre = weights @ points / total
        spread = np.sqrt(weights @ (points - centre) ** 2 / total)
        scale = np.where(spread > SAME, spread, 1.0)
        scaled = (points - centre) / scale
        middle = float(weights @ targets / total)
        square = scaled.T @ (weights[:, None] * scaled) + RIDGE * np.eye(len(centre))
        slopes = np.linalg.solve(square, scaled.T @ (weights * (targets - middle)))
        return cls(centre, scale, slopes, middle)

    def at(self, points: Floats) -> Floats:
        return self.intercept + ((points - self.centre) / self.scale) @ self.slopes


def held_out_residuals(
    alarms: Mapping[str, Floats], errors: Floats, molecules: Sequence[str]
) -> Floats:
    """Return log error minus what fits say that did not see the molecule.

    Args:
        alarms: Name -> shape (n,), as for `Calibration.of`.
        errors: Shape (n,), in eV/Å.
        molecules: Of each structure.

    Returns:
        Shape (n,); NaN where an alarm or the error is missing.
    """
    points = _logs(alarms, tuple(alarms))
    targets = np.log(np.maximum(errors, FLOOR))
    known = np.isfinite(points).all(axis=1) & np.isfinite(targets)
    groups = [name for name, kept in zip(molecules, known, strict=True) if kept]
    found = np.full(len(targets), np.nan)
    found[known] = _held_out(points[known], targets[known], groups, weights_of(groups))
    return found


def weights_of(groups: Sequence[str]) -> Floats:
    """Return weights with which every molecule counts 1, however many conformers."""
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[inverse], dtype=np.float64)


def group_quantile(values: Floats, weights: Floats, n_groups: int, level: float) -> float:
    """Return what the value of one more molecule stays below with a probability.

    Args:
        values: Shape (n,), of structures.
        weights: Shape (n,), 1 per molecule in sum.
        n_groups: Molecules.
        level: The probability; inf where there are too few molecules for it.
    """
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    found = np.flatnonzero(reached >= level * (n_groups + 1) - 1e-9)
    return float(values[order][found[0]]) if len(found) else float("inf")


def fold_of(molecule: str) -> int:
    """Return the fold of a molecule: the same in every run."""
    return crc32(molecule.encode()) % N_FOLDS


def _held_out(
    points: Floats, targets: Floats, groups: Sequence[str], weights: Floats
) -> Floats:
    """Return target minus prediction of fits that did not see the molecule."""
    folds = np.array([fold_of(name) for name in groups])
    residuals = np.empty(len(targets))
    for fold in range(N_FOLDS):
        out = folds == fold
        if not out.any():
            continue
        kept = ~out if not out.all() else out
        line = _Line.of(points[kept], targets[kept], weights[kept])
        residuals[out] = targets[out] - line.at(points[out])
    return residuals


def _logs(alarms: Mapping[str, Floats], names: Sequence[str]) -> Floats:
    stacked = np.stack([np.asarray(alarms[name], dtype=np.float64) for name in names], 1)
    return np.log(np.maximum(stacked, FLOOR))
