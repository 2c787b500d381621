"""Curve: error against the number of fine-tuning labels, from several starts."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, Self, cast, runtime_checkable

import numpy as np

from mlffbench.core.errors import BenchError, CapabilityError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.metrics.forces import forces_mae
from mlffbench.models.load import card_of
from mlffbench.refine.prior_head import PriorLabels, require_prior_head
from mlffbench.refine.refined_units import rows_of
from mlffbench.refine.ttt import PriorTuning
from mlffbench.run.curve.curve_points import Point, given_up
from mlffbench.run.evaluate.evaluation_job import BATCH_ATOMS
from mlffbench.run.folder import CURVE, Arrays, RunFolder, run_folder, write_arrays
from mlffbench.run.manifest import run_fingerprint
from mlffbench.run.provenance import model_manifest
from mlffbench.run.shards.crew import Crew
from mlffbench.run.shards.sound_parts import sound_parts
from mlffbench.run.work import Progress
from mlffbench.training.epochs import Trainable
from mlffbench.training.examples import Examples
from mlffbench.training.finetune import FineTuning, draw_order, fine_tune

MODES = ("baseline", "ttt")
AdaptsTo = Literal["pool", "tests", "both"]
POOL_STEPS = 200
"""Steps of test-time training on the whole pool, unless the suite says otherwise."""


@runtime_checkable
class _Tunable(Protocol):
    """What fine-tuning asks of a model."""

    def clone(self) -> Self: ...

    def parameters_of(self, part: str) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveJob:
    """One model on one suite, every value resolved.

    Attributes:
        suite: Name of the suite, with its ``suite_version``.
        model: The model as typed.
        modes: Starts: ``baseline`` and ``ttt``.
        splits: OOD splits: labels from their val halves, errors on their test halves.
        sizes: Numbers of labels, ascending; none above the pool.
        n_seeds: Draws of the labels.
        tuning: How it is fine-tuned.
        adapts_to: Whose geometries test-time training sees: the pool's, those of the OOD
            tests, or both.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32`` or ``float64``; None is the model's own default.
        seed: First seed of the draws.
        settings: Settings of test-time training.
    """

    suite: str
    suite_version: int
    model: str
    modes: tuple[str, ...]
    splits: tuple[str, ...]
    sizes: tuple[int, ...]
    n_seeds: int
    tuning: FineTuning
    adapts_to: AdaptsTo
    device: str
    dtype: str | None
    seed: int
    settings: tuple[tuple[str, str | int | float | bool], ...] = ()

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.model

    def as_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        values = {**asdict(self), "settings": dict(self.settings)}
        return json.loads(json.dumps(values))  # type: ignore[no-any-return]


def points_of(job: CurveJob) -> list[Point]:
    """Return every fine-tuning of a job; without labels there is one per start."""
    draws = [
        (mode, size, job.seed + number)
        for mode in job.modes
        for size in job.sizes
        for number in range(job.n_seeds if size else 1)
    ]
    return [Point(place, *draw) for place, draw in enumerate(draws)]


class Inputs(NamedTuple):
    """What a curve is computed on.

    Labels go from here to fine_tune and to forces_mae, and nowhere else.

    Attributes:
        examples: The pool, labelled.
        geometries: Per test.
        references: Their labels.
    """

    examples: Examples
    geometries: list[Structures]
    references: list[Labels]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CurveWork:
    """A job with everything it needs in hand.

    Attributes:
        job: The job.
        model: The loaded model.
        pool: Splits that labels are drawn from (val halves).
        tests: Splits that errors are taken on: OOD test halves, then the ID controls.
        others: Whether others compute it while this process waits; None: it computes.
    """

    job: CurveJob
    model: ForceField
    pool: Sequence[Split]
    tests: Sequence[Split]
    others: Callable[[], bool] | None = None

    def prepared(self, progress: Progress) -> Self:  # noqa: ARG002 - nothing is fitted
        """Return the job; CapabilityError where the model cannot be fine-tuned."""
        model = self.model
        if not isinstance(model, _Tunable) or not model.parameters_of("ref"):
            msg = (
                f"model {model.name!r} cannot be fine-tuned here: expected a two-headed "
            )
            raise CapabilityError(msg + "network, see mlffbench train")
        if "ttt" in self.job.modes:
            require_prior_head(model, "starting from 'ttt'")
        return self

    def decides(self) -> dict[str, Any]:
        """Return everything that decides the errors."""
        model = model_manifest(self.job.model, self.model, card_of(self.model))
        del model["card"]  # fingerprints of curves have never held it
        return {
            "job": self.job.as_dict(),
            "splits": [
                {"name": s.name, "role": s.role, "sha256": s.sha256}
                for s in (*self.pool, *self.tests)
            ],
            "model": model,
            "mode": {"name": "finetune-curve"},
        }

    def about(self) -> dict[str, Any]:
        """Return nothing: the job says it all."""
        return {}

    def read(self) -> Inputs:
        """Return the labelled pool and the tests.

        Raises:
            DataError: A structure or a label cannot be read.
        """
        return Inputs(
            examples=Examples.merge([_labelled(split) for split in self.pool]),
            geometries=[split.structures for split in self.tests],
            references=[split.reference for split in self.tests],
        )

    def inputs(self) -> Inputs:
        """Return the same."""
        return self.read()

    def crew(
        self,
        inputs: Inputs,
        folder: RunFolder,
        is_wanted: Callable[[], bool] = lambda: True,
        others: Callable[[], bool] | None = None,
    ) -> Crew:
        """Return this process as one of those that compute the points."""
        starts: dict[str, ForceField] = {}
        run = run_fingerprint(self.decides())

        def compute(point: Point, progress: Progress) -> Arrays:
            if point.mode not in starts:
                starts[point.mode] = _start(self, point.mode)
            tuned = _tuned(self, starts[point.mode], inputs.examples, point)
            errors = [
                _errors(self, tuned, *pair)
                for pair in zip(inputs.geometries, inputs.references, strict=True)
            ]
            progress.advance(1)
            return {
                "rows": np.asarray([point.number], dtype=np.int64),
                "run": np.asarray(run),
                "error": np.concatenate(errors),
            }

        return Crew(folder, points_of(self.job), compute, given_up, is_wanted, others)

    def compute(
        self, inputs: Inputs, folder: RunFolder, progress: Progress
    ) -> dict[str, Any]:
        """Compute the points that are missing and write the results.

        Raises:
            StoreError: The folder cannot be written.
            BenchError: A fine-tuning diverges.
        """
        points = points_of(self.job)
        crew = self.crew(inputs, folder, others=self.others)
        progress.begin(f"{self.job.model} curve", len(points))
        parts = sound_parts(crew, run_fingerprint(self.decides()), progress)
        joined = _joined(self, points, inputs.geometries, parts)
        write_arrays(folder.path / "errors.npz", joined)
        return {}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Curve:
    """What all curves of a suite share.

    Attributes:
        pool: Splits that labels are drawn from.
        tests: Splits that errors are taken on.
        others: Whether others compute its jobs while this process waits.
    """

    pool: tuple[Split, ...]
    tests: tuple[Split, ...]
    others: Callable[[], bool] | None = None

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits of both."""
        return (*self.pool, *self.tests)

    def folder(self, out: Path, job: CurveJob) -> RunFolder:
        """Return where a job's results belong: beside the runs of its model."""
        path = run_folder(out, job.suite, job.model, "finetune-curve").path
        return RunFolder(path, CURVE)

    def work(self, job: CurveJob, model: ForceField) -> CurveWork:
        """Return a job with everything it needs."""
        return CurveWork(
            job=job, model=model, pool=self.pool, tests=self.tests, others=self.others
        )


