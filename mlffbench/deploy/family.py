"""Family: the molecule that weights were refined for, and whether another is of it."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from mlffbench.core.structures import Structures
from mlffbench.datasets.files.frame import hill_formula
from mlffbench.datasets.molecules.skeleton import skeleton_of_geometry


class Family(BaseModel):
    """What conformers of one molecule have in common.

    Attributes:
        formula: Hill formula.
        charge: In e.
        multiplicity: 2S + 1.
        skeleton: Which atom is bonded to which; empty where rdkit is missing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    formula: str
    charge: int
    multiplicity: int
    skeleton: str = ""

    def __str__(self) -> str:
        """Return it in words, without the skeleton."""
        charged = f" ({self.charge:+d})" if self.charge else ""
        open_shell = f", 2S+1 = {self.multiplicity}" if self.multiplicity > 1 else ""
        return f"{self.formula}{charged}{open_shell}"

    def composes(self, other: "Family") -> bool:
        """Return whether another has the same atoms, charge and spin."""
        mine = self.formula, self.charge, self.multiplicity
        return mine == (other.formula, other.charge, other.multiplicity)

    def is_isomer(self, other: "Family") -> bool:
        """Return whether another of the same atoms is bonded otherwise, if that is known.

        A bond that is stretched far enough counts as another bonding, too.
        """
        known = bool(self.skeleton and other.skeleton)
        return self.composes(other) and known and self.skeleton != other.skeleton


def family_of(structures: Structures, place: int, *, bonds: bool = True) -> Family:
    """Return the family of one structure of a batch.

    Args:
        structures: The batch.
        place: Which structure.
        bonds: Also find out which atoms are bonded.
    """
    mine = structures.system == place
    numbers = structures.numbers[mine].cpu().numpy()
    positions = structures.positions[mine].detach().cpu().numpy().astype(np.float64)
    # bonds across a cell are not looked for
    looked = bonds and not bool(structures.pbc[place].any())
    return Family(
        formula=hill_formula(numbers),
        charge=int(structures.charge[place]),
        multiplicity=int(structures.multiplicity[place]),
        skeleton=skeleton_of_geometry(numbers, positions) if looked else "",
    )
