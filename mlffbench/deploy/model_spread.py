"""The spread of several models: how far their forces are apart, atom by atom.

Energies of different levels of theory have different zeros, so they are not compared.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlffbench.deploy.prediction_files import Predicted

SPREAD = "forces_spread"
"""Name of the column, in eV/Å."""


def spread_of_forces(forces: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return how far the forces of some models are from their mean on each atom.

    Args:
        forces: Per model shape (n_atoms, 3), in eV/Å; NaN where it has none.

    Returns:
        Shape (n_atoms,), √(mean over models |F − mean F|²), in eV/Å; NaN where fewer
        than two models have forces.
    """
    stacked = np.stack(forces)
    known = np.isfinite(stacked.sum(axis=2))
    n = known.sum(0)
    filled = np.where(known[..., None], stacked, 0.0)
    mean = filled.sum(0) / np.maximum(n, 1)[:, None]
    squares = np.where(known, ((filled - mean) ** 2).sum(2), 0.0).sum(0)
    return np.where(n > 1, np.sqrt(squares / np.maximum(n, 1)), np.nan)


def with_spread(predictions: Sequence[Predicted]) -> list[Predicted]:
    """Return predictions of one file with the spread of the models of each mode.

    Its mean over the atoms of a structure is a column of the table. A mode that one model
    alone was run in stays as it is.
    """
    forces: dict[str, list[NDArray[np.float64]]] = {}
    for one in predictions:
        forces.setdefault(one.provenance["mode"], []).append(one.forces)
    spreads = {
        mode: spread_of_forces(alike) for mode, alike in forces.items() if len(alike) > 1
    }
    return [
        _annotated(one, spreads[one.provenance["mode"]])
        if one.provenance["mode"] in spreads
        else one
        for one in predictions
    ]


def _annotated(one: Predicted, atoms: NDArray[np.float64]) -> Predicted:
    """Return predictions with the spread on each atom, and its mean in the table."""
    means = mean_over_atoms(atoms, one.table["n_atoms"].to_numpy())
    return replace(
        one,
        table=one.table.assign(**{SPREAD: means}),
        per_atom={**one.per_atom, SPREAD: atoms},
    )


def mean_over_atoms(
    values: NDArray[np.float64], n_atoms: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the mean of each structure; NaN where an atom has no value.

    Args:
        values: Shape (n_atoms,).
        n_atoms: Atoms of each structure.
    """
    sums: NDArray[np.float64] = np.add.reduceat(values, np.cumsum(n_atoms) - n_atoms)
    return sums / n_atoms
