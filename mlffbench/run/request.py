"""Request: what was typed, checked whole, then resolved to the jobs of a campaign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast, overload

from mlffbench.core.errors import SuiteError
from mlffbench.core.roles import Named
from mlffbench.core.split import Split, remarks_on
from mlffbench.dynamics.presets import Preset
from mlffbench.run.curve.curve_job import (
    AdaptsTo,
    Curve,
    CurveJob,
    check_starts,
    check_ungated,
)
from mlffbench.run.curve.pool import (
    check_molecules,
    check_sizes,
    choose_halves,
    possible_sizes,
)
from mlffbench.run.evaluate.evaluation_job import BATCH_ATOMS, Half, Job, splits_of
from mlffbench.run.evaluate.execute import Evaluation
from mlffbench.run.folder import RunFolder
from mlffbench.run.names import Names, check_names
from mlffbench.run.simulate.simulation_job import EngineName, Simulation, SimulationJob
from mlffbench.run.simulate.subjects import chosen_splits, find_subjects
from mlffbench.run.simulate.trajectories import Format
from mlffbench.run.suite import Setting, Suite
from mlffbench.run.suite_splits import load_splits
from mlffbench.run.work import AnyJob, Kind
from mlffbench.training.finetune import FineTuning


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyRequest:
    """What every request says, defaults filled in where there is one for everybody.

    Attributes:
        suite: Name or path.
        models: Models as typed; empty means the suite's.
        modes: Modes; empty means the suite's.
        settings: Mode -> settings that go before the suite's.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32`` or ``float64``; None is each model's default.
        seed: Seed of every random choice.
        out: Folder of all runs.
        overwrite: Replace runs with other settings.
        trust: Load what runs code that was not typed: pickled models, names in files.
    """

    suite: str
    models: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    settings: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str | None = None
    seed: int = 0
    out: Path = Path("runs")
    overwrite: bool = False
    trust: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(AnyRequest):
    """Models and modes on a suite: what ``mlffbench run`` asks for.

    Attributes:
        half: ``test`` or ``val``.
        limit: Structures per split at most.
        batch_atoms: Atoms per batch; None is the device's default.
        diagnose: Measure, beside every run, how far its structures are from training.
    """

    half: Half = "test"
    limit: int | None = None
    batch_atoms: int | None = None
    diagnose: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationRequest(AnyRequest):
    """Dynamics of a suite's molecules: what ``mlffbench simulate`` asks for.

    Attributes:
        preset: The protocol.
        splits: Splits; empty means the suite's choice.
        engine: ``batched`` or ``ase``.
        limit: Molecules per split at most.
        batch_atoms: Atoms per model call; None is the device's default.
        frames: Frames per written trajectory at most.
        form: Format of the trajectories.
    """

    preset: Preset
    splits: tuple[str, ...] = ()
    engine: EngineName = "batched"
    limit: int | None = None
    batch_atoms: int | None = None
    frames: int = 200
    form: Format = "extxyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveRequest(AnyRequest):
    """Error against labels: what ``mlffbench finetune-curve`` asks for.

    Attributes:
        modes: Starts.
        splits: OOD splits; empty means every one with both halves.
        sizes: Numbers of labels.
        n_seeds: Draws of the labels.
        tuning: How models are fine-tuned.
        adapts_to: Whose geometries test-time training sees.
    """

    modes: tuple[str, ...] = ("baseline", "ttt")
    splits: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (0, 5, 10, 25, 50, 100)
    n_seeds: int = 3
    tuning: FineTuning = field(default_factory=FineTuning)
    adapts_to: AdaptsTo = "pool"


OneJob = TypeVar("OneJob", bound=AnyJob)


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign(Generic[OneJob]):
    """A request resolved to jobs.

    Attributes:
        request: What was typed.
        suite: The suite.
        kind: What all jobs share, and how they are carried out.
        jobs: What is to be computed, in order.
        faults: One sentence for each part of the request that is left out.
        warnings: What a user should know before anything runs.
    """

    request: AnyRequest
    suite: Suite
    kind: Kind[OneJob]
    jobs: tuple[OneJob, ...]
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits its jobs touch."""
        return self.kind.splits

    def folder(self, job: OneJob) -> RunFolder:
        """Return where a job's results belong."""
        return self.kind.folder(self.request.out, job)


@overload
def resolve(request: Request) -> Campaign[Job]: ...
@overload
def resolve(request: SimulationRequest) -> Campaign[SimulationJob]: ...
@overload
def resolve(request: CurveRequest) -> Campaign[CurveJob]: ...
@overload
def resolve(request: AnyRequest) -> Campaign[Any]: ...
def resolve(request: AnyRequest) -> Campaign[Any]:
    """Return every job of a request, once all that was typed has been checked.

    Names, settings and the roles of the suite's own splits come first: what is wrong with
    them is told before a file of structures is opened. No model is loaded; only the
    starts of simulations are computed, their relaxation.

    Raises:
        BenchError: The suite, a file of it, a model, a mode or a setting is unknown or
            broken.
    """
    names = check_names(
        request.suite,
        models=request.models,
        modes=request.modes,
        settings=request.settings,
        trust=request.trust,
    )
    if isinstance(request, SimulationRequest):
        return _simulations(request, names)
    if isinstance(request, CurveRequest):
        return _curves(request, names)
    return _evaluations(cast("Request", request), names)


