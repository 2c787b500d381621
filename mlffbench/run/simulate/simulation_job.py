"""Simulate: a suite's molecules × models × modes -> trajectories, whatever interrupts."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from mlffbench.core.assembly import refusals
from mlffbench.core.errors import BenchError, ModelError, StoreError
from mlffbench.core.files import make_folder
from mlffbench.core.forcefield import ForceField
from mlffbench.core.plugins.user_file import in_words
from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.dynamics.ase_engine import AseEngine
from mlffbench.dynamics.engine import BatchedEngine, initial_velocities
from mlffbench.dynamics.evaluation import Evaluation
from mlffbench.dynamics.presets import Preset
from mlffbench.dynamics.recording import Arrays, Track, tracks
from mlffbench.dynamics.state import State
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
from mlffbench.run.manifest import run_fingerprint
from mlffbench.run.shards.claim import forgive
from mlffbench.run.shards.crew import Crew
from mlffbench.run.shards.sound_parts import sound_parts
from mlffbench.run.simulate.moved_together import (
    Moved,
    checkpoints,
    course_of,
    criterion_of,
    not_moved,
    part_of,
    pieces_of,
    stored_parts,
    systems_of,
    tell_steps,
    unmoved,
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
Told = Callable[[Arrays], None]


class Refined(NamedTuple):
    """A refined model.

    Attributes:
        model: It.
        told: Name of a molecule -> the facts of its refinement, as JSON.
        seconds: How long it took.
    """

    model: ForceField
    told: Mapping[str, str]
    seconds: float


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
        others: Whether others compute it while this process waits; None: it computes.
    """

    job: SimulationJob
    subjects: Sequence[Subject]
    others: Callable[[], bool] | None = None

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

    def inputs(self) -> list[Replica]:
        """Return the same."""
        return self.read()

    def crew(
        self,
        inputs: list[Replica],
        folder: RunFolder,
        is_wanted: Callable[[], bool] = lambda: True,
        others: Callable[[], bool] | None = None,
    ) -> Crew:
        """Return this process as one of those that move the molecules."""
        run = run_fingerprint(self.decides())
        chosen = [replica for replica in inputs if not replica.skipped]
        refined: list[Refined] = []

        def compute(piece: Moved, progress: Progress) -> Arrays:
            if not refined:  # on all that move: whoever computes, it is the same model
                refined.append(_refine(self, chosen))
            at = checkpoints(folder, piece.number, run)
            tell = tell_steps(piece.n_steps, progress.advance)
            return part_of(piece, run, _move(self, piece, refined[0], at, tell))

        def give_up(piece: Moved, why: str) -> Arrays:
            return part_of(piece, run, not_moved(why))

        return Crew(folder, self._pieces(inputs), compute, give_up, is_wanted, others)

    def compute(
        self, inputs: list[Replica], folder: RunFolder, progress: Progress
    ) -> dict[str, Any]:
        """Simulate what is missing and write the results.

        Raises:
            ModelError: The refinement fails, or the model gives no forces.
            StoreError: The folder cannot be written.
        """
        run = run_fingerprint(self.decides())
        crew = self.crew(inputs, folder, others=self.others)
        if crew.shards:
            progress.begin(self.job.label, crew.n_counted)
        parts = sound_parts(crew, run, progress)
        outcomes: dict[str, dict[str, Any]] = {}
        found: list[Track] = []
        for piece, part in zip(self._pieces(inputs), parts, strict=True):
            at = checkpoints(folder, piece.number, run)
            those, frames = _read_off(self, piece, part, at, folder)
            outcomes |= those
            found += frames
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
        write_arrays(folder.path / "thermo.npz", thermo_of(found))
        if not parts:
            return {}
        return {
            "refine_s": round(max(float(part["refine_s"]) for part in parts), 3),
            "dynamics_s": round(sum(float(part["dynamics_s"]) for part in parts), 3),
        }

    def _pieces(self, replicas: Sequence[Replica]) -> list[Moved]:
        """Return what moves, in pieces."""
        alone = self.job.engine == "ase"
        return pieces_of(
            [replica for replica in replicas if not replica.skipped],
            self.subjects,
            self.job.preset,
            most=0 if alone else self.job.batch_atoms,
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Simulation:
    """What all simulations of a suite share.

    Attributes:
        suite: The suite as resolved.
        splits: All its splits.
        subjects: The molecules that move, with relaxed starts.
        others: Whether others compute its jobs while this process waits.
    """

    suite: Suite
    splits: tuple[Split, ...]
    subjects: tuple[Subject, ...]
    others: Callable[[], bool] | None = None

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
            subjects=self.subjects,
            others=self.others,
            **in_hand(job, model, self.suite, self.splits),
        )


