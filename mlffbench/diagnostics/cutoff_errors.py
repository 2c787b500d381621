"""Oracle: the error of every structure at every cutoff RR could have chosen.

THIS READS REFERENCE LABELS. It is no refinement and no mode: it says, after the fact, how
much the best choice of a cutoff would have gained, so that what a refinement captured of
it can be judged. Nothing here may be called on the way to a prediction.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.models.cutoffs import Candidate

BATCH = 64
"""Structures per call of a model."""


def _predict(model: ForceField, structures: Structures) -> Labels:
    return model.predict(structures)


def errors_by_cutoff(
    candidates: Sequence[Candidate],
    structures: Structures,
    reference: Labels,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    predict: Callable[[ForceField, Structures], Labels] = _predict,
    advance: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float64]:
    """Return the force error of each structure with each candidate.

    Args:
        candidates: The model at every cutoff.
        structures: Float64 on the CPU.
        reference: Their reference labels.
        device: Where the model computes.
        dtype: What it computes in.
        predict: How a model is asked, where it may raise.
        advance: Told how many predictions of a structure were made.

    Returns:
        Shape (n_candidates, n_systems), in eV/Å: mean absolute error over the force
        components; NaN where the model failed or there is no reference.
    """
    shape = (len(candidates), structures.n_systems)
    errors = np.full(shape, np.nan)
    sizes = structures.sizes.tolist()
    forces = torch.split(reference.forces.detach().double().cpu(), sizes)
    for first in range(0, structures.n_systems, BATCH):
        places = range(first, min(first + BATCH, structures.n_systems))
        batch = structures.select(places)
        shown = batch.to(device=device, dtype=dtype)
        expected = torch.cat([forces[place] for place in places])
        for number, candidate in enumerate(candidates):
            labels = predict(candidate.model, shown)
            atoms = (labels.forces.double().cpu() - expected).abs().mean(1)
            mean = torch.zeros(len(places), dtype=torch.float64)
            mean = mean.index_add_(0, batch.system, atoms) / batch.sizes
            mean[list(labels.failures)] = torch.nan
            errors[number, first : first + len(places)] = mean.numpy()
            advance(len(places))
    return errors
