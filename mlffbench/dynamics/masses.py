"""Masses: natural ones, or hydrogens made heavier so that longer steps stand."""

import torch
from ase.data import atomic_masses
from torch import Tensor

from mlffbench.core.errors import BenchError
from mlffbench.core.structures import Structures
from mlffbench.dynamics.stability import Bonds


def natural_masses(structures: Structures) -> Tensor:
    """Return the standard atomic masses, shape (n_atoms,), float64, in amu."""
    return torch.tensor(atomic_masses, dtype=torch.float64)[structures.numbers.cpu()]


def heavy_hydrogens(structures: Structures, mass: float) -> Tensor:
    """Return the natural masses with another mass for hydrogen; the total grows."""
    masses = natural_masses(structures)
    return torch.where(structures.numbers.cpu() == 1, mass, masses)


def repartitioned(structures: Structures, mass: float, bonds: list[Bonds]) -> Tensor:
    """Return masses in which each hydrogen took from the heavy atoms it is bonded to.

    The total stays. Temperatures and averages of positions do not change, only dynamics.

    Args:
        structures: The systems.
        mass: Of each bonded hydrogen, in amu.
        bonds: Of each system.

    Raises:
        BenchError: A heavy atom would be left with less than a hydrogen.
    """
    masses = natural_masses(structures)
    starts = torch.cumsum(structures.sizes, 0) - structures.sizes
    numbers = structures.numbers.cpu()
    for start, mine in zip(starts.tolist(), bonds, strict=True):
        for first, second in (mine.pairs + start).tolist():
            for hydrogen, heavy in ((first, second), (second, first)):
                if numbers[hydrogen] == 1 and numbers[heavy] > 1:
                    masses[heavy] -= mass - masses[hydrogen]
                    masses[hydrogen] = mass
    least = float(masses.min())
    if least < min(mass, 1.0):
        msg = f"hydrogens of {mass:g} amu leave an atom with {least:.2f} amu; give a "
        raise BenchError(msg + "smaller --hydrogen-mass, or --keep-heavy-masses")
    return masses
