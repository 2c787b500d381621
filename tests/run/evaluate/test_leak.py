"""Reference labels cannot reach predictions, in any mode."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mini_suites import write_mini_suite

from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows, Source, Split
from mlffbench.core.structures import Structures
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


def test_poisoned_references_leave_every_prediction_as_it_was(
    tmp_path: Path,
) -> None:
    suite = str(write_mini_suite(tmp_path, "leak", modes=MODES, settings=SETTINGS))
    clean = resolve(Request(suite=suite, limit=1, out=tmp_path / "clean"))
    request = Request(suite=suite, limit=1, out=tmp_path / "poisoned")
    splits = tuple(poison(split) for split in clean.splits)
    poisoned = resolve(request)
    poisoned = replace(poisoned, kind=replace(poisoned.kind, splits=splits))
    first, second = digests(clean), digests(poisoned)
    assert first == second
    assert len(set(first)) == 6, "a mode changed nothing, so the test shows nothing"
    stored = read_arrays(poisoned.folder(poisoned.jobs[0]).path / "reference.npz")
    assert np.isnan(stored["energy"]).any()
