"""Bond scan: energy that appears from nowhere while a bond is stretched."""

import numpy as np
import torch
from ase.data import covalent_radii
from torch import Tensor

from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnostic import Fitted, Measured, Sample
from mlffbench.diagnostics.distances.scan import Floats, scan_alone, score_moved

N_BONDS = 2
"""Bonds of a structure that are scanned, spread over all of it."""
N_POINTS, STEP = 13, 0.02
"""Geometries along a bond, an odd number, and Å between them."""
_BONDED = 1.2
"""Atoms nearer than this times the sum of their covalent radii are bonded."""
UNBONDED = "no two atoms of it are bonded"
_SIMPSON = np.array([1.0, 4.0, 1.0]) / 3


def bond_scan(train: Sample) -> Fitted:
    """Largest energy that forces do not explain while bonds are stretched, in eV.

    Two bonds of a structure, each from −0.12 to +0.12 Å in 13 geometries. Over every
    double step the change of the energy is compared with the work of the forces by
    Simpson's rule: |ΔE + ∫F·dx|. A few meV at most on a smooth surface; a neighbour that
    jumps out of a truncated cutoff shows with its whole energy, and forces that are not
    the slope of the energy show with what they miss. Bonds across the edge of a periodic
    cell are not scanned.
    """
    return scan_alone(_measure, train)


def _measure(sample: Sample) -> Measured:
    return score_moved(sample, _stretched, _unexplained, UNBONDED, "no energy is finite")


def _stretched(single: Structures) -> Tensor:
    """Return how the atoms of each scanned bond move apart, half a step each."""
    positions, numbers = single.positions.double(), single.numbers.numpy()
    radii = torch.from_numpy(covalent_radii[numbers])
    lengths = torch.cdist(positions, positions)
    near = (lengths > 0) & (lengths < _BONDED * (radii[:, None] + radii))
    first, second = torch.nonzero(torch.triu(near, 1), as_tuple=True)
    n_bonds = min(N_BONDS, len(first))
    chosen = torch.linspace(0, len(first) - 1, n_bonds).long()
    steps = STEP * (torch.arange(N_POINTS, dtype=torch.float64) - N_POINTS // 2)
    moved = torch.zeros((n_bonds, N_POINTS, single.n_atoms, 3), dtype=torch.float64)
    for bond, place in enumerate(chosen.tolist()):
        one, other = int(first[place]), int(second[place])
        along = (positions[other] - positions[one]) / lengths[one, other]
        moved[bond, :, one] = -steps[:, None] * along / 2
        moved[bond, :, other] = steps[:, None] * along / 2
    return moved.flatten(0, 1)


def _unexplained(shifts: Tensor, energy: Floats, forces: Floats) -> float:
    """Return the largest |ΔE + ∫F·dx| of the double steps of all bonds."""
    step = np.diff(shifts.numpy().reshape(-1, N_POINTS, *shifts.shape[1:]), axis=1)[:, :1]
    by_bond = forces.reshape(-1, N_POINTS, *forces.shape[1:])
    slope = -(by_bond * step).sum((2, 3))
    energies = energy.reshape(-1, N_POINTS)
    work = sum(
        weight * slope[:, place : N_POINTS - 2 + place]
        for place, weight in enumerate(_SIMPSON)
    )
    return float(np.abs(energies[:, 2:] - energies[:, :-2] - work).max())
