"""A complete training in a second; run as a script, it kills itself after some epochs.

As one of several ranks it does so only where it is not the first.
"""

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlffbench.core.forcefield import Head
from mlffbench.core.labels import Labels
from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.datasets.sets.mini.splits import prior_geometries, splits
from mlffbench.models.twoheaded.architecture import Architecture
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.training.epochs import Row
from mlffbench.training.examples import fit_baseline
from mlffbench.training.materials import Materials, gather
from mlffbench.training.ranks import launched_ranks
from mlffbench.training.recipes import stages_of
from mlffbench.training.stages import train
from mlffbench.training.training_plan import RecipeName, StagePlan, TrainingPlan

SHAPE = {"hidden": 8, "filters": 8, "blocks": 2, "gaussians": 6}
FEW = {"train": 10, "id_val": 4, "ood_val": 3}


def springs(structures: Structures) -> Labels:
    """Return a prior of springs: E = Σ_pairs (r − 1.5 Å)² of one structure, in eV."""
    positions = structures.positions.detach().clone().requires_grad_()
    near = structures.system[:, None] == structures.system[None, :]
    first, second = torch.triu(near, diagonal=1).nonzero(as_tuple=True)
    length = (positions[first] - positions[second]).norm(dim=1)
    pairs = (length - 1.5).square()
    energy = torch.zeros(structures.n_systems, dtype=positions.dtype)
    energy = energy.index_add(0, structures.system[first], pairs)
    [slope] = torch.autograd.grad(energy.sum(), [positions])
    return Labels(energy=energy.detach(), forces=-slope, source="springs")


def few_splits() -> list[Split]:
    """Return some splits of the mini set, cut to a few structures each."""
    return [
        replace(split, rows=split.rows[:: max(1, len(split.rows) // FEW[split.role])])
        for split in splits()
        if split.name in {"train", "id_molecules", "ood_elements"} and split.role in FEW
    ]


def tiny_materials(*, prior: bool = True) -> Materials:
    geometries = prior_geometries()
    further = [geometries.structures(np.arange(0, geometries.index.n_structures, 60))]
    labeller = springs if prior else None
    return gather(few_splits(), further=further, labeller=labeller, seed=0)


def tiny_model(materials: Materials, *, seed: int = 0, device: str = "cpu") -> TwoHeaded:
    train = materials.train
    fitted = {h: fit_baseline(train.structures, train.labels[h]) for h in train.labels}
    energies: Mapping[Head, Any] = {"prior": {}} | {
        head: one.atomic_energies for head, one in fitted.items()
    }
    scales: Mapping[Head, Any] = {"prior": 1.0} | {h: f.scale for h, f in fitted.items()}
    architecture = Architecture.model_validate(
        {
            "network": "schnet",
            "elements": (1, 5, 6, 7, 8, 9, 14, 15, 16, 17),
            "cutoff": 3.5,
            "schnet": SHAPE,
        }
    )
    return TwoHeaded.build(
        architecture, atomic_energies=energies, scale=scales, seed=seed, device=device
    )


def tiny_stages(recipe: RecipeName, **common: Any) -> tuple[StagePlan, ...]:
    return stages_of(
        recipe,
        epochs=4,
        prior_epochs=4,
        learning_rate=5e-3,
        prior_learning_rate=5e-3,
        prior_weight=0.5,
        common={"batch": 4, "ood_every": 2, "average": 0.5, **common},
    )


def tiny_plan(materials: Materials, stages: tuple[StagePlan, ...]) -> TrainingPlan:
    return TrainingPlan(
        suite="tiny",
        suite_version=1,
        network="schnet",
        architecture=SHAPE,
        recipe="prior-freeze-finetune",
        stages=stages,
        prior="springs",
        prior_version="1",
        level_of_theory=materials.level_of_theory,
        training_sha256=materials.sha256,
        seed=3,
        device="cpu",
        dtype="float32",
    )


class Silent:
    """Watches and says nothing."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def begin(self, stage: StagePlan, n_done: int) -> None:
        pass

    def epoch(self, row: Row) -> None:
        self.rows.append(row)


class Killer(Silent):
    """Ends the process without a word after some epochs."""

    def __init__(self, n_epochs: int) -> None:
        super().__init__()
        self._left = n_epochs

    def epoch(self, row: Row) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main(stem: Path, n_epochs: int) -> None:
    torch.set_num_threads(1)
    materials = tiny_materials()
    with launched_ranks("cpu") as ranks:
        dies = ranks.count == 1 or not ranks.first
        train(
            tiny_model(materials),
            tiny_plan(
                materials, tiny_stages("prior-freeze-finetune", accumulate=ranks.count)
            ),
            materials,
            stem=stem,
            watcher=Killer(n_epochs) if dies else Silent(),
            ranks=ranks,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
