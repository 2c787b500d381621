"""Refiner: what happens to a model between loading and predicting.

A refiner never sees a reference label: its signature has no place for one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from mlffbench.core.forcefield import ForceField
from mlffbench.core.structures import Structures

Unit = Literal["structure", "group", "split"]
Fact = str | float | int | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refined:
    """A refined model and what was done to get it.

    Attributes:
        model: Predicts exactly the structures it was refined for.
        facts: Per structure, named values worth a column beside its prediction (chosen
            radius, whether it was adapted, …); empty when there are none.
        trace: Named series worth keeping (prior loss by step, …).
        gradient_steps: Optimiser steps taken, 0 without training.
    """

    model: ForceField
    facts: Sequence[Mapping[str, Fact]] = ()
    trace: Mapping[str, Sequence[float]] = field(default_factory=dict)
    gradient_steps: int = 0


class Refiner(Protocol):
    """A test-time refinement.

    Attributes:
        name: Name of the mode.
        unit: How much one refinement sees: ``structure``, ``group`` (the conformers of
            one molecule) or ``split``. The runner hands over batches of whole units;
            what happens to a unit must not depend on its companions.
        sees: What was seen, in words, for the report.
    """

    name: str
    unit: Unit
    sees: str

    def check(self, model: ForceField) -> None:
        """Raise CapabilityError, naming it, when the model cannot be refined."""
        ...

    def settings(self, model: ForceField) -> Mapping[str, Fact]:
        """Return every hyper-parameter as resolved for a model."""
        ...

    def refine(self, model: ForceField, structures: Structures) -> Refined:
        """Return a new model for these structures; the model given stays untouched.

        Args:
            model: The model as loaded.
            structures: Whole units, float64 on the CPU.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The geometries of a suite's training split, without their labels.

    Attributes:
        name: What messages call them, e.g. ``"mini-ood/train"``.
        sha256: Checksum of which structures they are.
        read: Returns them, float64 on the CPU.
    """

    name: str
    sha256: str
    read: Callable[[], Structures]


@runtime_checkable
class LearnsFromTraining(Protocol):
    """A refiner that compares test structures with those of training."""

    def learn(self, model: ForceField, training: Training) -> None:
        """Look at the training geometries; called once, after `Refiner.check`."""
        ...
