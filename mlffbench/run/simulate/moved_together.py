"""Moved together: the trajectories of one piece, in one engine from start to end.

A piece is what one model call moves, so the pieces depend on `batch_atoms` alone, never
on who computes; with ASE, which moves molecules one at a time, each is a piece.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mlffbench.core.structures import Structures
from mlffbench.dynamics.engine import Course
from mlffbench.dynamics.masses import heavy_hydrogens, natural_masses, repartitioned
from mlffbench.dynamics.presets import Preset
from mlffbench.dynamics.recording import Arrays, Track
from mlffbench.dynamics.stability import BondCriterion, Criterion, ExplosionCriterion
from mlffbench.dynamics.state import RUNNING, Systems
from mlffbench.run.folder import RunFolder
from mlffbench.run.simulate.subjects import Subject
from mlffbench.run.simulate.trajectories import Replica

LEAST_CHECKPOINT = 200
"""Steps at least between two points a killed run goes on from."""
MOST_CHECKPOINTS = 500


@dataclass(frozen=True, slots=True)
class Moved:
    """Trajectories that move together.

    Attributes:
        number: Their place in the plan.
        replicas: They.
        n_steps: Of each.
    """

    number: int
    replicas: tuple[Replica, ...]
    n_steps: int

    @property
    def rows(self) -> range:
        """As many as progress counts: the steps."""
        return range(self.n_steps)


def pieces_of(
    replicas: Sequence[Replica],
    subjects: Sequence[Subject],
    preset: Preset,
    *,
    most: int,
) -> list[Moved]:
    """Return trajectories in pieces, in order.

    Args:
        replicas: All that move.
        subjects: Their molecules.
        preset: The protocol.
        most: Atoms of a piece, unless a molecule is larger.
    """
    pieces: list[list[Replica]] = []
    n_atoms = 0
    for replica in replicas:
        size = subjects[replica.subject].start.n_atoms
        if not pieces or n_atoms + size > most:
            pieces.append([])
            n_atoms = 0
        pieces[-1].append(replica)
        n_atoms += size
    return [
        Moved(number, tuple(one), preset.n_steps) for number, one in enumerate(pieces)
    ]


def systems_of(
    preset: Preset, subjects: Sequence[Subject], replicas: Sequence[Replica]
) -> Systems:
    """Return what moves: starts, masses and the protocol of each."""
    chosen = [subjects[replica.subject] for replica in replicas]
    structures = Structures.concatenate([subject.start for subject in chosen])
    masses = natural_masses(structures)
    if preset.hydrogen_mass is not None and preset.repartition:
        bonds = [subject.bonds for subject in chosen]
        masses = repartitioned(structures, preset.hydrogen_mass, bonds)
    elif preset.hydrogen_mass is not None:
        masses = heavy_hydrogens(structures, preset.hydrogen_mass)
    same = torch.ones(len(replicas), dtype=torch.float64)
    return Systems(
        structures=structures,
        names=tuple(replica.name for replica in replicas),
        masses=masses,
        time_step=same * preset.time_step,
        temperature=same * preset.temperature,
        friction=same * preset.friction,
        n_steps=torch.full((len(replicas),), preset.n_steps),
    )


def criterion_of(
    preset: Preset,
    subjects: Sequence[Subject],
    replicas: Sequence[Replica],
    systems: Systems,
) -> Criterion:
    """Return what counts as failure."""
    if preset.criterion == "explosion":
        return ExplosionCriterion(systems.temperature)
    bonds = [subjects[replica.subject].bonds for replica in replicas]
    return BondCriterion(bonds, systems.structures.sizes.tolist())


def course_of(preset: Preset, seed: int) -> Course:
    """Return how a run goes."""
    return Course(
        thermostat=preset.thermostat,
        record_every=preset.record_every,
        checkpoint_every=max(LEAST_CHECKPOINT, preset.n_steps // MOST_CHECKPOINTS),
        seed=seed,
    )


def checkpoints(folder: RunFolder, number: int, run: str) -> RunFolder:
    """Return where a piece keeps the points that it goes on from.

    Args:
        folder: Of the simulation.
        number: Of the piece.
        run: Fingerprint of the simulation, so that none of another is gone on from.
    """
    return RunFolder(folder.parts / f"{number:06d}-{run[:16]}")


def stored_parts(folder: RunFolder) -> list[Arrays]:
    """Return the stretches of time that are stored, up to the first that is missing."""
    parts: list[Arrays] = []
    while (part := folder.read_any_part(len(parts))) is not None:
        parts.append(part)
    return parts


def tell_steps(n_steps: int, advance: Callable[[int], None]) -> Callable[[Arrays], None]:
    """Return what tells of the steps up to the end of a stretch that were not told."""
    told = 0

    def tell(part: Arrays) -> None:
        nonlocal told
        over = part["state_status"] != RUNNING
        step = int(part["state_step"])
        now = round(float((over * n_steps + ~over * step).mean()))
        advance(now - told)
        told = now

    return tell


def part_of(piece: Moved, run: str, moved: Arrays) -> Arrays:
    """Return what is stored of a piece that is over: whose it is, costs and facts."""
    key = np.asarray([piece.number], dtype=np.int64)
    return {"rows": key, "run": np.asarray(run), **moved}


def not_moved(why: str) -> Arrays:
    """Return costs and facts of a piece that nothing came of, and the reason."""
    none = np.asarray(0.0)
    return {"given_up": np.asarray(why), "refine_s": none, "dynamics_s": none}


def unmoved(
    piece: Moved, subjects: Sequence[Subject], why: str
) -> tuple[dict[str, dict[str, Any]], list[Track]]:
    """Return the outcome of each trajectory of such a piece, and their empty tracks."""
    outcome = {"status": "failed", "reason": why}
    none = np.zeros(0)
    tracks = [
        Track(
            step=none.astype(np.int64),
            energy=none,
            kinetic=none,
            positions=np.zeros((0, subjects[one.subject].start.n_atoms, 3)),
        )
        for one in piece.replicas
    ]
    return {one.name: outcome for one in piece.replicas}, tracks
