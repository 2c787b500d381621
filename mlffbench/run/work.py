"""Work: one job with everything it needs in hand, and who watches it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mlffbench.core.forcefield import ForceField
from mlffbench.core.split import Split
from mlffbench.refine.refiner import Refiner
from mlffbench.run.folder import RunFolder


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

    def check(self) -> None:
        """Raise CapabilityError when the model lacks what the job needs."""
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


def mode_manifest(refiner: Refiner, model: ForceField) -> dict[str, Any]:
    """Return what tells a refinement from others: its name and resolved settings."""
    return {
        "name": refiner.name,
        "unit": refiner.unit,
        "sees": refiner.sees,
        "settings": dict(refiner.settings(model)),
    }
