"""Schedules: what multiplies the learning rate, a function of step and past errors."""

import math
from collections.abc import Sequence
from typing import Literal

ScheduleName = Literal["cosine", "plateau", "constant"]

FLOOR = 0.01
"""Share of the learning rate that no schedule goes below."""
PLATEAU_FACTOR = 0.5
"""What a plateau multiplies the learning rate by."""
PLATEAU_PATIENCE = 10
"""Epochs without improvement that make a plateau."""


def learning_factor(
    name: ScheduleName, *, step: int, n_steps: int, n_warmup: int, errors: Sequence[float]
) -> float:
    """Return what the learning rate is multiplied by at a step.

    Args:
        name: ``cosine`` falls from 1 to `FLOOR` over all steps; ``plateau`` halves
            whenever `PLATEAU_PATIENCE` epochs brought no better error; ``constant`` is 1.
        step: Steps taken so far.
        n_steps: Steps planned.
        n_warmup: First steps, over which the rate rises linearly on top.
        errors: Validation error after each finished epoch.

    Example:
        >>> learning_factor("cosine", step=50, n_steps=100, n_warmup=0, errors=[])
        0.505
    """
    warm = min(1.0, (step + 1) / (n_warmup + 1))
    if name == "cosine":
        done = min(1.0, step / max(1, n_steps))
        return warm * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))
    if name == "plateau":
        return warm * max(FLOOR, PLATEAU_FACTOR ** count_plateaus(errors))
    return warm


def count_plateaus(errors: Sequence[float]) -> int:
    """Return how often `PLATEAU_PATIENCE` epochs in a row brought no better error."""
    best, waited, plateaus = math.inf, 0, 0
    for error in errors:
        if error < best:
            best, waited = error, 0
            continue
        waited += 1
        if waited == PLATEAU_PATIENCE:
            plateaus, waited = plateaus + 1, 0
    return plateaus
