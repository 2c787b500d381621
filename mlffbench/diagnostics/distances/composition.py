"""Composition: elements, number of atoms, charge and spin, against training."""

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.card import format_elements
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnostic import (
    Fitted,
    Floats,
    Measured,
    Sample,
    alone,
    share,
)
from mlffbench.metrics.element_counts import composition

_NO_ATOMS = "no atoms"
_ROUNDING = 1e-12


def unseen_elements(train: Sample) -> Fitted:
    """Fraction of the atoms whose element does not occur in training."""
    known = np.unique(train.structures.numbers.cpu().numpy())

    def measure(sample: Sample) -> Measured:
        elements, counts = composition(sample.structures)
        unseen = ~np.isin(elements, known)
        notes: tuple[str, ...] = ()
        if unseen.any():
            names = format_elements(frozenset(elements[unseen].tolist()))
            n_with = int(counts[:, unseen].any(axis=1).sum())
            notes = (f"{share(n_with, len(counts), 'structure')} contain {names}",)
            if unseen.all():
                notes += ("no element of them occurs in training",)
        return _measured(_ratio(counts[:, unseen].sum(axis=1), counts), notes)

    return alone(measure, train)


def composition_distance(train: Sample) -> Fitted:
    """Distance ½ Σ_z |x_z − x̄_z| of element fractions x to training's mean ones.

    From 0 to 1, which means no element in common with training.
    """
    widest = int(train.structures.numbers.max()) if train.structures.n_atoms else 0
    fractions = _fractions(train.structures, widest)
    mean = fractions[np.isfinite(fractions).all(axis=1)].mean(axis=0)

    def measure(sample: Sample) -> Measured:
        difference = _fractions(sample.structures, widest) - mean
        distance = np.abs(difference).sum(axis=1) / 2
        return _measured(np.where(distance < _ROUNDING, 0.0, distance))

    return alone(measure, train)


def size(train: Sample) -> Fitted:
    """Number of atoms of a structure."""
    return alone(_size, train)


def charge_distance(train: Sample) -> Fitted:
    """Distance of the total charge to the nearest one that occurs in training, in e."""
    known = np.unique(train.structures.charge.cpu().numpy())
    return alone(
        lambda sample: _nearest(sample.structures.charge.cpu().numpy(), known), train
    )


def spin_distance(train: Sample) -> Fitted:
    """Distance of 2S + 1 to the nearest one that occurs in training."""
    known = np.unique(train.structures.multiplicity.cpu().numpy())
    return alone(
        lambda sample: _nearest(sample.structures.multiplicity.cpu().numpy(), known),
        train,
    )


def _nearest(values: NDArray[np.int64], known: NDArray[np.int64]) -> Measured:
    return Measured(np.abs(values[:, None] - known).min(axis=1).astype(np.float64))


def _size(sample: Sample) -> Measured:
    return Measured(sample.structures.sizes.cpu().numpy().astype(np.float64))


def _fractions(structures: Structures, widest: int) -> Floats:
    """Return element fractions; one column for all elements beyond the widest.

    Training has none there, so for distances to it one column is as good as many.
    """
    elements, counts = composition(structures)
    columns = np.zeros((len(counts), widest + 2))
    np.add.at(columns.T, np.minimum(elements, widest + 1), counts.T)
    return _ratio(columns, counts)


def _ratio(part: Floats | NDArray[np.int64], counts: NDArray[np.int64]) -> Floats:
    """Return parts over the number of atoms, NaN without atoms."""
    total = counts.sum(axis=1).astype(np.float64)
    total = total.reshape(-1, *[1] * (part.ndim - 1))
    blank = np.full(part.shape, np.nan)
    result: Floats = np.divide(part, total, out=blank, where=total > 0)
    return result


def _measured(values: Floats, notes: tuple[str, ...] = ()) -> Measured:
    missing = np.flatnonzero(np.isnan(values)).tolist()
    return Measured(values, dict.fromkeys(missing, _NO_ATOMS), notes)