def check_starts(modes: Sequence[str]) -> None:
    """Check that modes leave weights to fine-tune from.

    Raises:
        BenchError: One does not.
    """
    for mode in modes:
        if mode not in MODES:
            msg = f"mode {mode!r} leaves no weights to fine-tune from; expected "
            raise BenchError(msg + " or ".join(MODES))


def check_ungated(settings: Mapping[str, object]) -> None:
    """Check that nobody asks for a gate: a curve asks what adapting is worth in labels.

    Its start is one set of weights, adapted to the whole pool. A gate would give back the
    untouched ones, and the curve would compare the baseline with itself.

    Raises:
        BenchError: A gate is asked for.
    """
    if settings.get("gate", "off") != "off":
        msg = (
            "finetune-curve adapts one set of weights to the whole pool, without a gate; "
            "leave ttt.gate out, or compare modes with mlffbench run, where it holds"
        )
        raise BenchError(msg)


def _labelled(split: Split) -> Examples:
    return Examples(structures=split.structures, labels={"ref": split.reference})


def _start(work: CurveWork, mode: str) -> ForceField:
    """Return the weights a curve starts from; geometries are seen, never their labels."""
    if mode == "baseline":
        return work.model
    tests = [split for split in work.tests if split.role == "ood_test"]
    seen = {"pool": work.pool, "tests": tests, "both": [*work.pool, *tests]}
    chosen = seen[work.job.adapts_to]
    shown = Structures.concatenate([split.structures for split in chosen])
    settings: dict[str, Any] = {"steps": POOL_STEPS, **dict(work.job.settings)}
    tuning = PriorTuning(**{**settings, "unit": "split"})
    labels = PriorLabels(tuning.prior).of(shown)
    usable = [place for place in range(shown.n_systems) if place not in labels.failures]
    if not usable:
        msg = f"{tuning.prior} has forces of no structure that is adapted to "
        raise BenchError(msg + f"({labels.failures[0]}); choose another ttt.prior")
    targets = rows_of(labels.forces, shown, usable)
    adapted = tuning.adapt(work.model, shown.select(usable), targets, "pool")
    if adapted.model is None:
        msg = "test-time training diverged; set a smaller learning_rate in the suite"
        raise BenchError(msg)
    return adapted.model


