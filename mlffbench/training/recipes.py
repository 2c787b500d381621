"""The recipes: which parts of a network learn from which labels, in which order."""

from collections.abc import Callable, Mapping
from typing import Any

from mlffbench.training.training_plan import RecipeName, StagePlan


def stages_of(
    recipe: RecipeName,
    *,
    epochs: int,
    prior_epochs: int,
    learning_rate: float,
    prior_learning_rate: float,
    prior_weight: float,
    common: Mapping[str, Any],
) -> tuple[StagePlan, ...]:
    """Return the stages of a recipe.

    Args:
        recipe: Its name.
        epochs: Of the stage that learns reference labels.
        prior_epochs: Of the stage that learns prior labels.
        learning_rate: Of the stage that learns reference labels.
        prior_learning_rate: Of the stage that learns prior labels.
        prior_weight: Weight w of the prior loss in L = L_ref + w L_prior.
        common: Values of `StagePlan` that all stages share.
    """
    prior = {"epochs": prior_epochs, "learning_rate": prior_learning_rate, **common}
    ref = {"epochs": epochs, "learning_rate": learning_rate, **common}
    recipes: dict[RecipeName, Callable[[], tuple[StagePlan, ...]]] = {
        "scratch": lambda: (_scratch(ref),),
        "joint": lambda: (_joint(ref, prior_weight),),
        "prior-freeze-finetune": lambda: (_prior(prior), _finetune(ref)),
        "attach-prior-head": lambda: (_attach(prior),),
    }
    return recipes[recipe]()


def _scratch(values: dict[str, Any]) -> StagePlan:
    """The control: representation and reference head, no prior anywhere."""
    return StagePlan(
        name="ref",
        parts=("shared", "ref"),
        heads={"ref": 1.0},
        monitor="ref",
        further=False,
        **values,
    )


def _joint(values: dict[str, Any], prior_weight: float) -> StagePlan:
    """Both heads at once on the shared representation."""
    return StagePlan(
        name="joint",
        parts=("shared", "prior", "ref"),
        heads={"ref": 1.0, "prior": prior_weight},
        monitor="ref",
        further=True,
        **values,
    )


def _prior(values: dict[str, Any]) -> StagePlan:
    """Representation and prior head on prior labels."""
    return StagePlan(
        name="prior",
        parts=("shared", "prior"),
        heads={"prior": 1.0},
        monitor="prior",
        further=True,
        **values,
    )


def _finetune(values: dict[str, Any]) -> StagePlan:
    """What the reference head owns, from the prior head's weights, all else frozen."""
    return StagePlan(
        name="ref",
        parts=("ref",),
        heads={"ref": 1.0},
        monitor="ref",
        start_from="prior",
        further=False,
        **values,
    )


def _attach(values: dict[str, Any]) -> StagePlan:
    """A new prior readout on the frozen features of a pretrained model."""
    return StagePlan(
        name="attach",
        parts=("prior",),
        heads={"prior": 1.0},
        monitor="prior",
        further=True,
        **values,
    )
