"""Atoms of ASE as structures."""

from typing import Any

import torch
from ase import Atoms

from mlffbench.core.structures import Structures


def of(*many: Atoms, **keywords: Any) -> Structures:
    """Return them as one batch, named after place and formula; keywords go to build."""
    return Structures.build(
        [torch.tensor(atoms.positions) for atoms in many],
        [torch.tensor(atoms.numbers) for atoms in many],
        ids=[f"{index} {atoms.symbols}" for index, atoms in enumerate(many)],
        cell=torch.stack([torch.tensor(atoms.cell.array) for atoms in many]),
        pbc=torch.stack([torch.tensor(atoms.pbc) for atoms in many]),
        **keywords,
    )