def _tuned(
    work: CurveWork, start: ForceField, examples: Examples, point: Point
) -> ForceField:
    if point.size == 0:
        return start
    chosen = draw_order(examples.structures.group, point.seed)[: point.size]
    twin = cast("_Tunable", start).clone()
    fine_tune(
        cast("Trainable", twin),
        examples.select(chosen),
        work.job.tuning,
        seed=point.seed,
    )
    return cast("ForceField", twin)


def _errors(
    work: CurveWork, model: ForceField, structures: Structures, reference: Labels
) -> np.ndarray:
    """Return the mean absolute force error of each structure, NaN where it failed."""
    found = []
    sizes = structures.sizes.tolist()
    step = max(1, BATCH_ATOMS[work.job.device] // max(sizes))
    stops = np.cumsum([0, *sizes])
    for first in range(0, len(sizes), step):
        last = min(first + step, len(sizes))
        batch = structures.select(range(first, last))
        labels = model.predict(batch.to(device=work.job.device))
        wanted = Labels(
            energy=reference.energy[first:last],
            forces=reference.forces[stops[first] : stops[last]],
            source=reference.source,
        )
        found.append(forces_mae(labels, wanted, batch)[""].value)
    return np.concatenate(found)


def _joined(
    work: CurveWork,
    points: Sequence[Point],
    geometries: Sequence[Structures],
    parts: Sequence[Arrays],
) -> Arrays:
    return {
        "error": np.stack([part["error"] for part in parts]),
        "mode": np.asarray([point.mode for point in points], dtype=np.str_),
        "size": np.asarray([point.size for point in points]),
        "seed": np.asarray([point.seed for point in points]),
        "split": np.concatenate(
            [np.full(len(s.rows), s.name) for s in work.tests]
        ).astype(np.str_),
        "role": np.concatenate([np.full(len(s.rows), s.role) for s in work.tests]),
        "molecule": np.asarray([g for s in work.tests for g in s.groups], dtype=np.str_),
        "n_atoms": np.concatenate([one.sizes.numpy() for one in geometries]),
    }
