"""Effective medium theory, ASE's own: a prior for fcc metals that costs nothing."""

from typing import Any

from ase import Atoms
from ase.calculators import emt

from mlffbench.core.assembly import from_outcomes, predict_rest, refusals, singles
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.single import Computed, Single
from mlffbench.core.structures import Structures
from mlffbench.models.cards import EMT


class EmtForceField:
    """Effective medium theory of ASE, one structure after another."""

    name = "emt"
    elements = EMT.elements
    card = EMT

    def predict(self, structures: Structures) -> Labels:
        """Return float64 energies in eV (zero: the fcc crystal) and forces in eV/Å."""
        return predict_rest(structures, refusals(structures, self.card), _compute)


def load(options: ModelOptions) -> EmtForceField:
    """Return the prior; it computes on the CPU in float64 whatever the options say."""
    options.torch_device()
    options.torch_dtype(EMT)
    return EmtForceField()


def _compute(structures: Structures) -> Labels:
    outcomes = [_compute_one(single) for single in singles(structures)]
    return from_outcomes(structures, outcomes, "EMT, relative to fcc crystals")


def _compute_one(single: Single) -> Computed:
    cell = {"cell": single.cell, "pbc": single.pbc}
    atoms: Any = Atoms(numbers=single.numbers, positions=single.positions, **cell)
    package: Any = emt
    atoms.calc = package.EMT()
    return Computed(energy=atoms.get_potential_energy(), forces=atoms.get_forces())
