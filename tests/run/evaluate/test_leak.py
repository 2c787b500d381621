"""Reference labels cannot reach predictions, in any mode."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mini_suites import write_mini_suite

from mlffbench.core.forcefield import HasPriorHead
from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows, Source, Split
from mlffbench.core.structures import Structures
from mlffbench.refine.curved_descent import CurvedDescent, Followed, LabelledUnit
from mlffbench.run.evaluate.evaluation_job import Job
from mlffbench.run.folder import RunFolder, read_arrays
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Campaign, Request, resolve

pytest.importorskip("torch_geometric")

MODES = "[baseline, ttt, rr, rr-paper, rr+ttt, ttt-paper]"
SETTINGS = """
  ttt: {steps: 3}
  rr: {n_radii: 4}
  rr-paper: {n_radii: 4, smallest: 1.5}
  ttt-paper: {steps: 2}
  rr+ttt: {steps: 3, n_radii: 4}
"""


@dataclass(frozen=True)
class Poisoned:
    """A source whose reference labels are all NaN."""

    clean: Source

    @property
    def index(self) -> Index:
        return self.clean.index

    @property
    def level_of_theory(self) -> str:
        return self.clean.level_of_theory

    @property
    def sha256(self) -> str:
        return self.clean.sha256

    def structures(self, rows: Rows) -> Structures:
        return self.clean.structures(rows)

    def labels(self, rows: Rows) -> Labels:
        labels = self.clean.labels(rows)
        return replace(
            labels,
            energy=torch.full_like(labels.energy, torch.nan),
            forces=torch.full_like(labels.forces, torch.nan),
        )


def poison(split: Split) -> Split:
    return replace(split, source=Poisoned(split.source))


def digests(campaign: Campaign[Job]) -> list[str]:
    done = run_campaign(campaign)
    assert done.faults == []
    return [digest(folder) for folder in done.folders]


def digest(folder: RunFolder) -> str:
    names = ("predictions.parquet", "forces.npz")
    content = b"".join((folder.path / name).read_bytes() for name in names)
    return hashlib.sha256(content).hexdigest()


def both(
    suite: Path, limit: int, folder: Path
) -> tuple[list[str], list[str], Campaign[Job]]:
    """Return what runs with clean and with poisoned labels stored, and the latter."""
    clean = resolve(Request(suite=str(suite), limit=limit, out=folder / "clean"))
    request = Request(suite=str(suite), limit=limit, out=folder / "poisoned")
    splits = tuple(poison(split) for split in clean.splits)
    poisoned = resolve(request)
    poisoned = replace(poisoned, kind=replace(poisoned.kind, splits=splits))
    return digests(clean), digests(poisoned), poisoned


def test_poisoned_references_leave_every_prediction_as_it_was(
    tmp_path: Path,
) -> None:
    suite = write_mini_suite(tmp_path, "leak", modes=MODES, settings=SETTINGS)
    first, second, poisoned = both(suite, 1, tmp_path)
    assert first == second
    assert len(set(first)) == 6, "a mode changed nothing, so the test shows nothing"
    stored = read_arrays(poisoned.folder(poisoned.jobs[0]).path / "reference.npz")
    assert np.isnan(stored["energy"]).any()


def test_poisoned_references_leave_units_that_are_adapted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, sizes = CurvedDescent.run_together, []

    def counted(
        self: CurvedDescent, model: HasPriorHead, units: Sequence[LabelledUnit]
    ) -> list[Followed] | None:
        sizes.append(len(units))
        return together(self, model, units)

    monkeypatch.setattr(CurvedDescent, "run_together", counted)
    settings = "{ttt: {steps: 2, gate: 'off', unit: structure}}"
    suite = write_mini_suite(tmp_path, "stacks", modes="[ttt]", settings=settings)
    first, second, _ = both(suite, 2, tmp_path)
    assert first == second
    assert sizes
    assert min(sizes) > 1
