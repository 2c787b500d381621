"""Fine-tuning: a trained network learns the reference labels of a few new structures.

The labels come here and nowhere else: no refinement ever sees one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mlffbench.core.errors import BenchError
from mlffbench.training.epochs import StageRun, Trainable, all_parameters, seed_of
from mlffbench.training.examples import Examples
from mlffbench.training.stages import fast_small_numbers
from mlffbench.training.training_plan import StagePlan
from mlffbench.training.validation import Check


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """How a network is fine-tuned: the same number of steps however few labels there are.

    Attributes:
        steps: Optimiser steps at least (epochs are whole).
        batch: Structures per step at most.
        learning_rate: Highest learning rate of AdamW; it falls along a cosine.
    """

    steps: int = 100
    batch: int = 8
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not self.learning_rate > 0:
            msg = "fine-tuning takes at least one step and structure per step, and a "
            msg += f"learning rate above 0; got {self.steps}, {self.batch} and "
            raise BenchError(msg + f"{self.learning_rate:g}")

    def stage(self, n_structures: int) -> StagePlan:
        """Return the stage for some number of labelled structures.

        Forces only: the zero of energy of elements that training never met is unknown.
        """
        epochs = math.ceil(self.steps / math.ceil(n_structures / self.batch))
        values: dict[str, Any] = {"average": 0.9, "warmup_epochs": 0.0}
        return StagePlan(
            name="fine-tune",
            parts=("shared", "ref"),
            heads={"ref": 1.0},
            monitor="ref",
            further=False,
            epochs=epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            patience=epochs,
            energy_weight=0.0,
            weight_decay=0.0,
            **values,
        )


def fine_tune(
    model: Trainable, examples: Examples, settings: FineTuning, *, seed: int
) -> None:
    """Fine-tune a network in place on labelled structures.

    Of the moving averages after each epoch those are kept that fit the given labels
    best: nothing else is looked at.

    Args:
        model: With a representation and a reference head; both move.
        examples: With reference labels, in any dtype.
        settings: How.
        seed: Of the order of the structures.

    Raises:
        BenchError: The loss is no longer finite, or there is no label.
    """
    parameter = next(iter(all_parameters(model).values()))
    usable = examples.usable().to(device=parameter.device, dtype=parameter.dtype)
    check = Check.of("given labels", usable, decides=True)
    stage = settings.stage(usable.n_structures)
    with fast_small_numbers():
        run = StageRun(model, stage, examples=usable, checks=[check], seed=seed)
        while not run.finished:
            run.run_epoch()
        run.finish()


def draw_order(molecules: Sequence[str], seed: int) -> list[int]:
    """Return places molecule by molecule, molecules in random order.

    The first N are the draw of N structures: draws of one seed are nested, and labels
    come as they do in practice, a molecule's conformers together.

    Args:
        molecules: The molecule of each structure.
        seed: Of the order.
    """
    names = sorted(set(molecules))
    generator = torch.Generator().manual_seed(seed_of(f"{seed}/draw"))
    drawn = torch.randperm(len(names), generator=generator).tolist()
    members: dict[str, list[int]] = {name: [] for name in names}
    for place, name in enumerate(molecules):
        members[name].append(place)
    return [place for number in drawn for place in members[names[number]]]
