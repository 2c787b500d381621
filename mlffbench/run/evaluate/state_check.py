"""State check: whether a model sees the charge and spin of the structures of a run."""

from collections.abc import Callable
from dataclasses import replace

import torch

from mlffbench.contract.response import differ
from mlffbench.core.errors import BenchError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures

TOLERANCE = 1e-4
"""eV: a smaller move is none."""


def blind_spots(
    predict: Callable[[Structures], Labels], name: str, structures: Structures
) -> list[str]:
    """Return what a model does not see of some structures, one sentence each.

    The model is asked again with the charge, or the spin, of a neutral singlet. A model
    that refuses that has seen it.

    Args:
        predict: The model.
        name: Its name.
        structures: Structures it has computed, as it sees them; some charged or with
            unpaired electrons.
    """
    told = []
    charged = structures.select((structures.charge != 0).nonzero().flatten().tolist())
    neutral = replace(charged, charge=torch.zeros_like(charged.charge))
    if _same(predict, charged, neutral):
        told.append(
            f"{name} does not see charge: charged structures get the same energy as "
            "neutral ones, so unless the model was made for their charge, their errors "
            "are those of another species"
        )
    open_shells = (structures.multiplicity != 1).nonzero().flatten().tolist()
    unpaired = structures.select(open_shells)
    paired = replace(unpaired, multiplicity=torch.ones_like(unpaired.multiplicity))
    if _same(predict, unpaired, paired):
        told.append(
            f"{name} does not see spin: structures with unpaired electrons get the "
            "energies of singlets"
        )
    return told


def _same(
    predict: Callable[[Structures], Labels], one: Structures, other: Structures
) -> bool:
    """Return whether a model gives two states of the same geometries the same energy."""
    if not one.n_systems:
        return False
    try:
        return not differ(predict(one), predict(other), TOLERANCE)
    except BenchError:
        return False
