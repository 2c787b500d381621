"""How much goes through a network at once where every unit has parameters of its own.

A layer seats the rows of each unit apart, as many seats for each as the largest needs;
and a walk along the curvature holds some twenty values per parameter and unit.
"""

from collections.abc import Sequence

STACK_ATOMS = {"cpu": 500, "cuda": 5000}
"""Atoms of a stack at most, every unit counted like its largest, by type of device."""
STACK_VALUES = {"cpu": 2**24, "cuda": 2**26}
"""Parameters of all units of a stack together at most, by type of device."""


def stacks_of(sizes: Sequence[int], n_parameters: int, device: str) -> list[list[int]]:
    """Return the places of units of like size together; it depends on them alone.

    Args:
        sizes: Atoms of each unit; a unit that is too large is a stack of its own.
        n_parameters: Of a unit.
        device: Type of the device.
    """
    kind = device if device in STACK_ATOMS else "cpu"
    most_units = max(1, STACK_VALUES[kind] // max(1, n_parameters))
    stacks: list[list[int]] = []
    for place in sorted(range(len(sizes)), key=lambda place: sizes[place]):
        n_units = len(stacks[-1]) + 1 if stacks else 1
        full = n_units * sizes[place] > STACK_ATOMS[kind] or n_units > most_units
        if full or not stacks:
            stacks.append([])
        stacks[-1].append(place)
    return stacks
