"""The floor any model must beat: atoms that do not feel each other."""

import torch

from mlffbench.core.assembly import predict_rest, refusals
from mlffbench.core.card import ALL_ELEMENTS, SYMBOLS
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.core.units import HARTREE
from mlffbench.models.cards import ZERO

ATOMIC_ENERGIES = {
    1: -0.4993229670913744,
    5: -24.642423487579535,
    6: -37.83308715053248,
    7: -54.5721353106903,
    8: -75.04147548262947,
    9: -99.69413564953868,
    14: -289.3378453214008,
    15: -341.22894398455276,
    16: -398.0786360420421,
    17: -460.11375571518477,
}
"""Isolated atoms in hartree, UKS ωB97X/6-31G(d); from the attributes of mini.hdf5."""


class ZeroForceField:
    """Zero forces, and the sum of isolated-atom energies.

    Elements without an entry in `ATOMIC_ENERGIES` count 0 eV; the E0-aligned energy
    column does not see the difference.
    """

    name = "zero"
    elements = ALL_ELEMENTS
    card = ZERO

    def __init__(self) -> None:
        energies = torch.zeros(len(SYMBOLS), dtype=torch.float64)
        for number, energy in ATOMIC_ENERGIES.items():
            energies[number] = energy * HARTREE
        self._energies = energies

    def predict(self, structures: Structures) -> Labels:
        """Return isolated-atom energies in eV and zero forces in eV/Å, float64."""
        return predict_rest(structures, refusals(structures, self.card), self._compute)

    def _compute(self, structures: Structures) -> Labels:
        device = structures.positions.device
        energy = torch.zeros(structures.n_systems, dtype=torch.float64, device=device)
        energy.index_add_(
            0, structures.system, self._energies.to(device)[structures.numbers]
        )
        forces = torch.zeros_like(structures.positions, dtype=torch.float64)
        return Labels(energy=energy, forces=forces, source="model:zero")


def load(options: ModelOptions) -> ZeroForceField:
    """Return the model; device and dtype make no difference to it."""
    options.torch_device()
    options.torch_dtype(ZERO)
    return ZeroForceField()
