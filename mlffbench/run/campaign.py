"""Campaign: everything one ``mlffbench run`` was asked for, resolved, then done."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mlffbench.core.errors import BenchError, CapabilityError, SuiteError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.split import Split
from mlffbench.models.catalog import MODELS
from mlffbench.models.load import card_of, load_model, parse_spec
from mlffbench.refine.modes import load_refiner, mode_name
from mlffbench.refine.refiner import Refiner
from mlffbench.run.diagnose.diagnosis_job import diagnose_runs
from mlffbench.run.evaluate.evaluation_job import BATCH_ATOMS, Half, Job, splits_of
from mlffbench.run.evaluate.execute import Progress, Work, execute
from mlffbench.run.folder import RunFolder, run_folder
from mlffbench.run.suite import Setting, Suite, load_splits, load_suite


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was typed, defaults filled in where there is one for everybody.

    Attributes:
        suite: Name or path.
        models: Models as typed; empty means the suite's.
        modes: Modes; empty means the suite's.
        settings: Mode -> settings that go before the suite's.
        half: ``test`` or ``val``.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32`` or ``float64``; None is each model's default.
        seed: Seed of every random choice.
        limit: Structures per split at most.
        batch_atoms: Atoms per batch; None is the device's default.
        out: Folder of all runs.
        overwrite: Replace runs with other settings.
        trust: Unpickle model files of unknown origin.
        diagnose: Measure, beside every run, how far its structures are from training.
    """

    suite: str
    models: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    settings: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    half: Half = "test"
    device: str = "cpu"
    dtype: str | None = None
    seed: int = 0
    limit: int | None = None
    batch_atoms: int | None = None
    out: Path = Path("runs")
    overwrite: bool = False
    trust: bool = False
    diagnose: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A request resolved to jobs."""

    request: Request
    suite: Suite
    splits: tuple[Split, ...]
    jobs: tuple[Job, ...]

    def folder(self, job: Job) -> RunFolder:
        """Return where a job's results belong."""
        suite = job.suite if job.half == "test" else f"{job.suite}-{job.half}"
        return run_folder(self.request.out, suite, job.model, mode_name(job.mode))


@dataclass(frozen=True, slots=True)
class Done:
    """Folders of the jobs that finished, and one sentence for each that did not.

    Attributes:
        folders: Of the finished jobs.
        faults: Jobs that should have run and could not.
        notes: Jobs of the suite's own modes that the model is not made for.
    """

    folders: list[RunFolder]
    faults: list[str]
    notes: list[str]


def prepare(request: Request) -> Campaign:
    """Return every job of a request; nothing is computed and no model is loaded.

    Raises:
        BenchError: The suite, a file of it or a mode is unknown or broken.
    """
    suite, folder = load_suite(request.suite)
    modes = request.modes or suite.modes
    for mode in (*modes, *suite.settings, *request.settings):
        mode_name(mode)
    unused = [mode for mode in request.settings if mode not in modes]
    if unused:
        msg = f"settings were given for mode {unused[0]!r}, which is not run; add it to "
        raise SuiteError(msg + "--mode or leave them out")
    for model in request.models or suite.models:
        parts = parse_spec(model)
        if not parts.is_file:
            MODELS.entry(parts.name)
    jobs = tuple(
        Job(
            suite=suite.name,
            suite_version=suite.version,
            model=model,
            mode=mode,
            half=request.half,
            device=request.device,
            dtype=request.dtype,
            seed=request.seed,
            limit=request.limit,
            batch_atoms=request.batch_atoms or BATCH_ATOMS[request.device],
            settings=tuple(
                sorted(
                    {
                        **suite.settings.get(mode, {}),
                        **request.settings.get(mode, {}),
                    }.items()
                )
            ),
        )
        for model in request.models or suite.models
        for mode in modes
    )
    splits = splits_of(load_splits(suite, folder), request.half)
    if all(split.role == "train" for split in splits):
        msg = f"the suite {suite.name!r} has no split in its {request.half} half"
        raise SuiteError(msg + "; choose the other with --half")
    return Campaign(request=request, suite=suite, splits=tuple(splits), jobs=jobs)


def run_campaign(campaign: Campaign, progress: Progress) -> Done:
    """Run every job; one that cannot run does not stop the others.

    A mode that the user did not ask for by name, but the suite, is left out for a model
    that lacks the capability.

    Args:
        campaign: The jobs.
        progress: Told of every finished batch.
    """
    done = Done([], [], [])
    by_model: dict[str, list[Job]] = {}
    for job in campaign.jobs:
        by_model.setdefault(job.model, []).append(job)
    with one_thread():
        for model, jobs in by_model.items():
            options = ModelOptions(
                device=campaign.request.device,
                dtype=campaign.request.dtype,
                trust=campaign.request.trust,
            )
            try:
                loaded = load_model(model, options)
            except BenchError as error:
                done.faults.append(f"{model}: {error}")
                continue
            for job in jobs:
                try:
                    _run_job(campaign, job, loaded, progress)
                except CapabilityError as error:
                    asked = job.mode in campaign.request.modes
                    where = done.faults if asked else done.notes
                    where.append(f"{model} {job.mode}: {error}")
                except BenchError as error:
                    done.faults.append(f"{model} {job.mode}: {error}")
                else:
                    done.folders.append(campaign.folder(job))
            if campaign.request.diagnose:
                done.notes.extend(_diagnose(campaign, jobs, loaded, done, progress))
    return done


def _diagnose(
    campaign: Campaign,
    jobs: list[Job],
    model: ForceField,
    done: Done,
    progress: Progress,
) -> list[str]:
    """Diagnose the finished runs of one model; return what could not be computed."""
    mine = [campaign.folder(job) for job in jobs]
    folders = [folder for folder in mine if folder in done.folders]
    request = campaign.request
    progress.begin(f"{model.name} diagnostics", len(folders))
    return diagnose_runs(
        folders,
        model,
        device=request.device,
        dtype=request.dtype,
        advance=progress.advance,
    )


def _run_job(campaign: Campaign, job: Job, model: Any, progress: Progress) -> None:
    refiner = make_refiner(job.mode, job.settings)
    work = Work(
        job=job,
        splits=campaign.splits,
        model=model,
        card=card_of(model),
        refiner=refiner,
        suite_manifest=campaign.suite.model_dump(mode="json"),
    )
    overwrite = campaign.request.overwrite
    execute(work, campaign.folder(job), progress, overwrite=overwrite)


def make_refiner(
    mode: str, settings: tuple[tuple[str, str | int | float | bool], ...]
) -> Refiner:
    """Return the refinement of a mode with a suite's settings.

    Raises:
        BenchError: There is no such mode, or it does not take the settings.
    """
    return load_refiner(mode, dict(settings))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: two only spin on batches of small molecules."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
