"""Shared work: a job that any number of processes may compute together."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

from mlffbench.run.folder import RunFolder
from mlffbench.run.shards.crew import Crew
from mlffbench.run.work import Work

Inputs = TypeVar("Inputs")


@runtime_checkable
class SharedWork(Work[Inputs], Protocol[Inputs]):
    """Work that is cut into pieces."""

    @property
    def job(self) -> Any:
        """The job: what it is called, and where it computes."""
        ...

    def inputs(self) -> Inputs:
        """Return what it is computed on, without a look at whether it is sound."""
        ...

    def crew(
        self,
        inputs: Inputs,
        folder: RunFolder,
        is_wanted: Callable[[], bool] = lambda: True,
        others: Callable[[], bool] | None = None,
    ) -> Crew:
        """Return this process as one of those that compute the pieces."""
        ...
