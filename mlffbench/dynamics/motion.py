"""Units of motion: how forces become accelerations, and velocities temperatures.

Lengths are in Å, times in fs, masses in amu. The constants are ASE's, so that its
integrators and ours agree to the last digits.
"""

from itertools import pairwise

import torch
from ase import units
from torch import Tensor

from mlffbench.core.structures import Structures

ACCELERATION = units.fs**2
"""Å/fs² per eV/(Å amu)."""
KINETIC = 1 / units.fs**2
"""eV per amu (Å/fs)²."""
BOLTZMANN = units.kB
"""eV/K."""
FS_PER_PS = 1000.0


def kinetic_energies(
    masses: Tensor, velocities: Tensor, system: Tensor, n_systems: int
) -> Tensor:
    """Return Σ ½ m v² of each system, shape (n_systems,), in eV.

    Args:
        masses: Shape (n_atoms,), in amu.
        velocities: Shape (n_atoms, 3), in Å/fs.
        system: Shape (n_atoms,), atom -> system.
        n_systems: Number of systems.
    """
    atoms = velocities.square().sum(1).mul_(masses)
    return atoms.new_zeros(n_systems).index_add_(0, system, atoms).mul_(KINETIC / 2)


def temperatures(kinetic: Tensor, degrees: Tensor) -> Tensor:
    """Return 2 E_kin / (f k_B) of each system, in K; f are its degrees of freedom."""
    return 2 * kinetic / (degrees * BOLTZMANN)


def thermal_speeds(masses: Tensor, temperature: Tensor) -> Tensor:
    """Return √(k_B T / m) of each atom, in Å/fs: one component's standard deviation.

    Args:
        masses: Shape (n_atoms,), in amu.
        temperature: Shape (n_atoms,), in K.
    """
    return torch.sqrt(BOLTZMANN * temperature / (masses * KINETIC))


def without_drift(
    velocities: Tensor, masses: Tensor, structures: Structures
) -> tuple[Tensor, Tensor]:
    """Return velocities without total momentum, and without spin where nothing repeats.

    Args:
        velocities: Shape (n_atoms, 3), in Å/fs.
        masses: Shape (n_atoms,), in amu.
        structures: Where the atoms are.

    Returns:
        The velocities, and the degrees of freedom left to each system, float64.
    """
    cleaned = velocities.clone()
    degrees: list[float] = []
    periodic = structures.pbc.any(1).tolist()
    starts = [0, *torch.cumsum(structures.sizes, 0).tolist()]
    for number, (first, last) in enumerate(pairwise(starts)):
        mass = masses[first:last, None]
        velocity = velocities[first:last]
        velocity = velocity - (mass * velocity).sum(0) / mass.sum()
        removed = 3
        if not periodic[number]:
            velocity, axes = _without_spin(
                structures.positions[first:last], velocity, mass
            )
            removed += axes
        cleaned[first:last] = velocity
        degrees.append(max(3 * (last - first) - removed, 1))
    return cleaned, torch.tensor(degrees, dtype=torch.float64, device=velocities.device)


def _without_spin(
    positions: Tensor, velocity: Tensor, mass: Tensor
) -> tuple[Tensor, int]:
    """Return velocities without angular momentum, and the axes to spin about."""
    arms = positions - (mass * positions).sum(0) / mass.sum()
    momentum = torch.linalg.cross(arms, mass * velocity).sum(0)
    identity = torch.eye(3, dtype=arms.dtype, device=arms.device)
    square = (arms.square().sum(1, keepdim=True) * mass).sum()
    inertia = square * identity - (mass * arms).T @ arms
    moments, axes = torch.linalg.eigh(inertia)
    real = moments > 1e-6 * moments.max().clamp(min=1e-12)  # a line has two axes
    inverse = torch.where(real, 1 / moments.clamp(min=1e-12), torch.zeros_like(moments))
    spin = axes @ (inverse * (axes.T @ momentum))
    return velocity - torch.linalg.cross(spin.expand_as(arms), arms), int(real.sum())
