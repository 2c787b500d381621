"""No refinement: the baseline is a refiner too, so the runner has no special case."""

from collections.abc import Mapping

from mlffbench.core.forcefield import ForceField
from mlffbench.core.structures import Structures
from mlffbench.refine.refiner import Fact, Refined, Unit


class Baseline:
    """The model as it comes."""

    name = "baseline"
    unit: Unit = "structure"
    sees = "nothing before prediction"

    def check(self, model: ForceField) -> None:
        """Accept every model."""

    def settings(self, model: ForceField) -> Mapping[str, Fact]:  # noqa: ARG002
        """Return nothing: there is nothing to set."""
        return {}

    def refine(self, model: ForceField, structures: Structures) -> Refined:  # noqa: ARG002
        """Return the model itself."""
        return Refined(model=model)
