"""A diagnostic: how much wider or narrower a structure is than those of training."""

import numpy as np
import torch

from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnostic import Fitted, Floats, Measured, Sample, alone


def spread(train: Sample) -> Fitted:
    """Distance |r − r̄| of the radius of gyration r to training's mean r̄, in Å."""
    mean = _gyration(train.structures).mean()

    def measure(sample: Sample) -> Measured:
        return Measured(np.abs(_gyration(sample.structures) - mean))

    return alone(measure, train)


def _gyration(structures: Structures) -> Floats:
    x, system = structures.positions.double(), structures.system
    sizes = structures.sizes
    centre = x.new_zeros(structures.n_systems, 3).index_add(0, system, x)
    square = ((x - (centre / sizes[:, None])[system]) ** 2).sum(1)
    total = x.new_zeros(structures.n_systems).index_add(0, system, square)
    radius: Floats = torch.sqrt(total / sizes).cpu().numpy()
    return radius
