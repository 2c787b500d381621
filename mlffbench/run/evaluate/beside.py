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
        others = folders_beside(run.folder, mode)
        baseline, prior = others.get("paired"), others.get("against_prior")
        if baseline and not (baseline.path / "predictions.parquet").exists():
            baseline = None
        return cls(
            OpenRun.open(baseline) if baseline else None,
            str(mode["settings"]["prior"]) if prior else "",
            _finished(prior) if prior else None,
        )


def folders_beside(run: RunFolder, mode: Mapping[str, Any]) -> dict[str, RunFolder]:
    """Return where the runs lie that one is compared with, whether they are there or not.

    Args:
        run: Folder of the run.
        mode: As its ``run.json`` has it.

    Returns:
        ``paired``, the baseline, and ``against_prior``, the prior as a model of its own:
        parts of a record -> folder. A baseline is compared with none.
    """
    if mode.get("name") == "baseline":
        return {}
    model = run.path.parent
    found = {"paired": RunFolder(model / "baseline")}
    prior = str((mode.get("settings") or {}).get("prior") or "")
    if prior:
        found["against_prior"] = RunFolder(model.parent / slug(prior) / "baseline")
    return found


def _finished(folder: RunFolder) -> OpenRun | None:
    """Return a run, None where it has not finished: a prior's run is not required."""
    try:
        return OpenRun.open(folder)
    except StoreError:
        return None
