"""Calculators for test_ase_adapter.py, imported by name as a user's would be."""

from typing import Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, CalculatorSetupError, all_changes


class Picky(Calculator):
    """A harmonic well that dislikes some elements."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]
    default_parameters: ClassVar[dict[str, Any]] = {"charge": 0, "stiffness": 1.0}

    def calculate(
        self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        if 9 in atoms.numbers:
            raise CalculatorSetupError("no fluorine,\nplease")
        if 17 in atoms.numbers:
            raise ZeroDivisionError
        positions = atoms.positions
        energy = self.parameters.stiffness * (positions**2).sum() / 2
        self.results["energy"] = np.nan if 35 in atoms.numbers else energy
        self.results["forces"] = -self.parameters.stiffness * positions
        self.seen = (self.parameters.charge, dict(atoms.info))


class Placed(Picky):
    """A calculator that wants to know where to compute."""

    def __init__(self, device: str, dtype: str = "float32", **keywords: Any) -> None:
        super().__init__(**keywords)
        self.place = device, dtype


NUMBER = 3


def refuse() -> None:
    raise OSError("no licence")


def other() -> int:
    return NUMBER
