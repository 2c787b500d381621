"""A small untrained GemNet in float64, and what it is looked at with."""

from typing import Any

import torch
from ase import Atoms

from mlffbench.core.structures import Structures
from mlffbench.models.twoheaded.architecture import Architecture, Depth
from mlffbench.models.twoheaded.model import TwoHeaded

SMALL = {"atom": 8, "edge": 8, "triplet": 4, "blocks": 2, "projected": 4, "spherical": 4}


def built(*, depth: Depth = "min", **shape: Any) -> TwoHeaded:
    """Return a network; further values are of its shape."""
    architecture = Architecture.model_validate(
        {
            "network": "gemnet",
            "elements": (1, 6, 8),
            "cutoff": 3.0,
            "depth": depth,
            "gemnet": SMALL | shape,
        }
    )
    return TwoHeaded.build(
        architecture,
        atomic_energies={"prior": {}, "ref": {}},
        scale={"prior": 1.0, "ref": 1.0},
        seed=3,
        dtype="float64",
    )


def place(positions: Any, numbers: Any, name: str = "one") -> Structures:
    return Structures.build(
        [torch.as_tensor(positions)], [torch.as_tensor(numbers)], ids=[name]
    )


def crystal(repeats: tuple[int, int, int] = (1, 1, 1)) -> Structures:
    """Return cells of a crystal whose lattice vectors are shorter than the cutoff."""
    cell = Atoms(
        "CO", positions=[[0, 0, 0], [1.0, 1.1, 0.9]], cell=[2.5, 2.6, 2.7], pbc=True
    )
    atoms = cell.repeat(repeats)
    return Structures.build(
        [torch.tensor(atoms.positions)],
        [torch.tensor(atoms.numbers)],
        ids=["crystal"],
        cell=torch.tensor(atoms.cell.array)[None],
        pbc=torch.ones(1, 3, dtype=torch.bool),
    )
