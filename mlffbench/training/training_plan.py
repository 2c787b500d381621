"""The training plan: every hyper-parameter resolved, written beside the weights."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlffbench.core.forcefield import Head
from mlffbench.training.schedule import ScheduleName

Part = Literal["shared", "prior", "ref"]
"""Parts of a two-headed network: the representation and what each head owns."""
RecipeName = Literal["scratch", "joint", "prior-freeze-finetune", "attach-prior-head"]
AmpName = Literal["off", "bf16"]
"""Mixed precision: none, or matrix products in bfloat16."""
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
_LATER = {"accumulate"}


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StagePlan(_Closed):
    """One run of the loop: what moves, what it learns from, how.

    Attributes:
        name: What the log calls it.
        parts: Parts of the network that move; the others are frozen.
        heads: Head -> weight of its loss.
        monitor: Head whose ID validation error stops the stage and picks its weights.
        start_from: Head whose weights the other moving head starts from, if any.
        further: Whether geometries with prior labels only are trained on too.
        epochs: Passes over the examples at most.
        batch: Structures whose gradient is taken at once.
        accumulate: Batches whose mean gradient makes a step: a larger batch in the memory
            of a small one.
        learning_rate: Highest learning rate of AdamW.
        schedule: What becomes of it.
        warmup_epochs: Epochs over which it rises.
        weight_decay: Of AdamW, decoupled.
        clip: Largest gradient norm; longer gradients are shortened to it.
        average: Share of the moving average of weights that a step keeps.
        patience: Epochs without a better ``id_val`` error after which the stage stops.
        energy_weight: Of the error per atom, in eV/atom.
        force_weight: Of the L2-MAE, in eV/Å.
        ood_every: Epochs between two looks at the OOD validation splits, which are shown
            and logged but decide nothing.
    """

    name: str
    parts: tuple[Part, ...] = Field(min_length=1)
    heads: Mapping[Head, Positive]
    monitor: Head
    start_from: Head | None = None
    further: bool
    epochs: Count
    batch: Count = 8
    accumulate: Count = 1
    learning_rate: Positive = 2e-3
    schedule: ScheduleName = "cosine"
    warmup_epochs: NotNegative = 1.0
    weight_decay: NotNegative = 1e-6
    clip: Positive = 10.0
    average: Annotated[float, Field(ge=0, lt=1)] = 0.995
    patience: Count = 50
    energy_weight: NotNegative = 1.0
    force_weight: NotNegative = 10.0
    ood_every: Count = 10


class TrainingPlan(_Closed):
    """Everything that decides the weights a training ends with.

    Attributes:
        suite: Name of the suite whose training split is learned.
        suite_version: Its version.
        network: Kind of network, or the pretrained model a head is attached to.
        architecture: Every value of the network's architecture.
        recipe: Which recipe made the stages.
        stages: The stages, in order.
        prior: Name of the prior, empty where none is used.
        prior_version: What its numbers depend on beside the name.
        level_of_theory: Of the reference labels.
        training_sha256: Checksum of the training structures and their files.
        further: Where geometries with prior labels only come from.
        seed: Seed of the initial weights and of every shuffle.
        device: ``cpu`` or ``cuda``.
        dtype: Floating-point type of weights.
        amp: Precision of what is computed while training.
    """

    suite: str
    suite_version: int
    network: str
    architecture: Mapping[str, Any]
    recipe: RecipeName
    stages: tuple[StagePlan, ...] = Field(min_length=1)
    prior: str
    prior_version: str
    level_of_theory: str
    training_sha256: str
    further: tuple[str, ...] = ()
    seed: int
    device: str
    dtype: str
    amp: AmpName = "off"

    def fingerprint(self) -> str:
        """Return a checksum that two plans share only if they end in the same weights.

        What a plan did not say before it could be said is left out where it changes
        nothing, so that trainings begun by then go on.
        """
        plain = {i for i, stage in enumerate(self.stages) if stage.accumulate == 1}
        left_out: dict[str, Any] = {"stages": dict.fromkeys(plain, _LATER)}
        if self.amp == "off":
            left_out["amp"] = True
        told = self.model_dump_json(exclude=left_out)
        return hashlib.sha256(told.encode()).hexdigest()
