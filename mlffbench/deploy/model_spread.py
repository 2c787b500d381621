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
    made = []
    for one in predictions:
        mode = one.provenance["mode"]
        alike = [p for p in predictions if p.provenance["mode"] == mode]
        if len(alike) < 2:  # noqa: PLR2004
            made.append(one)
            continue
        atoms = spread_of_forces([p.forces for p in alike])
        means = mean_over_atoms(atoms, one.table["n_atoms"].to_numpy())
        table = one.table.assign(**{SPREAD: means})
        per_atom = {**one.per_atom, SPREAD: atoms}
        made.append(replace(one, table=table, per_atom=per_atom))
    return made


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
