"""A refinement: the mean over a structure and its mirror image."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.refine.refiner import Fact, Refined, Unit


class Mirror:
    """Predictions are averaged over a structure and its mirror image.

    Args:
        axis: The axis that is mirrored: 0, 1 or 2.
    """

    name = "outside-mirror"
    unit: Unit = "structure"
    sees = "test geometries: yes; labels: none"

    def __init__(self, *, axis: int = 0) -> None:
        self.axis = axis

    def check(self, model: ForceField) -> None:
        """Accept every model."""

    def settings(self, model: ForceField) -> Mapping[str, Fact]:
        """Return the axis."""
        return {"axis": self.axis}

    def refine(self, model: ForceField, structures: Structures) -> Refined:
        """Return a model that predicts twice."""
        facts = [{"mirrored_axis": self.axis} for _ in structures.ids]
        return Refined(model=Mirrored(model, self.axis), facts=facts)


class Mirrored:
    """A model that answers for a structure and its mirror image."""

    def __init__(self, model: ForceField, axis: int) -> None:
        self.name, self.elements = model.name, model.elements
        self._model, self._axis = model, axis

    def predict(self, structures: Structures) -> Labels:
        """Return the mean of both."""
        sign = torch.ones(3).to(structures.positions)
        sign[self._axis] = -1
        flipped = replace(
            structures, positions=structures.positions * sign, cell=structures.cell * sign
        )
        here, there = self._model.predict(structures), self._model.predict(flipped)
        return Labels(
            energy=(here.energy + there.energy) / 2,
            forces=(here.forces + there.forces * sign) / 2,
            source=here.source,
            failures=here.failures,
        )
