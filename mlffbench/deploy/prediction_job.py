"""Predictions of structures without labels, carried out by the runner as any other run.

The structures are the one split of a suite that is made for them, and their labels are
NaN. What a refinement learns from training, it learns from the suite of the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlffbench.core.errors import BenchError, CapabilityError, NoTrainingError, SuiteError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.split import NO_CONTROL, NO_TRAIN, Split
from mlffbench.core.structures import Structures
from mlffbench.datasets.unlabelled.unlabelled_file import Unlabelled, open_unlabelled
from mlffbench.models.load import card_of
from mlffbench.refine.modes import load_refiner, mode_name
from mlffbench.refine.refiner import LearnsFromTraining, Training
from mlffbench.run.catalog import suite_rows
from mlffbench.run.evaluate.data_check import NOT_CHECKED
from mlffbench.run.evaluate.evaluation_job import BATCH_ATOMS, Job
from mlffbench.run.evaluate.execute import EvaluationWork, Inputs, training_of
from mlffbench.run.folder import RunFolder, slug
from mlffbench.run.names import check_names
from mlffbench.run.request import AnyRequest, Campaign
from mlffbench.run.settings import check_settings
from mlffbench.run.suite import Setting, SplitSpec, Suite, load_suite, needs
from mlffbench.run.suite_splits import load_splits
from mlffbench.run.work import Progress

MANIFEST = "prediction.json"
"""What stands in place of ``run.json``: there are no errors to score."""
SPLIT = "file"
_NOT_MEANT = (NO_TRAIN, NO_CONTROL, NOT_CHECKED)
"""Remarks on suites that say nothing of structures without labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRequest:
    """What is to be predicted, by whom and how.

    Attributes:
        path: The file or folder.
        models: Models as typed.
        modes: Modes as typed.
        suite: Whose training geometries a mode may compare with; empty is the model's.
        settings: Mode -> its settings.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32`` or ``float64``; None is each model's default.
        seed: Of every random choice.
        batch_atoms: Atoms per batch; None is the device's default.
        conformers: Per line of a SMILES file.
        out: Folder of the predictions.
        overwrite: Replace predictions with other settings.
        trust: Load model files that can run code of their own.
    """

    path: Path
    models: tuple[str, ...]
    modes: tuple[str, ...] = ("baseline",)
    suite: str = ""
    settings: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str | None = None
    seed: int = 0
    batch_atoms: int | None = None
    conformers: int = 1
    out: Path = Path("predictions")
    overwrite: bool = False
    trust: bool = False


def suite_of(model: str) -> str:
    """Return the suite that ships with its data and names a model; empty where none does.

    Of several, the one whose tests are of several shifts, ``…-ood``.
    """
    for name in sorted(suite_rows(), key=lambda one: (not one.endswith("-ood"), one)):
        if model in load_suite(name)[0].models and not needs(name):
            return name
    return ""


def training_for(
    model: str, suite: str, seed: int, *, trust: bool = False
) -> tuple[Training, Mapping[str, Mapping[str, Setting]]]:
    """Return the training geometries of a suite, and its settings of modes.

    Args:
        model: The model as typed.
        suite: Name or path; empty is the model's own.
        seed: Of the choice of geometries.
        trust: Let a suite file name what runs code.

    Returns:
        Training whose reading raises NoTrainingError where no suite is known.

    Raises:
        BenchError: The suite is unknown or broken.
    """
    name = suite or suite_of(model)
    if not name:
        return Training(name="no suite", sha256="", read=lambda: _nowhere(model)), {}
    names = check_names(name, models=[model], modes=["baseline"], trust=trust)
    splits = [one for one in load_splits(names.suite, names.folder) if _trains(one)]
    return training_of(names.suite.name, splits, seed), names.suite.settings


def _nowhere(model: str) -> Structures:
    msg = (
        f"it compares with training geometries, and no suite of {model!r} is known; name "
        "one with --suite"
    )
    raise CapabilityError(msg)


def _trains(split: Split) -> bool:
    return split.role == "train"


def split_of(source: Unlabelled) -> Split:
    """Return all structures of a source as the one split of its suite."""
    return Split(
        name=SPLIT,
        role="id_test",
        source=source,
        rows=np.arange(source.index.n_structures),
        rule="every structure",
    )


