"""Which units are adapted together, and what is done where memory runs out."""

from collections.abc import Sequence

import torch

from mlffbench.core.forcefield import HasPriorHead
from mlffbench.core.guards.out_of_memory import is_out_of_memory
from mlffbench.refine.curved_descent import CurvedDescent, Followed, LabelledUnit

STACK_ATOMS = {"cpu": 500, "cuda": 5000}
"""Atoms of the units that are adapted together at most, by the type of the device."""


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
        device = next(iter(model.representation_parameters())).device
        most = STACK_ATOMS.get(device.type, STACK_ATOMS["cpu"])
        for stack in stacks_of(units, most):
            found |= _follow(descent, model, stack)
    return found


def stacks_of(units: Sequence[LabelledUnit], most: int) -> list[list[LabelledUnit]]:
    """Return units of like size together, which depends on the units alone.

    Args:
        units: The units.
        most: Atoms of a stack; a larger unit is one of its own.
    """
    stacks: list[list[LabelledUnit]] = []
    n_atoms = most
    for unit in sorted(units, key=lambda unit: unit.structures.n_atoms):
        n_atoms += unit.structures.n_atoms
        if n_atoms > most:
            stacks.append([])
            n_atoms = unit.structures.n_atoms
        stacks[-1].append(unit)
    return stacks


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
