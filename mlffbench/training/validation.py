"""Checks: sets on which a training is watched, and the one that decides."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mlffbench.core.forcefield import Head
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.training.examples import Examples, Loader, has_label
from mlffbench.training.ranks import ALONE, Ranks

CHUNK_ATOMS = 600
"""Atoms evaluated at once."""


class Predicts(Protocol):
    """Whatever has heads."""

    def forward(self, structures: Structures, head: Head) -> Labels:
        """Return one head's labels."""
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Check:
    """A validation set.

    Attributes:
        name: Name of its split.
        decides: Whether it stops a stage and picks its weights (role ``id_val`` only).
        chunks: Its examples in batches, on the device and in the dtype of the model.
    """

    name: str
    decides: bool
    chunks: Sequence[Examples]

    @classmethod
    def of(cls, name: str, examples: Examples, *, decides: bool) -> "Check":
        """Return the check of some examples, cut into chunks of `CHUNK_ATOMS`."""
        loader = Loader(examples)
        chunks: list[Examples] = []
        places: list[int] = []
        n_atoms = 0
        for place, size in enumerate(examples.structures.sizes.tolist()):
            if places and n_atoms + size > CHUNK_ATOMS:
                chunks.append(loader.batch(places))
                places, n_atoms = [], 0
            places.append(place)
            n_atoms += size
        if places:
            chunks.append(loader.batch(places))
        return cls(name=name, decides=decides, chunks=chunks)


def force_errors(
    model: Predicts, check: Check, head: Head, ranks: Ranks = ALONE
) -> float:
    """Return the mean absolute error of force components, pooled, in eV/Å.

    NaN where the head has no label at all.

    Args:
        model: Evaluated as it is.
        check: The set.
        head: Which head, against its own labels.
        ranks: Those that share the work.
    """
    total, n_components = 0.0, 0
    for number, chunk in enumerate(check.chunks):
        if not ranks.shares(number):
            continue
        labels: Mapping[Head, Labels] = chunk.labels
        if head not in labels:
            continue
        there = has_label(labels[head])[chunk.structures.system]
        if not bool(there.any()):
            continue
        forces = model.forward(chunk.structures, head).forces.detach()
        error = (forces.double() - labels[head].forces.double())[there]
        total += float(error.abs().sum())
        n_components += error.numel()
    total, n_all = ranks.total(total, n_components)
    return total / n_all if n_all else math.nan