def _shared(request: AnyRequest, names: Names) -> dict[str, Any]:
    """Return the values that the jobs of every kind have in common."""
    return {
        "suite": names.suite.name,
        "suite_version": names.suite.version,
        "device": request.device,
        "dtype": request.dtype,
        "seed": request.seed,
    }


def _evaluations(request: Request, names: Names) -> Campaign[Job]:
    suite = names.suite
    if suite.splits:
        _check_half(suite.name, suite.splits, request.half)
    splits = splits_of(load_splits(suite, names.folder), request.half)
    _check_half(suite.name, splits, request.half)
    jobs = tuple(
        Job(
            **_shared(request, names),
            model=model,
            mode=mode,
            half=request.half,
            limit=request.limit,
            batch_atoms=request.batch_atoms or BATCH_ATOMS[request.device],
            settings=names.settings[mode],
        )
        for model in names.models
        for mode in names.modes
    )
    kind = Evaluation(suite=suite, splits=tuple(splits))
    return Campaign(
        request=request,
        suite=suite,
        kind=kind,
        jobs=jobs,
        warnings=(*remarks_on(splits), *_thinned(splits, request)),
    )


def _thinned(splits: Sequence[Split], request: Request) -> list[str]:
    """Say that a limit leaves fewer structures to align energies on, too."""
    trained = [len(split.rows) for split in splits if split.role == "train"]
    if request.limit is None or all(n <= request.limit for n in trained):
        return []
    return [
        f"the limit of {request.limit} structures is one of train too: energies are "
        f"aligned on {sum(min(n, request.limit) for n in trained)} of {sum(trained)}, so "
        "aligned energies differ from those of a whole run"
    ]


def _check_half(suite: str, splits: Sequence[Named], half: Half) -> None:
    """Check that a suite has something to evaluate in a half.

    Raises:
        SuiteError: It has not.
    """
    if not any(split.role.endswith(half) for split in splits):
        msg = f"the suite {suite!r} has no split in its {half} half; choose the other "
        raise SuiteError(msg + "with --half")


def _simulations(request: SimulationRequest, names: Names) -> Campaign[SimulationJob]:
    suite = names.suite
    if request.splits:
        spec = suite.dynamics.model_copy(update={"splits": request.splits})
        suite = suite.model_copy(update={"dynamics": spec})
    if suite.splits:
        chosen_splits(suite, suite.splits)
    splits = load_splits(suite, names.folder)
    subjects = find_subjects(suite, splits, limit=request.limit)
    jobs = tuple(
        SimulationJob(
            **_shared(request, names),
            model=model,
            mode=mode,
            preset=request.preset,
            engine=request.engine,
            limit=request.limit,
            batch_atoms=request.batch_atoms or BATCH_ATOMS[request.device],
            frames=request.frames,
            form=request.form,
            settings=names.settings[mode],
        )
        for model in names.models
        for mode in names.modes
    )
    hydrogen = any(bool((subject.start.numbers == 1).any()) for subject in subjects)
    return Campaign(
        request=request,
        suite=suite,
        kind=Simulation(suite=suite, splits=tuple(splits), subjects=tuple(subjects)),
        jobs=jobs,
        warnings=(*remarks_on(splits), *request.preset.warnings(hydrogen=hydrogen)),
    )


def _curves(request: CurveRequest, names: Names) -> Campaign[CurveJob]:
    suite = names.suite
    check_starts(names.modes)
    check_ungated(dict(names.settings.get("ttt", ())))
    check_sizes(request.sizes)
    if suite.splits:
        choose_halves(suite, suite.splits, request.splits)
    splits = load_splits(suite, names.folder)
    pool, tests = choose_halves(suite, splits, request.splits)
    check_molecules(pool, [split for split in tests if split.role == "ood_test"])
    n_pool = sum(len(split.rows) for split in pool)
    sizes, faults = possible_sizes(request.sizes, n_pool)
    jobs = tuple(
        CurveJob(
            **_shared(request, names),
            model=model,
            modes=names.modes,
            splits=tuple(split.name for split in pool),
            sizes=sizes,
            n_seeds=request.n_seeds,
            tuning=request.tuning,
            adapts_to=request.adapts_to,
            settings=names.settings.get("ttt", ()),
        )
        for model in names.models
    )
    return Campaign(
        request=request,
        suite=suite,
        kind=Curve(pool=pool, tests=tests),
        jobs=jobs,
        faults=faults,
        warnings=remarks_on(splits),
    )
