"""Trajectories: the frames of a finished simulation -> one row each, and files."""

import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import ase.io
import numpy as np
import pandas as pd
from ase import Atoms
from numpy.typing import NDArray
from torch import Tensor

from mlffbench.core.assembly import singles
from mlffbench.core.files import make_folder, write_atomic
from mlffbench.dynamics.motion import FS_PER_PS
from mlffbench.dynamics.observables import (
    H_BINS,
    distance_distribution,
    distribution_error,
    energy_drift,
    mean_temperature,
)
from mlffbench.dynamics.presets import Preset
from mlffbench.dynamics.recording import Track
from mlffbench.dynamics.stability import hydrogen_drift
from mlffbench.dynamics.state import FINISHED, State
from mlffbench.run.folder import slug
from mlffbench.run.simulate.reference_distances import DENSITIES
from mlffbench.run.simulate.subjects import Subject

Format = Literal["extxyz", "traj"]
LEAST_STABLE_FRAMES = 10
"""Frames without which a temperature or a distribution says nothing."""
WARM_UP = 0.5
"""Share of a thermostatted trajectory left out of its temperature: the start is cold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One trajectory to be: which subject, and which of its seeds.

    Attributes:
        subject: Place of its subject.
        number: Number of the seed.
        name: Seeds its noise and names its file.
        skipped: Why it is not simulated, empty when it is.
    """

    subject: int
    number: int
    name: str
    skipped: str = ""


def trajectory_row(
    subject: Subject,
    replica: Replica,
    preset: Preset,
    outcome: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a row of ``trajectories.parquet``.

    Args:
        subject: The molecule.
        replica: Which of its trajectories.
        preset: The protocol.
        outcome: What `measure` found, or status and reason of what was not simulated.
    """
    row: dict[str, Any] = {
        "split": subject.split,
        "role": subject.role,
        "shift": subject.shift,
        "molecule": subject.molecule,
        "name": replica.name,
        "replica": replica.number,
        "n_atoms": subject.start.n_atoms,
        "horizon_ps": preset.horizon,
        "status": "skipped",
        "reason": replica.skipped,
        "n_frames": 0,
        "refinement": "{}",
        **dict.fromkeys(MEASURED, np.nan),
    }
    return {**row, **outcome}


MEASURED = (
    *("stable_time_ps", "temperature_K", "drift_eV_per_atom_ps", "drift_ratio"),
    *("ripple_eV_per_atom", "distance_error"),
)
"""Columns of numbers, NaN where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a trajectory ended.

    Attributes:
        stable: Whether it reached its last step.
        stop_step: Step at which it was stopped, -1 if it was not.
        reason: Why.
        degrees: Its degrees of freedom.
    """

    stable: bool
    stop_step: int
    reason: str
    degrees: float

    @classmethod
    def of(cls, state: State, index: int, degrees: float) -> Self:
        """Return the end of one of the systems of a run."""
        return cls(
            stable=int(state.status[index]) == FINISHED,
            stop_step=int(state.stop_step[index]),
            reason=state.reasons.get(index, ""),
            degrees=degrees,
        )


def measure(subject: Subject, preset: Preset, track: Track, end: End) -> dict[str, Any]:
    """Return what is read off a trajectory that was simulated.

    Args:
        subject: The molecule.
        preset: The protocol.
        track: Its frames in order.
        end: How it ended.
    """
    stable, reason = end.stable, end.reason
    if end.stop_step == 0:
        return {"status": "failed", "reason": reason}
    if preset.criterion == "explosion":
        numbers = subject.start.numbers.numpy()
        gone = hydrogen_drift(track.positions, numbers, subject.bonds)
        if gone is not None:
            track = track.until(gone)
            stable, reason = False, reason or "a hydrogen left for good"
    per_step = preset.time_step / FS_PER_PS
    time = track.step.astype(np.float64) * per_step
    row: dict[str, Any] = {
        "status": "stable" if stable else "unstable",
        "reason": reason,
        "stable_time_ps": preset.horizon
        if stable
        else float(time[-1])
        if len(time)
        else 0.0,
        "n_frames": len(time),
    }
    if len(time) >= LEAST_STABLE_FRAMES:
        warm = int(WARM_UP * len(time)) if preset.thermostat else 0
        row["temperature_K"] = mean_temperature(track.kinetic[warm:], end.degrees)
        if subject.frames is not None:
            row["distance_error"] = _distance_error(track, subject.frames)
    if not preset.thermostat:
        drift = energy_drift(time, track.energy, track.kinetic, subject.start.n_atoms)
        if drift is not None:
            row["drift_eV_per_atom_ps"] = drift.slope
            row["drift_ratio"] = drift.ratio
            row["ripple_eV_per_atom"] = drift.ripple
    return row


def table_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as a table."""
    return pd.DataFrame([dict(row) for row in rows])


def thermo_of(tracks: Sequence[Track]) -> dict[str, NDArray[Any]]:
    """Return step, energies and owner of every frame, and h(r), for ``thermo.npz``."""
    owner = [np.full(len(t.step), index) for index, t in enumerate(tracks)]
    return {
        "trajectory": np.concatenate([np.zeros(0, dtype=np.int64), *owner]),
        **{
            name: np.concatenate([np.zeros(0), *(getattr(t, name) for t in tracks)])
            for name in ("step", "energy", "kinetic")
        },
        DENSITIES: np.array([_density(t) for t in tracks]).reshape(-1, len(H_BINS) - 1),
    }


def _density(track: Track) -> NDArray[np.float64]:
    if len(track.step) < LEAST_STABLE_FRAMES:
        return np.full(len(H_BINS) - 1, np.nan)
    return distance_distribution(track.positions)


def write_trajectory(
    folder: Path,
    subject: Subject,
    name: str,
    track: Track,
    *,
    preset: Preset,
    most: int,
    form: Format,
) -> None:
    """Write a trajectory, thinned, whole or not at all.

    Args:
        folder: Where to.
        subject: The molecule.
        name: Of the trajectory.
        track: Its frames.
        preset: Its protocol, for the times.
        most: Frames at most; the last sane one is always among them.
        form: ``extxyz`` or ASE's ``traj``.

    Raises:
        StoreError: The disk refuses.
    """
    make_folder(folder)
    thin = -(-len(track.step) // most)
    kept = range(len(track.step) - 1, -1, -thin)[::-1] if len(track.step) else range(0)
    (single,) = singles(subject.start)
    images = []
    for frame in kept:
        atoms: Any = Atoms(
            numbers=single.numbers,
            positions=track.positions[frame],
            cell=single.cell,
            pbc=single.pbc,
        )
        atoms.info["time_ps"] = float(track.step[frame] * preset.time_step / FS_PER_PS)
        atoms.info["model_energy"] = float(track.energy[frame])
        images.append(atoms)
    write_atomic(folder / f"{slug(name)}.{form}", _bytes_of(images, form))


def _bytes_of(images: list[Any], form: Format) -> bytes:
    write: Any = ase.io.write
    if form == "extxyz":
        text = io.StringIO()
        if images:
            write(text, images, format="extxyz")
        return text.getvalue().encode()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "frames.traj"
        write(path, images, format="traj")
        return path.read_bytes()


def _distance_error(track: Track, frames: Tensor) -> float:
    reference = distance_distribution(frames.numpy())
    return distribution_error(distance_distribution(track.positions), reference)
