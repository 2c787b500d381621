"""Jacobian asymmetry: how far forces are from being the slope of any energy."""

from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnostic import Fitted, Measured, Sample
from mlffbench.diagnostics.distances.scan import Floats, scan_alone, score_moved

N_VECTORS = 3
"""Random directions; each costs two predictions."""
STEP = 2e-3
"""Å per unit of a random direction."""
UNMOVED = "its forces stay what they are when its atoms are moved"
SLOPE = 0.02
"""At or below it forces are the slope of an energy, as far as differences can tell."""


def jacobian_asymmetry(train: Sample) -> Fitted:
    """Share of the forces' Jacobian that no energy has: ‖J − Jᵀ‖ / 2‖J‖, from 0 to 1.

    Of random directions u and v by central differences, √(Σ(uᵀJv − vᵀJu)² /
    2Σ((uᵀJv)² + (vᵀJu)²)): three directions of normal components, the same for every
    structure of a size, so six predictions. Next to 0 where forces are the gradient of an
    energy, which the notes say; 0.7 where J is random. None where nothing that moves
    changes the forces, as of an atom alone.
    """
    return scan_alone(_measure, train)


def _measure(sample: Sample) -> Measured:
    found = score_moved(sample, _shaken, _asymmetry, "it has no atom", UNMOVED)
    known = found.values[np.isfinite(found.values)]
    if not len(known) or known.max() > SLOPE:
        return found
    told = f"not applicable: at most {known.max():.1g}, so forces are those of an energy"
    return Measured(found.values, found.reasons, (told,))


def _shaken(single: Structures) -> Tensor:
    """Return +v and −v of every direction, in order."""
    if not single.n_atoms:
        return torch.zeros((0, 0, 3), dtype=torch.float64)
    along = STEP * _directions(single.n_atoms)
    return torch.stack([along, -along], dim=1).flatten(0, 1)


def _directions(n_atoms: int) -> Tensor:
    generator = torch.Generator().manual_seed(n_atoms)
    shape = (N_VECTORS, n_atoms, 3)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _asymmetry(shifts: Tensor, _: Floats, forces: Floats) -> float:
    """Return the asymmetry of central differences of forces."""
    vectors = shifts[::2].numpy() / STEP
    turned = (forces[::2] - forces[1::2]) / (2 * STEP)  # J v of each direction
    products = np.einsum("iax,jax->ij", vectors, turned)
    pairs = [
        (products[i, j], products[j, i]) for i, j in combinations(range(N_VECTORS), 2)
    ]
    apart = sum((one - other) ** 2 for one, other in pairs)
    size = 2 * sum(one**2 + other**2 for one, other in pairs)
    return float(np.sqrt(apart / size)) if size else float("nan")
