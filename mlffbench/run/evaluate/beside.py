"""Beside: the finished runs next to one that its numbers are compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mlffbench.core.errors import StoreError
from mlffbench.run.evaluate.open_run import OpenRun
from mlffbench.run.folder import RunFolder, slug

ZERO = "zero"
"""The model without forces."""


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """What lies beside a run.

    Attributes:
        baseline: The same model without refinement; None for a baseline itself.
        prior: Name of the prior that the mode follows; empty where it follows none.
        prior_run: The prior as a model of its own; None where it was not run.
    """

    baseline: OpenRun | None
    prior: str
    prior_run: OpenRun | None

    @classmethod
    def find(cls, run: OpenRun) -> Self:
        """Return the runs beside one.

        Raises:
            StoreError: A baseline beside it is broken or has not finished.
        """
        mode: Mapping[str, Any] = run.manifest["mode"]
        if mode["name"] == "baseline":
            return cls(None, "", None)
        model = run.folder.path.parent
        baseline = RunFolder(model / "baseline")
        prior = str((mode.get("settings") or {}).get("prior") or "")
        there = (baseline.path / "predictions.parquet").exists()
        return cls(
            OpenRun.open(baseline) if there else None,
            prior,
            _finished(RunFolder(model.parent / slug(prior) / "baseline"))
            if prior
            else None,
        )


def _finished(folder: RunFolder) -> OpenRun | None:
    """Return a run, None where it has not finished: a prior's run is not required."""
    try:
        return OpenRun.open(folder)
    except StoreError:
        return None
