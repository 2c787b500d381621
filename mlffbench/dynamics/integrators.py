"""Integrators: one step of many systems at once, each with its own parameters."""

from typing import Protocol

import torch
from torch import Tensor

from mlffbench.dynamics.motion import ACCELERATION, thermal_speeds
from mlffbench.dynamics.noise import Noise
from mlffbench.dynamics.state import Systems


class Integrator(Protocol):
    """Two halves of a step, with new forces in between; both change in place."""

    def advance(
        self, positions: Tensor, velocities: Tensor, forces: Tensor, step: int
    ) -> None:
        """Move to the positions of the next step.

        Args:
            positions: Shape (n_atoms, 3), in Å.
            velocities: Shape (n_atoms, 3), in Å/fs.
            forces: Shape (n_atoms, 3), in eV/Å, at the old positions.
            step: Number of the step, from 0.
        """
        ...

    def conclude(self, velocities: Tensor, forces: Tensor) -> None:
        """Bring the velocities to the time of the new positions, given their forces."""
        ...


class VelocityVerlet:
    """Newton's equations: v += a Δt/2; x += v Δt; forces; v += a Δt/2.

    Args:
        systems: What moves.
        device: Where to compute.
    """

    def __init__(self, systems: Systems, device: torch.device) -> None:
        step = _per_atom(systems, systems.time_step)
        self._kick = (step * ACCELERATION / (2 * systems.masses))[:, None].to(device)
        self._step = step[:, None].to(device)

    def advance(
        self,
        positions: Tensor,
        velocities: Tensor,
        forces: Tensor,
        step: int,  # noqa: ARG002 - nothing is drawn
    ) -> None:
        """Kick and drift."""
        velocities.addcmul_(self._kick, forces)
        positions.addcmul_(self._step, velocities)

    def conclude(self, velocities: Tensor, forces: Tensor) -> None:
        """Kick."""
        velocities.addcmul_(self._kick, forces)


class Langevin:
    """Langevin's equation by the BAOAB splitting (Leimkuhler & Matthews 2013).

    Positions of a harmonic oscillator are sampled without time-step error.

    Args:
        systems: What moves.
        seed: Of the noise, together with the systems' names.
        device: Where to compute.
    """

    def __init__(self, systems: Systems, seed: int, device: torch.device) -> None:
        step = _per_atom(systems, systems.time_step)
        keep = torch.exp(-_per_atom(systems, systems.friction) * step)
        heat = _per_atom(systems, systems.temperature)
        spread = thermal_speeds(systems.masses, heat) * torch.sqrt(1 - keep**2)
        self._kick = (step * ACCELERATION / (2 * systems.masses))[:, None].to(device)
        self._half = (step / 2)[:, None].to(device)
        self._keep, self._spread = keep[:, None].to(device), spread[:, None].to(device)
        sizes = systems.structures.sizes.tolist()
        self._noise = Noise(seed, systems.names, sizes, device)

    def advance(
        self, positions: Tensor, velocities: Tensor, forces: Tensor, step: int
    ) -> None:
        """Kick, drift half, meet the bath, drift half."""
        velocities.addcmul_(self._kick, forces)
        positions.addcmul_(self._half, velocities)
        velocities.mul_(self._keep).addcmul_(self._spread, self._noise.at(step))
        positions.addcmul_(self._half, velocities)

    def conclude(self, velocities: Tensor, forces: Tensor) -> None:
        """Kick."""
        velocities.addcmul_(self._kick, forces)


def _per_atom(systems: Systems, values: Tensor) -> Tensor:
    return values.double()[systems.structures.system.cpu()]
