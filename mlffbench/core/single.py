"""Single: one structure at a time, for codes that know no batches.

Nothing here imports torch, so that worker processes of such codes start fast.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Single:
    """One structure in arrays.

    Attributes:
        positions: Shape (n_atoms, 3), float64, in Å.
        numbers: Shape (n_atoms,), int64 atomic numbers.
        cell: Shape (3, 3), float64, in Å; rows are lattice vectors, zeros if none.
        pbc: Shape (3,), bool: periodic along each lattice vector.
        charge: Total charge in e.
        multiplicity: Spin multiplicity 2S + 1.
        smiles: Atom-mapped SMILES where known, else empty.
    """

    positions: NDArray[np.float64]
    numbers: NDArray[np.int64]
    cell: NDArray[np.float64]
    pbc: NDArray[np.bool_]
    charge: int
    multiplicity: int
    smiles: str = ""


class Computed(NamedTuple):
    """What a code computed for one structure.

    Attributes:
        energy: In eV.
        forces: Shape (n_atoms, 3), in eV/Å.
    """

    energy: float
    forces: NDArray[Any]


Outcome = Computed | str
"""What became of one structure: its values, or why it has none."""