def check_request(request: PredictionRequest) -> None:
    """Check names and settings of a request; nothing is loaded.

    Raises:
        BenchError: One of them is unknown or wrong.
    """
    if not request.models:
        raise BenchError("name a model with --model; mlffbench list models names them")
    check_names("mini-ood", models=request.models, modes=["baseline"])
    for mode in request.modes:
        mode_name(mode)
    for mode, values in request.settings.items():
        if mode not in request.modes:
            msg = f"settings were given for mode {mode!r}, which is not run; add it to "
            raise SuiteError(msg + "--mode or leave them out")
        check_settings(mode, values)


@dataclass(frozen=True, eq=False, kw_only=True)
class PredictionWork(EvaluationWork):
    """A run of structures without labels; all of it is the runner's."""

    def decides(self) -> dict[str, Any]:
        """Return everything that decides the predictions."""
        learns = isinstance(self.refiner, LearnsFromTraining) and self.training.sha256
        training = {"name": self.training.name, "sha256": self.training.sha256}
        return {**super().decides(), **({"training": training} if learns else {})}

    def compute(
        self, inputs: Inputs, folder: RunFolder, progress: Progress
    ) -> dict[str, Any]:
        """Predict what is missing; remarks on labels are left out.

        Raises:
            ModelError: The model breaks a promise.
            StoreError: The folder cannot be written.
        """
        costs = super().compute(inputs, folder, progress)
        checks = dict(costs["checks"])
        checks["remarks"] = [
            text
            for text in checks["remarks"]
            if not any(words in text for words in _NOT_MEANT)
        ]
        return {**costs, "checks": checks}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Predictions:
    """What all predictions of a file share: a kind of run.

    Attributes:
        request: What was asked for.
        suite: The suite that is made for the file.
        splits: Its one split.
    """

    request: PredictionRequest
    suite: Suite
    splits: tuple[Split, ...]

    def folder(self, out: Path, job: Job) -> RunFolder:
        """Return where the predictions of a model in a mode belong."""
        return RunFolder(out / slug(job.model) / mode_name(job.mode), MANIFEST)

    def work(self, job: Job, model: ForceField) -> PredictionWork:
        """Return a job with everything it needs.

        Raises:
            BenchError: The mode does not take its settings, or the suite is broken.
        """
        asked = self.request
        refiner = load_refiner(job.mode, dict(job.settings))
        training, settings = Training(name="", sha256="", read=_unread), {}
        if isinstance(refiner, LearnsFromTraining):
            training, found = training_for(
                job.model, asked.suite, job.seed, trust=asked.trust
            )
            settings = {**found.get(job.mode, {}), **dict(job.settings)}
            refiner = load_refiner(job.mode, settings)
        return PredictionWork(
            job=job,
            model=model,
            subject=model,
            card=card_of(model),
            refiner=refiner,
            training=training,
            suite=self.suite.model_dump(mode="json"),
            splits=self.splits,
        )


def _unread() -> Structures:
    raise NoTrainingError("of predictions")


def suite_for(request: PredictionRequest) -> Suite:
    """Return the suite that is made for the structures of a request."""
    return Suite(
        name="unlabelled",
        version=1,
        summary="structures without labels",
        splits=(SplitSpec(name=SPLIT, role="id_test", file=str(request.path)),),
        models=request.models,
        modes=request.modes,
    )


def job_of(request: PredictionRequest, model: str, mode: str) -> Job:
    """Return the job of one model in one mode."""
    return Job(
        suite="unlabelled",
        suite_version=1,
        model=model,
        mode=mode,
        half="test",
        device=request.device,
        dtype=request.dtype,
        seed=request.seed,
        limit=None,
        batch_atoms=request.batch_atoms or BATCH_ATOMS[request.device],
        settings=tuple(sorted(request.settings.get(mode, {}).items())),
    )


def prepare_predictions(request: PredictionRequest) -> Campaign[Job]:
    """Return the jobs of a request, once all that was typed has been checked.

    Raises:
        BenchError: A name or a setting is wrong, or the file cannot be read.
    """
    check_request(request)
    source = open_unlabelled(request.path, conformers=request.conformers)
    suite = suite_for(request)
    jobs = tuple(
        job_of(request, model, mode) for model in request.models for mode in request.modes
    )
    asked = AnyRequest(
        suite=suite.name,
        models=request.models,
        modes=request.modes,
        settings=request.settings,
        device=request.device,
        dtype=request.dtype,
        seed=request.seed,
        out=request.out,
        overwrite=request.overwrite,
        trust=request.trust,
    )
    kind = Predictions(request=request, suite=suite, splits=(split_of(source),))
    return Campaign(
        request=asked, suite=suite, kind=kind, jobs=jobs, warnings=source.remarks
    )
