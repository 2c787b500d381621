"""Observables: what is read off a trajectory."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlffbench.dynamics.motion import BOLTZMANN

Floats = NDArray[np.float64]
H_BINS = np.linspace(1e-6, 10.0, 501)
"""Å; MDsim's bins, whose first edge leaves out an atom's distance to itself."""
LEAST_FRAMES = 3
"""Frames below which a line cannot be judged."""


class Drift(NamedTuple):
    """How well a trajectory conserves its energy.

    Attributes:
        slope: Of a line through the total energy, in eV per atom and ps.
        ratio: |slope| × duration over the standard deviation of the kinetic energy.
        ripple: Standard deviation around the line, in eV per atom.
    """

    slope: float
    ratio: float
    ripple: float


def energy_drift(
    time: Floats, energy: Floats, kinetic: Floats, n_atoms: int
) -> Drift | None:
    """Return the drift of a trajectory; None with too few frames for a line.

    Args:
        time: Shape (n_frames,), in ps.
        energy: Shape (n_frames,), potential energy in eV.
        kinetic: Shape (n_frames,), in eV.
        n_atoms: Number of atoms.

    Example:
        >>> time = np.linspace(0, 2, 5)
        >>> kinetic = np.array([1.0, 3, 1, 3, 1])
        >>> round(energy_drift(time, 5 - kinetic + 0.6 * time, kinetic, 3).slope, 3)
        0.2
    """
    if len(time) < LEAST_FRAMES:
        return None
    total = energy + kinetic
    centred = time - time.mean()
    slope = float(centred @ (total - total.mean()) / (centred @ centred))
    spread = float(np.std(kinetic))
    left = total - total.mean() - slope * centred
    duration = float(time[-1] - time[0])
    return Drift(
        slope=slope / n_atoms,
        ratio=abs(slope) * duration / spread if spread > 0 else np.inf,
        ripple=float(np.std(left)) / n_atoms,
    )


def mean_temperature(kinetic: Floats, degrees: float) -> float:
    """Return 2⟨E_kin⟩ / (f k_B) in K."""
    return float(2 * kinetic.mean() / (degrees * BOLTZMANN))


def distance_distribution(frames: Floats) -> Floats:
    """Return h(r), the density of interatomic distances over 500 bins up to 10 Å.

    Args:
        frames: Shape (n_frames, n_atoms, 3), in Å, without cell.

    Returns:
        Shape (500,), in 1/Å; its integral is 1. Zeros where there is no distance.
    """
    first, second = np.triu_indices(frames.shape[1], k=1)
    counts = np.zeros(len(H_BINS) - 1)
    for frame in frames:
        distances = np.linalg.norm(frame[first] - frame[second], axis=1)
        counts += np.histogram(distances, bins=H_BINS)[0]
    total = counts.sum() * (H_BINS[1] - H_BINS[0])
    return counts / total if total else counts


def distribution_error(density: Floats, reference: Floats) -> float:
    """Return ∫|h − h_ref| dr as MDsim takes it: mean over bins times 10 Å, no unit."""
    return float(np.abs(density - reference).mean() * 10.0)
