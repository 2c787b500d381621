"""Systems and State: what is simulated, and where it stands."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlffbench.core.errors import DataError
from mlffbench.core.structures import Structures

RUNNING, FINISHED, STOPPED = 0, 1, 2
"""Status of a system: still moving, at its last step, or frozen with a reason."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Systems:
    """What is simulated, and how each system is.

    Attributes:
        structures: The starts, float64. Their ids are those the model knows, so the
            replicas of one start share an id.
        names: One per system, all different: they seed the noise.
        masses: Shape (n_atoms,), in amu.
        time_step: Shape (n_systems,), in fs.
        temperature: Shape (n_systems,), in K.
        friction: Shape (n_systems,), in 1/fs; unused without a thermostat.
        n_steps: Shape (n_systems,), int64.

    Raises:
        DataError: Shapes do not fit, a name occurs twice, or a value cannot be.
    """

    structures: Structures
    names: tuple[str, ...]
    masses: Tensor
    time_step: Tensor
    temperature: Tensor
    friction: Tensor
    n_steps: Tensor

    def __post_init__(self) -> None:
        if len(set(self.names)) != self.structures.n_systems:
            msg = f"{len(self.names)} names, {len(set(self.names))} of them different, "
            raise DataError(msg + f"for {self.structures.n_systems} systems")
        if self.structures.positions.dtype != torch.float64:
            raise DataError("systems move in float64; use structures.to(dtype=...)")
        for name in ("time_step", "temperature", "friction", "n_steps"):
            values: Tensor = getattr(self, name)
            if tuple(values.shape) != (self.n_systems,):
                msg = f"Systems.{name} has shape {tuple(values.shape)}, expected "
                raise DataError(msg + f"({self.n_systems},)")
        if tuple(self.masses.shape) != (self.structures.n_atoms,):
            raise DataError("Systems.masses needs one mass per atom")
        for name, values in (("time step", self.time_step), ("mass", self.masses)):
            if not bool((torch.isfinite(values) & (values > 0)).all()):
                msg = f"a {name} of {float(values.min()):g} cannot be: give one above 0"
                raise DataError(msg)

    @property
    def n_systems(self) -> int:
        """Number of systems."""
        return self.structures.n_systems

    def select(self, indices: Sequence[int]) -> Self:
        """Return the systems at some places, in that order."""
        place = torch.as_tensor(list(indices), dtype=torch.int64)
        atoms = atoms_of(self.structures, indices)
        return type(self)(
            structures=self.structures.select(indices),
            names=tuple(self.names[index] for index in indices),
            masses=self.masses[atoms],
            time_step=self.time_step[place],
            temperature=self.temperature[place],
            friction=self.friction[place],
            n_steps=self.n_steps[place],
        )


@dataclass(slots=True, eq=False, kw_only=True)
class State:
    """Where every system stands; all on the CPU, float64.

    Attributes:
        step: Steps done.
        positions: Shape (n_atoms, 3), in Å; never wrapped into a cell.
        velocities: Shape (n_atoms, 3), in Å/fs.
        forces: Shape (n_atoms, 3), in eV/Å, at the positions.
        energy: Shape (n_systems,), in eV, likewise.
        status: Shape (n_systems,), int64: `RUNNING`, `FINISHED` or `STOPPED`.
        sane_step: Shape (n_systems,), int64: step of the last frame that was in order.
        stop_step: Shape (n_systems,), int64: step at which a system was stopped, or -1.
        heat: Shape (n_systems,), temperature of the last frame, in K.
        reasons: System -> why it was stopped.
    """

    step: int
    positions: Tensor
    velocities: Tensor
    forces: Tensor
    energy: Tensor
    status: Tensor
    sane_step: Tensor
    stop_step: Tensor
    heat: Tensor
    reasons: dict[int, str] = field(default_factory=dict)

    def stop(self, index: int, step: int, reason: str) -> None:
        """Freeze a system."""
        self.status[index] = STOPPED
        self.stop_step[index] = step
        self.reasons[index] = reason

    def running(self) -> list[int]:
        """Return the systems that still move."""
        return torch.nonzero(self.status == RUNNING).flatten().tolist()

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return everything as arrays of their own, for a file."""
        reasons = [self.reasons.get(index, "") for index in range(len(self.status))]
        return {
            "state_step": np.asarray(self.step),
            "state_reasons": np.asarray(reasons, dtype=np.str_),
            **{f"state_{name}": getattr(self, name).numpy().copy() for name in _TENSORS},
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]]) -> Self:
        """Return the state that `arrays` gave; it owns its memory."""
        reasons = enumerate(arrays["state_reasons"].tolist())
        tensors = {
            name: torch.from_numpy(arrays[f"state_{name}"].copy()) for name in _TENSORS
        }
        return cls(
            step=int(arrays["state_step"]),
            reasons={index: reason for index, reason in reasons if reason},
            **tensors,
        )


_TENSORS = (
    *("positions", "velocities", "forces", "energy"),
    *("status", "sane_step", "stop_step", "heat"),
)


def atoms_of(structures: Structures, indices: Sequence[int]) -> Tensor:
    """Return the atoms of some systems, system after system, shape (n,), int64."""
    stops = torch.cumsum(structures.sizes, 0).tolist()
    starts = [0, *stops]
    pieces = [torch.arange(starts[index], stops[index]) for index in indices]
    return torch.cat([torch.zeros(0, dtype=torch.int64), *pieces])
