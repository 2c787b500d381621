"""Simulate: a suite's molecules × models × modes -> trajectories, whatever interrupts."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from mlffbench.core.assembly import refusals
from mlffbench.core.errors import BenchError, ModelError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.plugins.user_file import in_words
from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.dynamics.ase_engine import AseEngine
from mlffbench.dynamics.engine import BatchedEngine, Course, initial_velocities
from mlffbench.dynamics.evaluation import Evaluation
from mlffbench.dynamics.masses import heavy_hydrogens, natural_masses, repartitioned
from mlffbench.dynamics.presets import Preset
from mlffbench.dynamics.recording import Arrays, tracks
from mlffbench.dynamics.stability import BondCriterion, Criterion, ExplosionCriterion
from mlffbench.dynamics.state import RUNNING, State, Systems
from mlffbench.refine.modes import mode_name
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.refiner import Fact
from mlffbench.run.evaluate.execute import in_hand
from mlffbench.run.folder import (
    SIMULATION,
    RunFolder,
    run_folder,
    slug,
    suite_folder,
    write_arrays,
    write_table,
)
from mlffbench.run.simulate.subjects import Subject, starts_sha256
from mlffbench.run.simulate.trajectories import (
    End,
    Format,
    Replica,
    measure,
    table_of,
    thermo_of,
    trajectory_row,
    write_trajectory,
)
from mlffbench.run.suite import Suite
from mlffbench.run.work import Progress, RefinedWork

EngineName = Literal["batched", "ase"]
LEAST_CHECKPOINT = 200
"""Steps at least between two points a killed run goes on from."""
MOST_CHECKPOINTS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationJob:
    """One model in one mode under one protocol, every value resolved.

    Attributes:
        suite: Name of the suite, with its ``suite_version``.
        model: The model as typed.
        mode: Name of the refinement.
        preset: The protocol.
        engine: ``batched`` or ``ase``.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32`` or ``float64``; None is the model's own default.
        seed: Seed of velocities and noise.
        limit: Molecules per split at most; None is all.
        batch_atoms: Atoms per model call at most.
        frames: Frames per written trajectory at most.
        form: Format of the written trajectories.
        settings: The mode's settings as the suite gave them.
    """

    suite: str
    suite_version: int
    model: str
    mode: str
    preset: Preset
    engine: EngineName
    device: str
    dtype: str | None
    seed: int
    limit: int | None
    batch_atoms: int
    frames: int = 200
    form: Format = "extxyz"
    settings: tuple[tuple[str, str | int | float | bool], ...] = ()

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.model} {self.mode}"

    def as_dict(self) -> dict[str, Any]:
        """Return the values by name, those of the preset among them."""
        values = {**asdict(self), "settings": dict(self.settings)}
        preset = values.pop("preset")
        return {**values, "preset": preset.pop("name"), **preset}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SimulationWork(RefinedWork):
    """A job with everything it needs in hand; motion is float64.

    Attributes:
        job: The job.
        subjects: The molecules that move.
    """

    job: SimulationJob
    subjects: Sequence[Subject]

    def decides(self) -> dict[str, Any]:
        """Return everything that decides the trajectories."""
        return {
            "job": self.job.as_dict(),
            "splits": [
                {
                    "name": s.split,
                    "molecule": s.molecule,
                    "role": s.role,
                    "shift": s.shift,
                }
                for s in self.subjects
            ],
            "starts_sha256": starts_sha256(self.subjects),
            **self.refined_manifest(),
        }

    def read(self) -> list[Replica]:
        """Return every trajectory to be; the molecules have been read."""
        return _replicas(self)

    def compute(
        self, inputs: list[Replica], folder: RunFolder, progress: Progress
    ) -> dict[str, Any]:
        """Simulate what is missing and write the results.

        Raises:
            ModelError: The refinement fails, or the model gives no forces.
            StoreError: The folder cannot be written.
        """
        chosen = [replica for replica in inputs if not replica.skipped]
        costs: dict[str, Any] = {}
        outcomes: dict[str, dict[str, Any]] = {}
        thermo = thermo_of([])
        if chosen:
            outcomes, thermo, costs = _move(self, chosen, folder, progress)
        rows = [
            trajectory_row(
                self.subjects[replica.subject],
                replica,
                self.job.preset,
                outcomes.get(replica.name, {}),
            )
            for replica in inputs
        ]
        write_table(folder.path / "trajectories.parquet", table_of(rows))
        write_arrays(folder.path / "thermo.npz", thermo)
        return costs


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Simulation:
    """What all simulations of a suite share.

    Attributes:
        suite: The suite as resolved.
        splits: All its splits.
        subjects: The molecules that move, with relaxed starts.
    """

    suite: Suite
    splits: tuple[Split, ...]
    subjects: tuple[Subject, ...]

    def folder(self, out: Path, job: SimulationJob) -> RunFolder:
        """Return where a job's results belong: beside the predictions of its mode."""
        suite = suite_folder(job.suite, limit=job.limit)
        beside = run_folder(out, suite, job.model, mode_name(job.mode)).path
        return RunFolder(beside / "dynamics" / slug(job.preset.name), SIMULATION)

    def work(self, job: SimulationJob, model: ForceField) -> SimulationWork:
        """Return a job with everything it needs.

        Raises:
            BenchError: The mode does not take its settings.
        """
        return SimulationWork(
            subjects=self.subjects, **in_hand(job, model, self.suite, self.splits)
        )


