"""Risk probe: the error that a model's own features foretell.

A ridge regression of log error on the mean and the spread of a structure's atomic
features, which stay as they are; fitted on the errors of labelled val halves, in which
every molecule counts the same. A val structure's own value is that of a fit which did
not see its molecule.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlffbench.screening.calibration import (
    FLOOR,
    LEAST_MOLECULES,
    SAME,
    fold_of,
    weights_of,
)
from mlffbench.screening.measured import Alarmed

Floats = NDArray[np.float64]
Probe = Callable[[Floats], Floats]

RISK = "risk_probe"
"""Name of the alarm, an error in eV/Å."""
PENALTIES = (1.0, 10.0, 100.0)
"""On the slopes of standardised features, in molecules; the one of least held-out error
is taken."""


def with_risk(
    known: Sequence[Alarmed], errors: Sequence[Floats], asked: Sequence[Alarmed]
) -> tuple[list[Alarmed], list[Alarmed]]:
    """Return all with the error that the features foretell, where it can be fitted.

    Args:
        known: Labelled structures, the val halves.
        errors: Force MAE of each of them, in eV/Å.
        asked: Any others.

    Returns:
        Both as they were where the model has no features, or fewer than
        `LEAST_MOLECULES` molecules have an error.
    """
    points = [_features_of(one) for one in (*known, *asked)]
    if not known or any(one is None for one in points):
        return list(known), list(asked)
    filled = [one for one in points if one is not None]
    features = np.concatenate(filled[: len(known)])
    targets = np.log(np.maximum(np.concatenate(errors), FLOOR))
    molecules = np.array([name for one in known for name in one.sample.structures.group])
    usable = np.isfinite(features).all(axis=1) & np.isfinite(targets)
    if len(set(molecules[usable])) < LEAST_MOLECULES:
        return list(known), list(asked)
    probe, held_out = _fitted(features[usable], targets[usable], molecules[usable])
    values = np.full(len(targets), np.nan)
    values[usable] = np.exp(held_out)
    stops = np.cumsum([len(one) for one in errors])[:-1]
    return (
        [_added(one, v) for one, v in zip(known, np.split(values, stops), strict=True)],
        [
            _added(one, np.exp(probe(mine)))
            for one, mine in zip(asked, filled[len(known) :], strict=True)
        ],
    )


def _added(one: Alarmed, values: Floats) -> Alarmed:
    return replace(one, alarms={**one.alarms, RISK: values})


def _features_of(one: Alarmed) -> Floats | None:
    """Return mean and standard deviation over the atoms, shape (n_systems, 2 n)."""
    if one.sample.embedding is None:
        return None
    values = one.sample.embedding.values.numpy()
    sizes = one.sample.structures.sizes.numpy()
    parts = np.split(values, np.cumsum(sizes)[:-1])
    return np.stack([np.concatenate([p.mean(axis=0), p.std(axis=0)]) for p in parts])


def _fitted(
    features: Floats, targets: Floats, molecules: NDArray[np.str_]
) -> tuple[Probe, Floats]:
    """Return the fit to everything, and what fits that saw no such molecule say."""
    weights = weights_of(molecules.tolist())
    folds = np.array([fold_of(name) for name in molecules.tolist()])
    tried = []
    for penalty in PENALTIES:
        held_out = np.empty(len(targets))
        for fold in np.unique(folds):
            out = folds == fold
            kept = ~out if not out.all() else out
            probe = _ridge(features[kept], targets[kept], weights[kept], penalty)
            held_out[out] = probe(features[out])
        tried.append((float(weights @ (targets - held_out) ** 2), penalty, held_out))
    _, penalty, held_out = min(tried, key=lambda one: one[0])
    return _ridge(features, targets, weights, penalty), held_out


def _ridge(features: Floats, targets: Floats, weights: Floats, penalty: float) -> Probe:
    total = weights.sum()
    centre, middle = weights @ features / total, float(weights @ targets / total)
    spread = np.sqrt(weights @ (features - centre) ** 2 / total)
    scale = np.where(spread > SAME, spread, 1.0)
    root = np.sqrt(weights)
    points = root[:, None] * (features - centre) / scale
    square = points.T @ points + penalty * np.eye(features.shape[1])
    slopes = np.linalg.solve(square, points.T @ (root * (targets - middle)))
    return lambda asked: middle + ((asked - centre) / scale) @ slopes
