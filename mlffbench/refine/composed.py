"""RR after TTT: radii chosen with the adapted models, each for its own structures."""

from collections.abc import Mapping
from typing import Any, cast

from mlffbench.core.forcefield import ForceField
from mlffbench.core.structures import Structures
from mlffbench.models.catalog import DEFAULT_PRIOR
from mlffbench.models.cutoffs import Envelope
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.prior_head import Wish
from mlffbench.refine.radius.criteria import Criterion
from mlffbench.refine.radius.radius import RadiusRefinement
from mlffbench.refine.refined_units import mean_offsets
from mlffbench.refine.refiner import Fact, Refined, Training, Unit
from mlffbench.refine.ttt import PriorTuning
from mlffbench.refine.unit_gate import Gate

_BOTH = {"unit", "prior", "prior_head", "gate", "start", "start_gap", "level"}
"""Settings that both refinements have, each its own."""


class TunedRadius:
    """Test-time training, then radius refinement of each adapted model.

    What is not an argument is as in `PriorTuning` and `RadiusRefinement`.

    Args:
        prior: Name of the prior of both.
        unit: What is adapted together; a radius is chosen per structure.
        gate: Whether only units with a prior loss above that of training are adapted.
        steps: Looks at a unit at most; None as in `PriorTuning`.
        learning_rate: Of the first step; None is the rate of the model's prior head.
        criterion: What chooses a radius; None as in `RadiusRefinement`.
        envelope: What becomes of the radial envelope; None as in `RadiusRefinement`.
        smallest: Least radius of the grid, in Å.
        n_radii: Radii of the grid from ``smallest`` to the trained cutoff.
    """

    name = "rr+ttt"

    def __init__(
        self,
        *,
        prior: str = DEFAULT_PRIOR,
        unit: Unit = "group",
        gate: Gate = "training",
        steps: int | None = None,
        learning_rate: float | None = None,
        criterion: Criterion | None = None,
        envelope: Envelope | None = None,
        smallest: float = 3.0,
        n_radii: int = 10,
    ) -> None:
        shared: dict[str, Any] = {"prior": prior, "gate": gate}
        self._tuning = PriorTuning(
            unit=unit, steps=steps, learning_rate=learning_rate, **shared
        )
        self._radius = RadiusRefinement(
            criterion=criterion,
            envelope=envelope,
            smallest=smallest,
            n_radii=n_radii,
            **shared,
        )
        self.unit: Unit = unit
        self.sees = self._tuning.sees
        self.prior, self.no_head_because = prior, ""

    def wants_head(self, model: ForceField) -> Wish:
        """Return that a model cannot do without a prior head."""
        return self._tuning.wants_head(model)

    def check(self, model: ForceField) -> None:
        """Raise CapabilityError when either refinement lacks what it needs."""
        self._tuning.check(model)
        self._radius.check(model)

    def learn(self, model: ForceField, training: Training) -> None:
        """Find out what training graphs look like, and how well the prior head does."""
        self._tuning.learn(model, training)
        self._radius.learn(model, training)

    def settings(self, model: ForceField) -> Mapping[str, Fact]:
        """Return every hyper-parameter of both as resolved for a model."""
        radius = {
            f"radius_{name}" if name in _BOTH else name: value
            for name, value in self._radius.settings(model).items()
        }
        return {**self._tuning.settings(model), **radius}

    def refine(self, model: ForceField, structures: Structures) -> Refined:
        """Return the adapted models, each at the radius chosen for each structure."""
        tuned = self._tuning.refine(model, structures)
        adapted = cast("Routed", tuned.model)
        units: dict[int, list[int]] = {}
        for place, name in enumerate(structures.ids):
            units.setdefault(id(adapted.model_of(name)), []).append(place)
        models: dict[str, ForceField] = {}
        facts: list[dict[str, Fact]] = [dict(one) for one in tuned.facts]
        for places in units.values():
            mine = structures.select(places)
            refined = self._radius.refine(adapted.model_of(mine.ids[0]), mine)
            routed = cast("Routed", refined.model)
            for place, name, fact in zip(places, mine.ids, refined.facts, strict=True):
                facts[place] |= fact
                if routed.model_of(name) is not model:
                    models[name] = routed.model_of(name)
        # a radius shifts energies as adapting does, so the means are kept anew
        return Refined(
            model=Routed(
                model, models, mean_offsets(model, models, structures, self.unit)
            ),
            facts=facts,
            trace=tuned.trace,
            gradient_steps=tuned.gradient_steps,
        )
