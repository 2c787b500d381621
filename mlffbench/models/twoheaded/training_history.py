"""What the trainer of a model with two heads wrote down of them."""

from collections.abc import Mapping

from pydantic import JsonValue

from mlffbench.core.forcefield import Head

HEADS: tuple[Head, ...] = ("prior", "ref")
UNKNOWN_RATE = 1e-3
"""Learning rate of a prior head whose training is not known."""


def fitted_heads(history: Mapping[str, JsonValue]) -> frozenset[Head]:
    """Return the heads that were fitted; both where it does not say."""
    fitted = history.get("trained_heads")
    return frozenset(h for h in HEADS if not isinstance(fitted, list) or h in fitted)


def prior_rate(history: Mapping[str, JsonValue]) -> float:
    """Return the learning rate of the stage that trained the prior head."""
    plan = history.get("plan")
    stages = plan.get("stages") if isinstance(plan, dict) else None
    for stage in stages if isinstance(stages, list) else []:
        if isinstance(stage, dict) and "prior" in str(stage.get("parts")):
            rate = stage.get("learning_rate")
            return float(rate) if isinstance(rate, int | float) else UNKNOWN_RATE
    return UNKNOWN_RATE
