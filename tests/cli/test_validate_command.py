"""What ``validate`` says of a model whose promises are kept and whose units are not."""

from dataclasses import dataclass, replace

import pytest

from mlffbench.cli.validate import units_in_doubt
from mlffbench.core.card import elements
from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model


@dataclass(frozen=True)
class Scaled:
    """A network whose labels are in another unit."""

    model: ForceField
    factor: float
    name: str = "scaled"
    elements: frozenset[int] = elements("H C N O")

    def predict(self, structures: Structures) -> Labels:
        found = self.model.predict(structures)
        return replace(
            found, energy=self.factor * found.energy, forces=self.factor * found.forces
        )


@pytest.mark.parametrize(
    ("factor", "sentence"),
    [(23.06, "or kcal/mol/Å"), (-1, "they look like gradients, not forces"), (1, "")],
)
def test_forces_in_another_unit_are_told_of(factor: float, sentence: str) -> None:
    model = Scaled(load_model("mini-schnet", ModelOptions()), factor)
    told = units_in_doubt(model)
    assert len(told) == bool(sentence)
    for one in told:
        assert sentence in one
        assert "those of GFN2-xTB" in one
        assert "labels" not in one


def test_a_model_of_other_elements_is_not_judged() -> None:
    only_hydrogen = Scaled(load_model("zero", ModelOptions()), 1.0, "h", elements("H"))
    assert units_in_doubt(only_hydrogen) == []
