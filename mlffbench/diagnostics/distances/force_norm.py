"""Force norms: how hard the reference pulls. They need labels, so they are no alarm."""

import numpy as np
import torch

from mlffbench.diagnostics.diagnostic import Fitted, Measured, Sample, alone
from mlffbench.metrics.pairs import to_float64

_NO_FORCES = "no reference forces"


def mean_force_norm(train: Sample) -> Fitted:
    """Mean over the atoms of |F|, the norm of the reference force, in eV/Å."""
    return alone(lambda sample: _measure(sample, largest=False), train)


def largest_force_norm(train: Sample) -> Fitted:
    """Largest |F|, the norm of the reference force, of an atom, in eV/Å."""
    return alone(lambda sample: _measure(sample, largest=True), train)


def _measure(sample: Sample, *, largest: bool) -> Measured:
    if sample.reference is None:
        return Measured.nothing(sample, sample.why_absent("reference"))
    norms = torch.from_numpy(to_float64(sample.reference.forces)).norm(dim=1)
    structures = sample.structures
    values = torch.zeros(structures.n_systems, dtype=torch.float64)
    how = "amax" if largest else "mean"
    values.scatter_reduce_(0, structures.system.cpu(), norms, how, include_self=False)
    values[structures.sizes.cpu() == 0] = torch.nan
    result = np.where(np.isfinite(values.numpy()), values.numpy(), np.nan)
    missing = np.flatnonzero(np.isnan(result)).tolist()
    return Measured(result, dict.fromkeys(missing, _NO_FORCES))
