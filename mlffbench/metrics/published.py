"""Quantities of Kreiman & Krishnapriyan's figures. Each docstring is the definition.

Functions are of type `Metric`: labels in eV/Å, one `Samples` per part. Whether a bar of
theirs averages per structure or pools components is not stated, so both are here. The
edges are those their bars stand between, read off the axes (docs/paper.md).
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.labels import Labels
from mlffbench.core.spectrum import spectra
from mlffbench.core.structures import Structures
from mlffbench.metrics.forces import absolute_error, norm
from mlffbench.metrics.pairs import COMPONENTS, pair_forces
from mlffbench.metrics.samples import Samples

Floats = NDArray[np.float64]
CONNECTIVITY_EDGES = (0.085, 0.195, 0.305, 0.415, 0.53, 0.645, 0.755, 0.865, 0.975)
"""Of the share of Laplacian eigenvalues in [0.9, 1.1]; outer bins are open."""
MEAN_NORM_EDGES = (0.05, 1.15, 2.25, 3.35, 4.45, 5.6, 6.75)
"""Of the mean atomic |F| of a structure in eV/Å; outer bins are open."""
NEAR_ONE = (0.9, 1.1)
CUTOFF = 5.0
"""Å: radius of their graphs."""
GOOD = 0.025
"""eV/Å: their bar for a molecule that is predicted well."""


def bin_labels(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Return the names of the bins between edges, in order.

    Example:
        >>> bin_labels(MEAN_NORM_EDGES)[:2]
        ('0.05-1.15', '1.15-2.25')
    """
    return tuple(f"{low:g}-{high:g}" for low, high in pairwise(edges))


def share_near_one(structures: Structures) -> Floats:
    """Return the share of Laplacian eigenvalues in [0.9, 1.1] of the graph at 5 Å.

    Returns:
        Shape (n_systems,), from 0 to 1; NaN without atoms, or in a cell so small that an
        atom would be its own neighbour.
    """
    try:
        share = spectra(structures, [CUTOFF]).share_within(*NEAR_ONE)[0]
    except DataError:
        if structures.n_systems == 1:
            return np.full(1, np.nan)
        each = [structures.select([place]) for place in range(structures.n_systems)]
        return np.concatenate([share_near_one(one) for one in each])
    found: Floats = share.cpu().numpy()
    return found


def forces_mae_by_connectivity(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean absolute error of the force components, pooled over structures of like graph.

    One number in eV/Å per bin of the share of eigenvalues in [0.9, 1.1] of the normalised
    Laplacian of the graph at 5 Å.
    """
    edges = CONNECTIVITY_EDGES
    return _binned(prediction, reference, structures, edges, _connectivity)


def forces_mae_structure_by_connectivity(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean absolute error of each structure's force components, then over like graphs.

    As `forces_mae_by_connectivity`, but every structure counts the same.
    """
    return _each(forces_mae_by_connectivity(prediction, reference, structures))


def forces_mae_by_mean_norm(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean absolute error of the force components, pooled over structures of like forces.

    One number in eV/Å per bin of the mean over the atoms of a structure of the norm of
    the reference force.
    """
    return _binned(prediction, reference, structures, MEAN_NORM_EDGES, _mean_norm)


def forces_mae_structure_by_mean_norm(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean absolute error of each structure's force components, then over like forces.

    As `forces_mae_by_mean_norm`, but every structure counts the same.
    """
    return _each(forces_mae_by_mean_norm(prediction, reference, structures))


def forces_good_share(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean over structures of whether the force MAE is below 25 meV/Å: their share.

    1 where the mean absolute error of the structure's force components is below, else 0.
    """
    pair = pair_forces(prediction, reference, structures)
    error = pair.average(absolute_error(pair), weight_per_atom=COMPONENTS)
    good = (error.value < GOOD).astype(np.float64)
    weight = error.evaluated.astype(np.float64)
    return {"": Samples.of(good, weight=weight, evaluated=error.evaluated)}


def _connectivity(reference: Labels, structures: Structures) -> Floats:  # noqa: ARG001
    return share_near_one(structures)


def _mean_norm(reference: Labels, structures: Structures) -> Floats:
    pair = pair_forces(reference, reference, structures)
    return pair.average(norm(pair.reference), weight_per_atom=1).value


def _binned(
    prediction: Labels,
    reference: Labels,
    structures: Structures,
    edges: tuple[float, ...],
    quantity: Callable[[Labels, Structures], Floats],
) -> dict[str, Samples]:
    """Return the pooled force error of the structures in each bin of a quantity."""
    pair = pair_forces(prediction, reference, structures)
    error = pair.average(absolute_error(pair), weight_per_atom=COMPONENTS)
    value = quantity(reference, structures)
    place = np.searchsorted(edges[1:-1], value, side="right")
    known = np.isfinite(value)
    return {
        label: error.where(known & (place == number))
        for number, label in enumerate(bin_labels(edges))
    }


def _each(parts: dict[str, Samples]) -> dict[str, Samples]:
    """Return the same samples, every structure counting the same."""
    return {
        label: replace(part, weight=part.evaluated.astype(np.float64))
        for label, part in parts.items()
    }
