"""The recipes: which parts of a network learn from which labels, in which order."""

from collections.abc import Callable, Mapping
from typing import Any

from mlffbench.core.forcefield import Head
from mlffbench.training.training_plan import Part, RecipeName, StagePlan


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


def _stage(
    name: str, parts: tuple[Part, ...], heads: dict[Head, float], **values: Any
) -> StagePlan:
    """Return a stage; the prior's labels may come from further geometries."""
    return StagePlan(
        name=name, parts=parts, heads=heads, further="prior" in heads, **values
    )


def _scratch(values: dict[str, Any]) -> StagePlan:
    """The control: representation and reference head, no prior anywhere."""
    return _stage("ref", ("shared", "ref"), {"ref": 1.0}, monitor="ref", **values)


def _joint(values: dict[str, Any], prior_weight: float) -> StagePlan:
    """Both heads at once on the shared representation."""
    heads: dict[Head, float] = {"ref": 1.0, "prior": prior_weight}
    return _stage("joint", ("shared", "prior", "ref"), heads, monitor="ref", **values)


def _prior(values: dict[str, Any]) -> StagePlan:
    """Representation and prior head on prior labels."""
    parts: tuple[Part, ...] = ("shared", "prior")
    return _stage("prior", parts, {"prior": 1.0}, monitor="prior", **values)


def _finetune(values: dict[str, Any]) -> StagePlan:
    """What the reference head owns, from the prior head's weights, all else frozen."""
    start: dict[str, Any] = {"monitor": "ref", "start_from": "prior"}
    return _stage("ref", ("ref",), {"ref": 1.0}, **start, **values)


def _attach(values: dict[str, Any]) -> StagePlan:
    """A new prior readout on the frozen features of a pretrained model."""
    return _stage("attach", ("prior",), {"prior": 1.0}, monitor="prior", **values)
