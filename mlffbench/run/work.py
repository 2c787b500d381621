"""Work: one job with everything it needs in hand, and who watches it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import torch

from mlffbench.core.card import ModelCard
from mlffbench.core.forcefield import ForceField
from mlffbench.core.model_options import DTYPES
from mlffbench.core.split import Split
from mlffbench.refine.modes import guard
from mlffbench.refine.refiner import LearnsFromTraining, Refiner, Training
from mlffbench.run.folder import RunFolder
from mlffbench.run.prior_heads import subject_of
from mlffbench.run.provenance import mode_files, model_manifest


class Progress(Protocol):
    """Whoever wants to know how far a job is."""

    def begin(self, title: str, n_structures: int) -> None:
        """A job starts."""
        ...

    def advance(self, n_structures: int) -> None:
        """Structures, or whatever the job counts, were finished."""
        ...


class Silent:
    """Progress that nobody watches."""

    def begin(self, title: str, n_structures: int) -> None:
        """Ignore it."""

    def advance(self, n_structures: int) -> None:
        """Ignore it."""


Inputs = TypeVar("Inputs")


class Work(Protocol[Inputs]):
    """A job with its model in hand: what differs between the kinds of run.

    ``Inputs`` is whatever it reads before it computes, so that bad data are told before
    anything is written.
    """

    def prepared(self, progress: Progress) -> Self:
        """Return the job ready to be carried out.

        Args:
            progress: Told of what is fitted first, if anything is.

        Raises:
            CapabilityError: The model lacks what the job needs.
        """
        ...

    def decides(self) -> Mapping[str, Any]:
        """Return everything that decides the numbers, as JSON can hold it."""
        ...

    def about(self) -> Mapping[str, Any]:
        """Return what else the manifest tells."""
        ...

    def read(self) -> Inputs:
        """Return what is computed on."""
        ...

    def compute(
        self, inputs: Inputs, folder: RunFolder, progress: Progress
    ) -> Mapping[str, Any]:
        """Compute what is missing, write the results, and return what it cost.

        Killed at any moment, it goes on from the parts in the folder and ends with the
        same files, byte for byte.
        """
        ...


class AnyJob(Protocol):
    """One model under settings that are all resolved."""

    @property
    def model(self) -> str:
        """The model as typed."""
        ...

    @property
    def label(self) -> str:
        """What messages call the job."""
        ...

    def as_dict(self) -> Mapping[str, Any]:
        """Return all its values by name, as JSON can hold them."""
        ...


Job_contra = TypeVar("Job_contra", bound=AnyJob, contravariant=True)


class Kind(Protocol[Job_contra]):
    """A kind of run, with what all its jobs share at hand."""

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits it touches."""
        ...

    def folder(self, out: Path, job: Job_contra) -> RunFolder:
        """Return where the results of a job belong."""
        ...

    def work(self, job: Job_contra, model: ForceField) -> Work[Any]:
        """Return a job with everything it needs.

        Raises:
            BenchError: The mode does not take its settings.
        """
        ...


class RefinedJob(AnyJob, Protocol):
    """A job of one mode, in one floating-point type."""

    @property
    def suite(self) -> str:
        """Name of the suite."""
        ...

    @property
    def seed(self) -> int:
        """Seed of every random choice."""
        ...

    @property
    def settings(self) -> tuple[tuple[str, str | int | float | bool], ...]:
        """The mode's settings as the suite or the user gave them."""
        ...

    @property
    def mode(self) -> str:
        """The mode as typed."""
        ...

    @property
    def dtype(self) -> str | None:
        """``float32`` or ``float64``; None is the model's own default."""
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RefinedWork:
    """What a job needs whose model is refined.

    Attributes:
        job: The job.
        model: The loaded model, with its card.
        subject: What is refined: the model, with a prior head where the mode needs one.
        refiner: The refinement of the job's mode.
        training: What the refinement may compare with.
        suite: The suite as resolved, for the manifest.
    """

    job: RefinedJob
    model: ForceField
    subject: ForceField
    card: ModelCard
    refiner: Refiner
    training: Training
    suite: Mapping[str, Any]

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the structures the model sees."""
        return DTYPES[self.job.dtype or self.card.dtype]

    def prepared(self, progress: Progress) -> Self:
        """Return the job with a model that the mode can refine.

        Args:
            progress: Told how far the fit of a prior head is, where one is fitted.

        Raises:
            CapabilityError: The model lacks what the mode needs.
            DataError: There are too few training geometries for a prior head.
        """
        with guard(self.job.mode):
            subject = subject_of(
                self.refiner,
                self.model,
                self.training,
                base=self.job.model,
                progress=progress,
            )
            self.refiner.check(subject)
            if isinstance(self.refiner, LearnsFromTraining):
                self.refiner.learn(subject, self.training)
        return replace(self, subject=subject)

    def about(self) -> dict[str, Any]:
        """Return the suite and what the model computes in."""
        return {"suite": self.suite, "dtype": str(self.dtype).removeprefix("torch.")}

    def refined_manifest(self) -> dict[str, Any]:
        """Return what tells the model and its refinement from others."""
        with guard(self.job.mode):
            settings = dict(self.refiner.settings(self.subject))
        return {
            "model": model_manifest(self.job.model, self.model, self.card),
            "mode": {
                "name": self.refiner.name,
                "unit": self.refiner.unit,
                "sees": self.refiner.sees,
                "settings": settings,
                **mode_files(self.job.mode),
            },
        }
