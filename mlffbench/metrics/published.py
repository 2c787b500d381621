"""Quantities of Kreiman & Krishnapriyan's figures. Each docstring is the definition.

Functions are of type `Metric`: labels in eV/Å, one `Samples` per part. Whether a bar of
theirs averages per structure or pools components is not stated, so both are here. The
edges are those their bars stand between, read off the axes (docs/paper.md).
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.labels import Labels
from mlffbench.core.spectrum import share_near_one
from mlffbench.core.structures import Structures
from mlffbench.metrics.forces import absolute_error, norm
from mlffbench.metrics.pairs import COMPONENTS, ForcePair, pair_forces
from mlffbench.metrics.samples import Samples

Floats = NDArray[np.float64]
CONNECTIVITY_EDGES = (0.085, 0.195, 0.305, 0.415, 0.53, 0.645, 0.755, 0.865, 0.975)
"""Of the share of Laplacian eigenvalues in [0.9, 1.1]; outer bins are open."""
MEAN_NORM_EDGES = (0.05, 1.15, 2.25, 3.35, 4.45, 5.6, 6.75)
"""Of the mean atomic |F| of a structure in eV/Å; outer bins are open."""
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


def forces_mae_by_connectivity(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean absolute error of the force components, pooled over structures of like graph.

    One number in eV/Å per bin of the share of eigenvalues in [0.9, 1.1] of the normalised
    Laplacian of the graph at 5 Å.
    """
    pair = pair_forces(prediction, reference, structures)
    return _binned(pair, share_near_one(structures, CUTOFF), CONNECTIVITY_EDGES)


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
    pair = pair_forces(prediction, reference, structures)
    norms = pair.average(norm(pair.reference), weight_per_atom=1)
    return _binned(pair, norms.value, MEAN_NORM_EDGES)


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
    weight = error.alike().weight
    return {"": Samples.of(good, weight=weight, evaluated=error.evaluated)}


def _binned(
    pair: ForcePair, value: Floats, edges: tuple[float, ...]
) -> dict[str, Samples]:
    """Return the pooled force error of the structures in each bin of a quantity."""
    error = pair.average(absolute_error(pair), weight_per_atom=COMPONENTS)
    place = np.searchsorted(edges[1:-1], value, side="right")
    known = np.isfinite(value)
    return {
        label: error.where(known & (place == number))
        for number, label in enumerate(bin_labels(edges))
    }


def _each(parts: dict[str, Samples]) -> dict[str, Samples]:
    """Return the same samples, every structure counting the same."""
    return {label: part.alike() for label, part in parts.items()}
