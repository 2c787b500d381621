"""Units that are adapted together, and what is done where memory runs out."""

from collections.abc import Sequence

import torch

from mlffbench.core.forcefield import HasPriorHead
from mlffbench.core.guards.out_of_memory import is_out_of_memory
from mlffbench.models.stack_sizes import stacks_of
from mlffbench.refine.curved_descent import CurvedDescent, Followed, LabelledUnit


def follow_stacks(
    descent: CurvedDescent, model: HasPriorHead, units: Sequence[LabelledUnit]
) -> dict[str, Followed]:
    """Return a copy of a model adapted to each unit, by the unit's name.

    A unit without company is left out, and so are all where the network cannot adapt
    several in one pass.

    Args:
        descent: How it is adapted.
        model: Stays as it is.
        units: What it is adapted to.
    """
    found: dict[str, Followed] = {}
    if units:
        parameters = list(model.representation_parameters())
        sizes = [unit.structures.n_atoms for unit in units]
        n_parameters = sum(one.numel() for one in parameters)
        for places in stacks_of(sizes, n_parameters, parameters[0].device.type):
            found |= _follow(descent, model, [units[place] for place in places])
    return found


def _follow(
    descent: CurvedDescent, model: HasPriorHead, stack: Sequence[LabelledUnit]
) -> dict[str, Followed]:
    """Return what comes of a stack, of its halves where it is too much for memory."""
    if len(stack) == 1:
        return {}
    try:
        found = descent.run_together(model, stack) or []
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        return {unit.key: one for unit, one in zip(stack, found, strict=False)}
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(stack) // 2
    halves = stack[:middle], stack[middle:]
    return _follow(descent, model, halves[0]) | _follow(descent, model, halves[1])
