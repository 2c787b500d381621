"""Recording: the frames of a run, as they come and system by system."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Arrays = dict[str, NDArray[Any]]
_COLUMNS = ("step", "system", "energy", "kinetic")


class Recorder:
    """Collects frames until they are taken."""

    def __init__(self) -> None:
        self._rows: dict[str, list[NDArray[Any]]] = {name: [] for name in _COLUMNS}
        self._positions: list[NDArray[Any]] = []

    def add(
        self,
        *,
        step: int,
        systems: Sequence[int],
        energy: Tensor,
        kinetic: Tensor,
        positions: Tensor,
    ) -> None:
        """Take a frame of some systems.

        Args:
            step: Number of the step.
            systems: Which systems.
            energy: Shape (n_systems,), potential energies in eV.
            kinetic: Shape (n_systems,), in eV.
            positions: Shape (n_atoms of these systems, 3), in Å.
        """
        self._rows["step"].append(np.full(len(systems), step, dtype=np.int64))
        self._rows["system"].append(np.asarray(systems, dtype=np.int64))
        self._rows["energy"].append(energy.numpy().astype(np.float64))
        self._rows["kinetic"].append(kinetic.numpy().astype(np.float64))
        self._positions.append(positions.numpy().astype(np.float64).reshape(-1, 3))

    def take(self) -> Arrays:
        """Return the frames so far as arrays, and forget them."""
        kinds = {"step": np.int64, "system": np.int64}
        arrays: Arrays = {
            f"frames_{name}": np.concatenate(
                [np.zeros(0, dtype=kinds.get(name, np.float64)), *rows]
            )
            for name, rows in self._rows.items()
        }
        arrays["frames_positions"] = np.concatenate([np.zeros((0, 3)), *self._positions])
        self._rows = {name: [] for name in _COLUMNS}
        self._positions = []
        return arrays


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Track:
    """The recorded frames of one system.

    Attributes:
        step: Shape (n_frames,), int64.
        energy: Shape (n_frames,), potential energy in eV.
        kinetic: Shape (n_frames,), kinetic energy in eV.
        positions: Shape (n_frames, n_atoms, 3), in Å.
    """

    step: NDArray[np.int64]
    energy: NDArray[np.float64]
    kinetic: NDArray[np.float64]
    positions: NDArray[np.float64]

    def until(self, n_frames: int) -> Self:
        """Return the first frames."""
        return type(self)(
            step=self.step[:n_frames],
            energy=self.energy[:n_frames],
            kinetic=self.kinetic[:n_frames],
            positions=self.positions[:n_frames],
        )


def tracks(parts: Sequence[Arrays], sizes: Sequence[int]) -> list[Track]:
    """Return the frames of all pieces of a run, system by system.

    Args:
        parts: The pieces, in order.
        sizes: Atoms of each system.
    """
    joined = {
        name: np.concatenate([part[f"frames_{name}"] for part in parts])
        for name in (*_COLUMNS, "positions")
    }
    owner = joined["system"]
    stops = np.cumsum(np.asarray(sizes, dtype=np.int64)[owner])
    starts = stops - np.asarray(sizes, dtype=np.int64)[owner]
    found = []
    for system, size in enumerate(sizes):
        rows = np.flatnonzero(owner == system)
        atoms = (starts[rows][:, None] + np.arange(size)).reshape(-1)
        found.append(
            Track(
                step=joined["step"][rows],
                energy=joined["energy"][rows],
                kinetic=joined["kinetic"][rows],
                positions=joined["positions"][atoms].reshape(len(rows), size, 3),
            )
        )
    return found