def _move(
    work: SimulationWork,
    replicas: Sequence[Replica],
    folder: RunFolder,
    progress: Progress,
) -> tuple[dict[str, dict[str, Any]], Arrays, dict[str, Any]]:
    """Refine and simulate; return what became of each trajectory, frames and costs."""
    job = work.job
    began = time.perf_counter()
    refined, told = _refine(work, replicas)
    refined_s = time.perf_counter() - began
    systems = _systems(work, replicas)
    evaluate = Evaluation(
        model=refined,
        device=torch.device(job.device),
        dtype=work.dtype,
        batch_atoms=job.batch_atoms,
    )
    course = _course(work)
    kind = BatchedEngine if job.engine == "batched" else AseEngine
    engine = kind(evaluate, systems, _criterion(work, replicas, systems), course)
    n_steps = job.preset.n_steps
    progress.begin(job.label, n_steps)
    parts = _stored_parts(folder)
    reached = _reached(parts[-1], n_steps) if parts else 0
    progress.advance(reached)
    for part in engine.parts(parts):
        folder.write_part(len(parts), part)
        parts.append(part)
        now = _reached(part, n_steps)
        progress.advance(now - reached)
        reached = now
    moved_s = time.perf_counter() - began - refined_s
    found = tracks(parts, systems.structures.sizes.tolist())
    state = State.from_arrays(parts[-1])
    _, degrees = initial_velocities(systems, course)
    outcomes = {}
    for index, replica in enumerate(replicas):
        subject = work.subjects[replica.subject]
        track = found[index]
        end = End.of(state, index, float(degrees[index]))
        outcome = measure(subject, job.preset, track, end)
        outcomes[replica.name] = {**outcome, "refinement": told.get(subject.name, "{}")}
        write_trajectory(
            folder.path / "trajectories",
            subject,
            replica.name,
            track,
            preset=job.preset,
            most=job.frames,
            form=job.form,
        )
    costs = {"refine_s": round(refined_s, 3), "dynamics_s": round(moved_s, 3)}
    return outcomes, thermo_of(found), costs


def _replicas(work: SimulationWork) -> list[Replica]:
    """Return every trajectory to be, and why some are not."""
    starts = Structures.concatenate([subject.start for subject in work.subjects])
    refused = refusals(starts, work.card)
    return [
        Replica(
            subject=index,
            number=number,
            name=f"{subject.name} #{number}",
            skipped=subject.failure or refused.get(index, ""),
        )
        for index, subject in enumerate(work.subjects)
        for number in range(work.job.preset.seeds)
    ]


def _refine(
    work: SimulationWork, replicas: Sequence[Replica]
) -> tuple[ForceField, dict[str, str]]:
    """Return the model refined once per split on conformers and starts, and its facts."""
    by_split: dict[str, list[Subject]] = {}
    for index in dict.fromkeys(replica.subject for replica in replicas):
        subject = work.subjects[index]
        by_split.setdefault(subject.split, []).append(subject)
    models: dict[str, ForceField] = {}
    told: dict[str, str] = {}
    for subjects in by_split.values():
        seen = [part for s in subjects for part in (s.conformers, s.start)]
        structures = Structures.concatenate(seen)
        try:
            refined = work.refiner.refine(work.subject, structures)
        except BenchError:
            raise
        except Exception as error:
            msg = f"{work.refiner.name} failed: {in_words(error)}"
            raise ModelError(msg) from error
        facts: Sequence[Mapping[str, Fact]] = refined.facts or [{}] * len(structures.ids)
        for name, mine in zip(structures.ids, facts, strict=True):
            models[name] = refined.model
            told[name] = json.dumps(dict(mine), sort_keys=True)
    if len({id(model) for model in models.values()}) == 1:
        return next(iter(models.values())), told
    return Routed(work.model, models), told


def _systems(work: SimulationWork, replicas: Sequence[Replica]) -> Systems:
    preset = work.job.preset
    subjects = [work.subjects[replica.subject] for replica in replicas]
    structures = Structures.concatenate([subject.start for subject in subjects])
    masses = natural_masses(structures)
    if preset.hydrogen_mass is not None and preset.repartition:
        bonds = [subject.bonds for subject in subjects]
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


def _criterion(
    work: SimulationWork, replicas: Sequence[Replica], systems: Systems
) -> Criterion:
    if work.job.preset.criterion == "explosion":
        return ExplosionCriterion(systems.temperature)
    bonds = [work.subjects[replica.subject].bonds for replica in replicas]
    return BondCriterion(bonds, systems.structures.sizes.tolist())


def _course(work: SimulationWork) -> Course:
    preset = work.job.preset
    return Course(
        thermostat=preset.thermostat,
        record_every=preset.record_every,
        checkpoint_every=max(LEAST_CHECKPOINT, preset.n_steps // MOST_CHECKPOINTS),
        seed=work.job.seed,
    )


def _stored_parts(folder: RunFolder) -> list[Arrays]:
    """Return the pieces an earlier call has stored, up to the first that is missing."""
    parts: list[Arrays] = []
    while (part := folder.read_any_part(len(parts))) is not None:
        parts.append(part)
    return parts


def _reached(part: Arrays, n_steps: int) -> int:
    """Return how many steps the average system is done with."""
    over = part["state_status"] != RUNNING
    step = int(part["state_step"])
    return round(float((over * n_steps + ~over * step).mean()))