def _move(
    work: SimulationWork, piece: Moved, refined: Refined, at: RunFolder, tell: Told
) -> Arrays:
    """Simulate what is missing of a piece; return its costs and facts."""
    job = work.job
    began = time.perf_counter()
    systems = systems_of(job.preset, work.subjects, piece.replicas)
    evaluate = Evaluation(
        model=refined.model,
        device=torch.device(job.device),
        dtype=work.dtype,
        batch_atoms=job.batch_atoms,
    )
    criterion = criterion_of(job.preset, work.subjects, piece.replicas, systems)
    kind = BatchedEngine if job.engine == "batched" else AseEngine
    engine = kind(evaluate, systems, criterion, course_of(job.preset, job.seed))
    make_folder(at.parts)
    parts = stored_parts(at)
    if parts:
        tell(parts[-1])
    for part in engine.parts(parts):
        at.write_part(len(parts), part)
        forgive(at.path.parent, piece.number)  # whoever died, it gets on
        parts.append(part)
        tell(part)
    names = dict.fromkeys(work.subjects[one.subject].name for one in piece.replicas)
    facts = {name: refined.told.get(name, "{}") for name in names}
    return {
        "facts": np.asarray(json.dumps(facts)),
        "refine_s": np.asarray(refined.seconds),
        "dynamics_s": np.asarray(time.perf_counter() - began),
    }


def _read_off(
    work: SimulationWork, piece: Moved, part: Arrays, at: RunFolder, folder: RunFolder
) -> tuple[dict[str, dict[str, Any]], list[Track]]:
    """Return what became of each trajectory of a piece, and its frames; write them.

    Raises:
        StoreError: What was stored of it on the way is gone or broken.
    """
    job, why = work.job, str(part.get("given_up", ""))
    if why:
        return unmoved(piece, work.subjects, why)
    systems = systems_of(job.preset, work.subjects, piece.replicas)
    parts = stored_parts(at)
    if not parts or State.from_arrays(parts[-1]).running():
        folder.part(piece.number).unlink(missing_ok=True)
        msg = f"what was stored in {at.parts} is gone or broken; repeat the command, it "
        raise StoreError(msg + "is computed anew")
    found = tracks(parts, systems.structures.sizes.tolist())
    state = State.from_arrays(parts[-1])
    _, degrees = initial_velocities(systems, course_of(job.preset, job.seed))
    facts = json.loads(str(part["facts"]))
    outcomes = {}
    for index, replica in enumerate(piece.replicas):
        subject = work.subjects[replica.subject]
        end = End.of(state, index, float(degrees[index]))
        outcome = measure(subject, job.preset, found[index], end)
        outcomes[replica.name] = {**outcome, "refinement": facts[subject.name]}
        write_trajectory(
            folder.path / "trajectories",
            subject,
            replica.name,
            found[index],
            preset=job.preset,
            most=job.frames,
            form=job.form,
        )
    return outcomes, found


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


def _refine(work: SimulationWork, replicas: Sequence[Replica]) -> Refined:
    """Return the model refined once per split on conformers and starts, and its facts."""
    began = time.perf_counter()
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
        model = next(iter(models.values()))
    else:
        model = Routed(work.model, models)
    return Refined(model, told, time.perf_counter() - began)
