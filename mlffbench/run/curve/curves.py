"""Curves: everything one ``mlffbench finetune-curve`` was asked for, then done."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlffbench.core.errors import BenchError, SuiteError
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.split import Split
from mlffbench.models.catalog import MODELS
from mlffbench.models.load import load_model, parse_spec
from mlffbench.run.campaign import Done, one_thread
from mlffbench.run.curve.curve_job import AdaptsTo, CurveJob, CurveWork, trace_curve
from mlffbench.run.evaluate.execute import Progress
from mlffbench.run.folder import CURVE, RunFolder, run_folder
from mlffbench.run.suite import Suite, load_splits, load_suite
from mlffbench.training.finetune import FineTuning


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveRequest:
    """What was typed, defaults filled in where there is one for everybody.

    Attributes:
        suite: Name or path.
        models: Models as typed; empty means the suite's.
        modes: Starts.
        splits: OOD splits; empty means every one with both halves.
        sizes: Numbers of labels.
        n_seeds: Draws of the labels.
        tuning: How models are fine-tuned.
        adapts_to: Whose geometries test-time training sees.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32`` or ``float64``; None is each model's default.
        seed: First seed of the draws.
        out: Folder of all runs.
        overwrite: Replace curves with other settings.
        trust: Unpickle model files of unknown origin.
    """

    suite: str
    models: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("baseline", "ttt")
    splits: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (0, 5, 10, 25, 50, 100)
    n_seeds: int = 3
    tuning: FineTuning = field(default_factory=FineTuning)
    adapts_to: AdaptsTo = "pool"
    device: str = "cpu"
    dtype: str | None = None
    seed: int = 0
    out: Path = Path("runs")
    overwrite: bool = False
    trust: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """A request resolved to jobs.

    Attributes:
        request: What was typed.
        suite: The suite.
        pool: Splits that labels are drawn from.
        tests: Splits that errors are taken on.
        jobs: One per model.
        faults: One sentence for each size that is left out.
    """

    request: CurveRequest
    suite: Suite
    pool: tuple[Split, ...]
    tests: tuple[Split, ...]
    jobs: tuple[CurveJob, ...]
    faults: tuple[str, ...]

    def folder(self, job: CurveJob) -> RunFolder:
        """Return where a job's results belong: beside the runs of its model."""
        path = run_folder(self.request.out, job.suite, job.model, "finetune-curve").path
        return RunFolder(path, CURVE)


def prepare_curves(request: CurveRequest) -> Curves:
    """Return every job of a request; nothing is computed and no model is loaded.

    Raises:
        BenchError: The suite, a split or a model is unknown, or no size is possible.
    """
    suite, folder = load_suite(request.suite)
    splits = load_splits(suite, folder)
    models = request.models or suite.models
    for model in models:
        parts = parse_spec(model)
        if not parts.is_file:
            MODELS.entry(parts.name)
    pool, tests = _halves(suite, splits, request.splits)
    n_pool = sum(len(split.rows) for split in pool)
    sizes, faults = _possible(request.sizes, n_pool)
    jobs = tuple(
        CurveJob(
            suite=suite.name,
            suite_version=suite.version,
            model=model,
            modes=request.modes,
            splits=tuple(split.name for split in pool),
            sizes=sizes,
            n_seeds=request.n_seeds,
            tuning=request.tuning,
            adapts_to=request.adapts_to,
            device=request.device,
            dtype=request.dtype,
            seed=request.seed,
            settings=tuple(sorted(suite.settings.get("ttt", {}).items())),
        )
        for model in models
    )
    return Curves(
        request=request, suite=suite, pool=pool, tests=tests, jobs=jobs, faults=faults
    )


def run_curves(curves: Curves, progress: Progress) -> Done:
    """Compute every curve; one that cannot be does not stop the others."""
    done = Done([], list(curves.faults), [])
    request = curves.request
    with one_thread():
        for job in curves.jobs:
            options = ModelOptions(
                device=request.device, dtype=request.dtype, trust=request.trust
            )
            folder = curves.folder(job)
            try:
                work = CurveWork(
                    job=job,
                    model=load_model(job.model, options),
                    pool=curves.pool,
                    tests=curves.tests,
                )
                trace_curve(work, folder, progress, overwrite=request.overwrite)
            except BenchError as error:
                done.faults.append(f"{job.model}: {error}")
            else:
                done.folders.append(folder)
    return done


def _halves(
    suite: Suite, splits: Sequence[Split], names: Sequence[str]
) -> tuple[tuple[Split, ...], tuple[Split, ...]]:
    """Return the val halves that are labelled, and the test halves and their controls."""
    val = {split.name: split for split in splits if split.role == "ood_val"}
    test = {split.name: split for split in splits if split.role == "ood_test"}
    both = [name for name in test if name in val]
    for name in names:
        if name not in both:
            msg = (
                f"the suite {suite.name!r} has no OOD split {name!r} with a val half to "
            )
            msg += (
                f"label and a test half to test on; it has: {', '.join(both) or 'none'}"
            )
            raise SuiteError(msg)
    chosen = list(names) or both
    if not chosen:
        msg = f"no OOD split of the suite {suite.name!r} has both a val half, to draw "
        raise SuiteError(msg + "labels from, and a test half, to test on")
    controls = [split for split in splits if split.role == "id_test"]
    wanted = {test[name].control for name in chosen} - {""}
    used = [split for split in controls if split.name in wanted] or controls[:1]
    tests = [test[name] for name in chosen]
    _check_molecules([val[name] for name in chosen], tests)
    return tuple(val[name] for name in chosen), (*tests, *used)


def _check_molecules(pool: Sequence[Split], tests: Sequence[Split]) -> None:
    """A label of one split may not be of a molecule that another split tests on."""
    labelled = {group for split in pool for group in split.groups}
    for split in tests:
        shared = labelled & set(split.groups)
        if shared:
            msg = (
                f"{len(shared)} molecules of the test half of {split.name!r} are in a "
                f"val half that labels are drawn from, e.g. {min(shared)!r}; name splits "
            )
            raise SuiteError(msg + "that share none with --split")


def _possible(
    sizes: Sequence[int], n_pool: int
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the sizes that the pool can serve, and a sentence for each other."""
    for size in sizes:
        if size < 0:
            msg = f"a curve cannot be drawn at {size} labels; give --sizes from 0 on"
            raise BenchError(msg)
    large = sorted({size for size in sizes if size > n_pool})
    kept = tuple(sorted({size for size in sizes if size <= n_pool}))
    faults = tuple(
        f"{size} labels are more than the {n_pool} of the pool; left out, the other "
        f"sizes stand; give at most {n_pool}, or more splits"
        for size in large
    )
    if not kept:
        raise BenchError(faults[0] if faults else "give --sizes, e.g. 0,5,10")
    return kept, faults
