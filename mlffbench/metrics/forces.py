"""How wrong the forces are. Each docstring is the definition that reports print.

All functions are of type `Metric`: labels in eV/Å, one `Samples` under the label ``""``.
F is the reference, F̂ the prediction. A structure with a force that is not finite in
either is missing; energies play no part.
"""

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.metrics.pairs import COMPONENTS, ForcePair, pair_forces
from mlffbench.metrics.samples import Samples

ZERO_FORCE = 1e-10
"""Force norm in eV/Å below which a force has no direction."""


def forces_mae(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean absolute error of the forces over all 3N Cartesian components, pooled.

    Σ |F̂ − F| / Σ 3N over all structures, in eV/Å. Every component counts the same, so a
    structure counts by its number of atoms.
    """
    pair = pair_forces(prediction, reference, structures)
    return {"": pair.average(absolute_error(pair), weight_per_atom=COMPONENTS)}


def forces_mae_structure(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean absolute error of the force components of each structure, then their mean.

    Every structure counts the same whatever its size, in eV/Å.
    """
    return {"": forces_mae(prediction, reference, structures)[""].alike()}


def forces_rmse(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Root-mean-square error of the forces over all 3N Cartesian components, pooled.

    √(Σ (F̂ − F)² / Σ 3N) over all structures, in eV/Å: the root of one pooled mean, never
    a mean of roots, so it is at least as large as the pooled MAE.
    """
    pair = pair_forces(prediction, reference, structures)
    squared = (pair.error**2).mean(axis=1)
    return {"": pair.average(squared, weight_per_atom=COMPONENTS)}


def forces_cosine(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean over all atoms of the cosine of the angle between F̂ and F, from −1 to 1.

    1 is the right direction. A norm below 1e-10 eV/Å has no direction: where both are
    below it the atom scores 1, where only one is it scores −1.
    """
    pair = pair_forces(prediction, reference, structures)
    return {"": pair.average(_cosine(pair), weight_per_atom=1)}


def forces_magnitude(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean over all atoms of ||F̂| − |F||, in eV/Å.

    The error of the force norms, whatever the direction.
    """
    pair = pair_forces(prediction, reference, structures)
    error = np.abs(norm(pair.predicted) - norm(pair.reference))
    return {"": pair.average(error, weight_per_atom=1)}


def absolute_error(pair: ForcePair) -> NDArray[np.float64]:
    """Return each atom's mean absolute error over its 3 components, in eV/Å."""
    error: NDArray[np.float64] = np.abs(pair.error).mean(axis=1)
    return error


def norm(forces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Euclidean norm of each atom's force; (n_atoms, 3) -> (n_atoms,)."""
    length: NDArray[np.float64] = np.sqrt((forces**2).sum(axis=1))
    return length


def _cosine(pair: ForcePair) -> NDArray[np.float64]:
    squares = (pair.predicted**2).sum(axis=1), (pair.reference**2).sum(axis=1)
    zero = [np.sqrt(square) < ZERO_FORCE for square in squares]
    dot = (pair.predicted * pair.reference).sum(axis=1)
    # √(a²·b²), not |a|·|b|: then parallel identical forces give exactly 1
    length = np.sqrt(squares[0] * squares[1])
    either = zero[0] | zero[1]
    cosine = np.divide(dot, length, out=np.full(len(dot), -1.0), where=~either)
    cosine[zero[0] & zero[1]] = 1.0
    clipped: NDArray[np.float64] = np.clip(cosine, -1.0, 1.0)
    return clipped
