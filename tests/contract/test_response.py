"""Whether `validate` tells a model that sees charge and spin from one that does not."""

from dataclasses import dataclass

import pytest
import torch

from mlffbench.contract.contracts import check_forcefield
from mlffbench.contract.response import differ
from mlffbench.core.card import elements
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.models.physics.zero import ZeroForceField


@dataclass
class Sees:
    """A model whose energy is so much per charge and per unpaired electron."""

    per_charge: float = 0.0
    per_unpaired: float = 0.0
    refuses: bool = False
    name: str = "sees"
    elements: frozenset[int] = elements("H C N O")

    def predict(self, structures: Structures) -> Labels:
        if self.refuses and bool((structures.charge != 0).any()):
            raise ValueError("neutral only")
        energy = self.per_charge * structures.charge.double()
        energy += self.per_unpaired * (structures.multiplicity.double() - 1)
        forces = torch.zeros_like(structures.positions)
        return Labels(energy=energy, forces=forces, source="sees")


CASES = [
    (Sees(per_charge=3.0), "charge", "kept", "charge +2 moves energies by up to 6 eV"),
    (Sees(per_charge=3.0), "spin", "not applicable", "does not see spin"),
    (Sees(per_unpaired=0.5), "spin", "kept", "a triplet moves energies by up to 1 eV"),
    (Sees(), "charge", "not applicable", "does not see charge"),
    (Sees(refuses=True), "charge", "not applicable", "no other charge: ValueError: neut"),
]


@pytest.mark.parametrize(("model", "name", "status", "words"), CASES)
def test_the_response_is_told(model: Sees, name: str, status: str, words: str) -> None:
    (found,) = [p for p in check_forcefield(model) if p.name == name]
    assert found.status == status
    assert words in found.detail


def test_the_zero_model_sees_neither() -> None:
    found = {p.name: p.status for p in check_forcefield(ZeroForceField())}
    assert found["charge"] == found["spin"] == "not applicable"


def test_a_failure_is_a_difference() -> None:
    def of(*energy: float) -> Labels:
        forces = torch.zeros((0, 3))
        return Labels(energy=torch.tensor(energy), forces=forces, source="x")

    assert not differ(of(1.0, 2.0), of(1.0, 2.0), 1e-5)
    assert differ(of(1.0, 2.0), of(1.0, 2.1), 1e-5)
    assert differ(of(1.0, 2.0), of(1.0, torch.nan), 1e-5)
