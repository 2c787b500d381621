"""Empty batches: networks stumble over them, and a model does not."""

from collections.abc import Collection

import torch

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures

_APART = 1.0
"""In Å, within every cutoff."""


def filled(structures: Structures, elements: Collection[int]) -> Structures:
    """Return a batch as it is, or two near atoms where it holds none.

    What a network says of them, cut to no rows, has the width of its features.

    Args:
        structures: The batch.
        elements: Atomic numbers that the network knows.
    """
    if structures.n_atoms:
        return structures
    places = structures.positions.new_tensor([[0.0, 0.0, 0.0], [_APART, 0.0, 0.0]])
    pair = Structures.build(
        [places.cpu()], [torch.tensor([min(elements)] * 2)], ids=["two near atoms"]
    )
    return pair.to(device=places.device)


def no_labels(
    structures: Structures, source: str, dtype: torch.dtype = torch.float64
) -> Labels:
    """Return the labels of a batch that holds no atoms.

    Args:
        structures: The batch.
        source: Who would have computed them.
        dtype: Of the forces.
    """
    forces = structures.positions.detach().to(dtype)
    energy = forces.new_zeros(structures.n_systems, dtype=torch.float64)
    return Labels(energy=energy, forces=forces, source=source)
