"""A metric: the error of the worst atom."""

import numpy as np

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.metrics.pairs import pair_forces
from mlffbench.metrics.samples import Samples


def worst_atom(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean over structures of the largest norm of a force error on an atom, in eV/Å."""
    pair = pair_forces(prediction, reference, structures)
    error = np.zeros(structures.n_systems)
    np.maximum.at(error, pair.system, np.linalg.norm(np.nan_to_num(pair.error), axis=1))
    ones = np.ones(structures.n_systems)
    return {"": Samples.of(error, weight=ones, evaluated=pair.complete)}
