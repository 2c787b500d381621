"""Units: what is adapted together, and rows of labels that belong to some structures."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mlffbench.core.forcefield import ForceField
from mlffbench.core.structures import Structures
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.refiner import Unit


def units_of(structures: Structures, unit: Unit) -> dict[str, list[int]]:
    """Return the places of the structures of each unit, by the unit's name."""
    names = {
        "structure": structures.ids,
        "group": structures.group,
        "split": ("all",) * structures.n_systems,
    }[unit]
    units: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        units.setdefault(name, []).append(place)
    return units


def rows_of(values: Tensor, structures: Structures, places: Sequence[int]) -> Tensor:
    """Return the rows of the atoms of some structures, in the order of the places.

    Args:
        values: Shape (n_atoms, …).
        structures: Whose atoms the rows belong to.
        places: Structures.
    """
    pieces = torch.split(values, structures.sizes.tolist())
    return torch.cat([pieces[place] for place in places])


def mean_offsets(
    base: ForceField,
    models: Mapping[str, ForceField],
    structures: Structures,
    unit: Unit,
) -> dict[str, float]:
    """Return the energies, in eV, that give each molecule its mean energy back.

    Forces say nothing about a constant, so adapting to them lets absolute energies
    drift. The mean over the adapted conformers of a molecule stays that of the base;
    where each structure was adapted alone (unit ``structure``), its own energy does.
    """
    if not models:
        return {}
    mine = structures.select([i for i, one in enumerate(structures.ids) if one in models])
    names = mine.ids if unit == "structure" else mine.group
    before = base.predict(mine).energy.double()
    after = Routed(base, models).predict(mine).energy.double()
    drift: dict[str, list[float]] = {}
    for group, value in zip(names, (before - after).tolist(), strict=True):
        if math.isfinite(value):
            drift.setdefault(group, []).append(value)
    means = {group: sum(values) / len(values) for group, values in drift.items()}
    return {
        name: means.get(group, 0.0) for name, group in zip(mine.ids, names, strict=True)
    }
