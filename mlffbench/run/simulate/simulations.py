"""Simulations: all that one ``mlffbench simulate`` was asked for, resolved, then done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlffbench.core.errors import BenchError, CapabilityError
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.split import Split
from mlffbench.dynamics.presets import Preset
from mlffbench.models.catalog import MODELS
from mlffbench.models.load import card_of, load_model, parse_spec
from mlffbench.refine.modes import mode_name
from mlffbench.run.campaign import Done, make_refiner, one_thread
from mlffbench.run.evaluate.evaluation_job import BATCH_ATOMS
from mlffbench.run.evaluate.execute import Progress, training_of
from mlffbench.run.folder import SIMULATION, RunFolder, run_folder, slug
from mlffbench.run.simulate.simulation_job import (
    EngineName,
    SimulationJob,
    SimulationWork,
    simulate,
)
from mlffbench.run.simulate.subjects import Subject, find_subjects
from mlffbench.run.simulate.trajectories import Format
from mlffbench.run.suite import Setting, Suite, load_splits, load_suite


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationRequest:
    """What was typed, defaults filled in where there is one for everybody.

    Attributes:
        suite: Name or path.
        preset: The protocol.
        models: Models as typed; empty means the suite's.
        modes: Modes; empty means the suite's.
        settings: Mode -> settings that go before the suite's.
        splits: Splits; empty means the suite's.
        engine: ``batched`` or ``ase``.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32`` or ``float64``; None is each model's default.
        seed: Seed of every random choice.
        limit: Molecules per split at most.
        batch_atoms: Atoms per model call; None is the device's default.
        frames: Frames per written trajectory at most.
        form: Format of the trajectories.
        out: Folder of all runs.
        overwrite: Replace simulations with other settings.
        trust: Unpickle model files of unknown origin.
    """

    suite: str
    preset: Preset
    models: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    settings: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    splits: tuple[str, ...] = ()
    engine: EngineName = "batched"
    device: str = "cpu"
    dtype: str | None = None
    seed: int = 0
    limit: int | None = None
    batch_atoms: int | None = None
    frames: int = 200
    form: Format = "extxyz"
    out: Path = Path("runs")
    overwrite: bool = False
    trust: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulations:
    """A request resolved to jobs, with the molecules at hand."""

    request: SimulationRequest
    suite: Suite
    splits: tuple[Split, ...]
    subjects: tuple[Subject, ...]
    jobs: tuple[SimulationJob, ...]

    def folder(self, job: SimulationJob) -> RunFolder:
        """Return where a job's results belong: beside the predictions of its mode."""
        return simulation_folder(
            self.request.out,
            job.suite,
            job.model,
            mode_name(job.mode),
            job.preset.name,
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know before anything runs."""
        hydrogen = any(bool((s.start.numbers == 1).any()) for s in self.subjects)
        return self.request.preset.warnings(hydrogen=hydrogen)


def simulation_folder(
    out: Path, suite: str, model: str, mode: str, preset: str
) -> RunFolder:
    """Return the folder of a simulation."""
    beside = run_folder(out, suite, model, mode).path
    return RunFolder(beside / "dynamics" / slug(preset), SIMULATION)


def prepare_simulations(
    request: SimulationRequest, relaxed: Callable[[int], None] | None = None
) -> Simulations:
    """Return every job of a request with relaxed starts; no model is loaded.

    Args:
        request: What was typed.
        relaxed: Told of every start.

    Raises:
        BenchError: The suite, a file of it, a split or a mode is unknown or broken.
    """
    suite, folder = load_suite(request.suite)
    if request.splits:
        spec = suite.dynamics.model_copy(update={"splits": request.splits})
        suite = suite.model_copy(update={"dynamics": spec})
    models, modes = request.models or suite.models, request.modes or suite.modes
    for mode in (*modes, *suite.settings, *request.settings):
        mode_name(mode)
    unused = [mode for mode in request.settings if mode not in modes]
    if unused:
        msg = f"settings were given for mode {unused[0]!r}, which is not run; add it to "
        raise BenchError(msg + "--mode")
    for model in models:
        parts = parse_spec(model)
        if not parts.is_file:
            MODELS.entry(parts.name)
    splits = load_splits(suite, folder)
    subjects = find_subjects(suite, splits, limit=request.limit, progress=relaxed)
    jobs = tuple(
        SimulationJob(
            suite=suite.name,
            suite_version=suite.version,
            model=model,
            mode=mode,
            preset=request.preset,
            engine=request.engine,
            device=request.device,
            dtype=request.dtype,
            seed=request.seed,
            limit=request.limit,
            batch_atoms=request.batch_atoms or BATCH_ATOMS[request.device],
            frames=request.frames,
            form=request.form,
            settings=tuple(
                sorted(
                    {
                        **suite.settings.get(mode, {}),
                        **request.settings.get(mode, {}),
                    }.items()
                )
            ),
        )
        for model in models
        for mode in modes
    )
    return Simulations(
        request=request,
        suite=suite,
        splits=tuple(splits),
        subjects=tuple(subjects),
        jobs=jobs,
    )


def run_simulations(simulations: Simulations, progress: Progress) -> Done:
    """Run every job; one that cannot run does not stop the others.

    Args:
        simulations: The jobs.
        progress: Told of steps.
    """
    done = Done([], [], [])
    by_model: dict[str, list[SimulationJob]] = {}
    for job in simulations.jobs:
        by_model.setdefault(job.model, []).append(job)
    request = simulations.request
    with one_thread():
        for model, jobs in by_model.items():
            options = ModelOptions(
                device=request.device, dtype=request.dtype, trust=request.trust
            )
            try:
                loaded = load_model(model, options)
            except BenchError as error:
                done.faults.append(f"{model}: {error}")
                continue
            for job in jobs:
                work = SimulationWork(
                    job=job,
                    subjects=simulations.subjects,
                    model=loaded,
                    card=card_of(loaded),
                    refiner=make_refiner(job.mode, job.settings),
                    training=training_of(job.suite, simulations.splits, job.seed),
                    suite_manifest=simulations.suite.model_dump(mode="json"),
                )
                folder = simulations.folder(job)
                try:
                    simulate(work, folder, progress, overwrite=request.overwrite)
                except CapabilityError as error:
                    where = done.faults if job.mode in request.modes else done.notes
                    where.append(f"{model} {job.mode}: {error}")
                except BenchError as error:
                    done.faults.append(f"{model} {job.mode}: {error}")
                else:
                    done.folders.append(folder)
    return done
