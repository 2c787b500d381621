"""MMFF94 and UFF: rdkit's classical force fields."""

from collections.abc import Callable
from typing import Any

import numpy as np
from rdkit import rdBase
from rdkit.Chem import Mol, rdForceFieldHelpers

from mlffbench.core.assembly import from_outcomes, predict_rest, refusals, singles
from mlffbench.core.card import ModelCard
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.single import Computed, Outcome, Single
from mlffbench.core.structures import Structures
from mlffbench.core.units import KCAL_PER_MOL
from mlffbench.models.cards import MMFF94, UFF
from mlffbench.models.physics.topology import NoTopology, molecule

NO_THRESHOLD = 1000.0
"""Beyond any distance: with rdkit's own thresholds energies would jump."""

Setup = Callable[[Mol], Any]
"""Returns rdkit's force field of a molecule, or None where parameters are missing."""


class ClassicalForceField:
    """A force field of fixed bonds.

    Bonds come from the atom-mapped SMILES where there is one, else from the geometry
    (see `mlffbench.models.physics.topology`). Molecules of one structure feel each other.

    Args:
        name: How tables call it.
        card: What is known of it.
        setup: Builds rdkit's force field.
    """

    def __init__(self, name: str, card: ModelCard, setup: Setup) -> None:
        self.name = name
        self.card = card
        self.elements = card.elements
        self._setup = setup

    def predict(self, structures: Structures) -> Labels:
        """Return float64 energies in eV and forces in eV/Å.

        A structure without bonds or parameters is a failure. The zero of energy is the
        force field's own: energies compare within one molecule only.
        """
        refused = refusals(structures, self.card)
        return predict_rest(structures, refused, self._compute)

    def _compute(self, structures: Structures) -> Labels:
        with rdBase.BlockLogs():
            outcomes = [self._compute_one(single) for single in singles(structures)]
        source = f"{self.card.level_of_theory}, its own zero of energy"
        return from_outcomes(structures, outcomes, source)

    def _compute_one(self, single: Single) -> Outcome:
        try:
            mol = molecule(single)  # a name of its own: the field only points at it
        except NoTopology as error:
            return f"{self.name}: {error}"
        field = self._setup(mol)
        if field is None:
            return f"{self.name} has no parameters for an atom or bond of this structure"
        field.Initialize()
        gradient = np.asarray(field.CalcGrad()).reshape(-1, 3)
        energy = field.CalcEnergy() * KCAL_PER_MOL
        return Computed(energy=energy, forces=-KCAL_PER_MOL * gradient)


def load_mmff94(options: ModelOptions) -> ClassicalForceField:
    """Return MMFF94; it computes on the CPU in float64 whatever the options say."""
    return _load("mmff94", MMFF94, _set_up_mmff94, options)


def load_uff(options: ModelOptions) -> ClassicalForceField:
    """Return UFF; it computes on the CPU in float64 whatever the options say."""
    return _load("uff", UFF, _set_up_uff, options)


def _load(
    name: str, card: ModelCard, setup: Setup, options: ModelOptions
) -> ClassicalForceField:
    options.torch_device()
    options.torch_dtype(card)
    return ClassicalForceField(name, card, setup)


def _set_up_mmff94(mol: Mol) -> Any:
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol)
    if properties is None:
        return None
    return rdForceFieldHelpers.MMFFGetMoleculeForceField(
        mol,
        properties,
        nonBondedThresh=NO_THRESHOLD,
        ignoreInterfragInteractions=False,
    )


def _set_up_uff(mol: Mol) -> Any:
    if not rdForceFieldHelpers.UFFHasAllMoleculeParams(mol):
        return None
    return rdForceFieldHelpers.UFFGetMoleculeForceField(
        mol, vdwThresh=NO_THRESHOLD, ignoreInterfragInteractions=False
    )
