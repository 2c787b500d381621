"""Calculators for test_ase_adapter.py, imported by name as a user's would be."""

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
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


class Seen(Calculator):
    """The energy is 100 charge + multiplicity, each read in one way."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def state(self, atoms: Any) -> tuple[int, int]:
        raise NotImplementedError

    def calculate(
        self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        charge, multiplicity = self.state(atoms)
        self.results = {
            "energy": 100.0 * charge + multiplicity,
            "forces": np.zeros((len(atoms), 3)),
        }


class InfoKeys(Seen):
    keys = ("charge", "spin")

    def state(self, atoms: Any) -> tuple[int, int]:
        return atoms.info[self.keys[0]], atoms.info[self.keys[1]]


class TotalKeys(InfoKeys):
    keys = ("total_charge", "total_spin")


class MultKeys(InfoKeys):
    keys = ("net_charge", "mult")


class MultiplicityKeys(InfoKeys):
    keys = ("charge", "multiplicity")


class Initial(Seen):
    """As xtb-python and DFTB+ do; a rounding error of the sum would show."""

    def state(self, atoms: Any) -> tuple[int, int]:
        unpaired = atoms.get_initial_magnetic_moments().sum()
        return int(atoms.get_initial_charges().sum()), int(unpaired) + 1


class Constructor(Seen):
    """As AIMNet2 does, whose ``reset`` forgets what the constructor was told."""

    def __init__(self, charge: int = 0, mult: int = 1, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.charge, self.mult = charge, mult

    def reset(self) -> None:
        super().reset()
        self.charge, self.mult = 0, 1

    def state(self, atoms: Any) -> tuple[int, int]:
        del atoms
        return self.charge, self.mult


class Setters(Seen):
    _electrons = 0, 1

    def set_charge(self, charge: int) -> None:
        self._electrons = charge, self._electrons[1]

    def set_mult(self, mult: int) -> None:
        self._electrons = self._electrons[0], mult

    def state(self, atoms: Any) -> tuple[int, int]:
        del atoms
        return self._electrons


class Parameters(Seen):
    default_parameters: ClassVar[dict[str, Any]] = {"charge": 0, "mult": 1}

    def state(self, atoms: Any) -> tuple[int, int]:
        del atoms
        return self.parameters["charge"], self.parameters[[*self.default_parameters][1]]


class SpinParameter(Parameters):
    default_parameters: ClassVar[dict[str, Any]] = {"charge": 0, "spin": 1}


class UnpairedParameter(Parameters):
    default_parameters: ClassVar[dict[str, Any]] = {"charge": 0, "spin": 0}

    def state(self, atoms: Any) -> tuple[int, int]:
        charge, unpaired = super().state(atoms)
        return charge, unpaired + 1


class Duck:
    """No base class and no ``reset``."""

    def get_potential_energy(self, atoms: Any, force_consistent: bool = False) -> float:
        del force_consistent
        return 100.0 * atoms.info["charge"] + atoms.info["spin"]

    def get_forces(self, atoms: Any) -> Any:
        return np.zeros((len(atoms), 3))


DUCK = Duck()


class Shaped(Duck):
    """Energies and forces in shapes of the user's choice."""

    def __init__(self, energy: str = "plain", forces: str = "plain") -> None:
        self.energy, self.forces = energy, forces

    def get_potential_energy(self, atoms: Any, force_consistent: bool = False) -> Any:
        del force_consistent
        return {
            "plain": 2.5,
            "one": np.array([2.5]),
            "one-one": np.array([[2.5]], dtype=np.float32),
            "tensor": torch.tensor([2.5], requires_grad=True),
            "atoms": np.full(len(atoms), 2.5),
            "complex": 2.5 + 0j,
        }[self.energy]

    def get_forces(self, atoms: Any) -> Any:
        forces = np.arange(3.0 * len(atoms)).reshape(-1, 3)
        forces.flags.writeable = False
        return {
            "plain": forces,
            "batch": forces[None],
            "tensor": torch.tensor(forces, requires_grad=True),
            "flat": forces.ravel(),
            "first": forces[:1],
            "number": np.float64(0.0),
        }[self.forces]


class Restless(Duck):
    """Changes the process it runs in, and ends it at fluorine."""

    def get_forces(self, atoms: Any) -> Any:
        Path("somewhere").mkdir(exist_ok=True)
        os.chdir("somewhere")
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        if 9 in atoms.numbers:
            sys.exit(3)
        return super().get_forces(atoms)


class FreeEnergy(Picky):
    implemented_properties: ClassVar[list[str]] = ["free_energy", "forces"]


def annotated(stiffness: float = 3.0) -> Picky | None:
    return Picky(stiffness=stiffness)
