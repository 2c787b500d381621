"""TTT, test-time training: gradient steps on a cheap prior's forces.

Kreiman & Krishnapriyan, arXiv 2503.08674: the representation that the prior's head and
the reference's head share is moved so that the prior's head, which is frozen, reproduces
the prior on the test geometries; then the reference's head predicts. No reference label
takes part.

Where the prior's head reproduces the prior as well as on training molecules there is
nothing to repair, and following it further would fit the prior's own errors; where the
model itself is no further from the prior than on those, and no further than the head, the
head is no guide. Such a unit is left alone, and another one is adapted until its prior
loss is down to that level (docs/pretrained.md).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor

from mlffbench.core.errors import BenchError
from mlffbench.core.forcefield import ForceField, HasLearningRate, HasPriorHead
from mlffbench.core.structures import Structures
from mlffbench.models.catalog import DEFAULT_PRIOR
from mlffbench.refine.curved_descent import CurvedDescent, LabelledUnit
from mlffbench.refine.descent import Descent, Optimizer, Penalty
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.prior_head import (
    PriorLabels,
    Wish,
    origin_of,
    require_prior_head,
)
from mlffbench.refine.prior_level import PriorLevel, level_of, require_level
from mlffbench.refine.refined_units import mean_offsets, rows_of, units_of
from mlffbench.refine.refiner import Fact, Refined, Training, Unit
from mlffbench.refine.unit_gate import START, START_GAP, Gate, UnitGate
from mlffbench.refine.unit_stacks import follow_stacks

STEPS, CURVED_STEPS = 50, 16
"""Looks at a unit at most, without and with curvature."""
DEFAULT_RATE = 1e-3
"""Learning rate for a model that does not remember that of its prior head."""


@dataclass(frozen=True, slots=True, eq=False)
class _Adapted:
    """What came of one unit: a model or why there is none, and the loss by step."""

    model: ForceField | None
    reason: str
    losses: list[float]


class PriorTuning:
    """Test-time training of a model with a prior head.

    The defaults were tuned on the val halves of ``mini-ood`` (docs/ttt.md), also with
    real pretrained models (docs/pretrained.md). The paper's: ``gate="off",
    careful=False, optimizer="sgd", learning_rate=1e-5, weight_decay=1e-3, steps=500,
    unit="split"``.

    Args:
        prior: Name of the prior, or of any model taken for one.
        unit: What is adapted together: ``group``, ``split`` or ``structure``.
        gate: ``training``: a unit is adapted only if its prior loss is above that of
            training molecules and its head is a guide (`UnitGate`), and until the loss is
            down there; ``off``: every unit, all steps.
        start: Share of new molecules like those of training whose prior loss stays
            below the one from which on a unit is adapted.
        start_gap: The same for how far the model is from the prior.
        stop: The same for the prior loss at which adapting ends.
        careful: Take back a step that does not lower the prior loss and try nearer by.
        steps: Looks at a unit, or at a batch of it, at most, each of which costs a
            gradient; None is 16 with ``lbfgs``, which needs at least 2, and 50 else.
        optimizer: ``lbfgs`` (`QuasiNewton`, always careful), ``adam`` or ``sgd`` (the
            paper's, with momentum 0.9); None is ``lbfgs`` where steps are careful, else
            ``adam``; a unit larger than a batch is left to ``adam`` by ``lbfgs``.
        learning_rate: Largest change of a parameter in the first step; with ``adam`` and
            ``sgd`` it falls to 0 along a cosine; None is the rate that the model's prior
            head was trained with, which fits its network.
        weight_decay: Decoupled, towards the untouched weights' own scale; not with
            ``lbfgs``.
        batch: Structures per step at most; a larger unit is visited in random batches.
        anchor: Weight of the squared distance to the untouched weights (L2-SP).
        seed: Of the order of the batches.
    """

    name = "ttt"
    penalty: Penalty | None = None
    """Is added to the prior loss, by rules that look at predictions too."""

    def __init__(
        self,
        *,
        prior: str = DEFAULT_PRIOR,
        unit: Unit = "group",
        gate: Gate = "training",
        start: float = START,
        start_gap: float = START_GAP,
        stop: float = 0.5,
        careful: bool = True,
        steps: int | None = None,
        optimizer: Optimizer | None = None,
        learning_rate: float | None = None,
        weight_decay: float = 0.0,
        batch: int = 16,
        anchor: float = 0.0,
        seed: int = 0,
    ) -> None:
        optimizer = optimizer or ("lbfgs" if careful else "adam")
        for value, known in (
            (unit, ("group", "split", "structure")),
            (gate, ("training", "off")),
            (optimizer, ("lbfgs", "adam", "sgd")),
        ):
            if value not in known:
                msg = f"ttt: {value!r} is none of {', '.join(known)}"
                raise BenchError(msg)
        wrong_rate = learning_rate is not None and not 0 < learning_rate < math.inf
        wrong = wrong_rate or not all(0 <= x < math.inf for x in (anchor, weight_decay))
        if wrong or batch < 1 or (steps is not None and steps < 1):
            msg = "ttt: steps and batch must be at least 1, learning_rate above 0, "
            raise BenchError(msg + "anchor and weight_decay not below 0, all finite")
        if optimizer == "lbfgs" and (not careful or weight_decay):
            msg = (
                "ttt: lbfgs takes no step that raises the prior loss and has no weight "
                "decay; set optimizer=adam for careful=false or for weight_decay"
            )
            raise BenchError(msg)
        if optimizer == "lbfgs" and steps == 1:
            msg = "ttt: the first look of lbfgs only shows where it stands, so steps=1 "
            raise BenchError(
                msg + "moves nothing; set steps=2 or more, or optimizer=adam"
            )
        if not (0 < stop <= start < 1 and 0 < start_gap < 1):
            msg = (
                f"ttt: start {start:g}, start_gap {start_gap:g} and stop {stop:g} are "
                "shares of molecules: expected all between 0 and 1, stop at most start"
            )
            raise BenchError(msg)
        self.unit = unit
        self.gate, self.start, self.start_gap = gate, start, start_gap
        self.stop, self.careful = stop, careful
        self.steps = steps
        self.prior = prior
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch = batch
        self.anchor = anchor
        self.seed = seed
        self.sees = (
            f"test geometries: yes, one {unit} at a time; {prior} labels of them"
            + (", and of training geometries" if gate == "training" else "")
            + ": yes; reference labels: no"
        )
        self._labels = PriorLabels(prior)
        self._level: PriorLevel | None = None
        self.no_head_because = ""

    def wants_head(self, model: ForceField) -> Wish:  # noqa: ARG002 - every model
        """Return that a model cannot do without a prior head."""
        return "must"

    def check(self, model: ForceField) -> None:
        """Raise CapabilityError when the model has no prior head, or an untrained one."""
        require_prior_head(model, f"mode {self.name!r}")

    def learn(self, model: ForceField, training: Training) -> None:
        """Find out how well the prior head does on training molecules.

        Raises:
            DataError: There are too few of them.
        """
        if self.gate == "training":
            self._level = level_of(model, training, self._labels)

    def settings(self, model: ForceField) -> Mapping[str, Fact]:
        """Return every hyper-parameter as resolved for a model."""
        level = self._level
        return {
            "prior": self.prior,
            "prior_head": origin_of(model),
            "unit": self.unit,
            "gate": self.gate,
            "start": self.start,
            "stop": self.stop,
            "start_gap": self.start_gap,
            "most_loss": round(level.loss_at(self.start), 6) if level else None,
            "most_gap": round(level.gap_at(self.start_gap), 6) if level else None,
            "stop_loss": round(level.loss_at(self.stop), 6) if level else None,
            "head_share": round(level.head_share, 6) if level else None,
            "prior_share": round(level.prior_share, 6) if level else None,
            "level": level.origin if level else None,
            "careful": self.careful,
            "steps": self._steps(self.optimizer),
            "optimizer": self.optimizer,
            "beyond_a_batch": (
                f"adam, {self._steps('adam')} steps"
                if self.optimizer == "lbfgs"
                else None
            ),
            "learning_rate": self._rate(model),
            "weight_decay": self.weight_decay,
            "batch": self.batch,
            "anchor": self.anchor,
            "seed": self.seed,
        }

    def refine(self, model: ForceField, structures: Structures) -> Refined:
        """Return the model adapted unit by unit; a unit that diverges keeps the baseline.

        A unit whose prior loss is at the level of training keeps it, and so do structures
        the prior cannot compute; facts say so and why.

        Raises:
            CapabilityError: The gate is on and no training geometries were shown.
        """
        labels = self._labels.of(structures)
        gate = self._gate(model, structures, labels.forces)
        reasons: dict[str, str] = {}
        members = units_of(structures, self.unit)
        usable = {
            key: [place for place in places if place not in labels.failures]
            for key, places in members.items()
        }
        units: list[LabelledUnit] = []
        for key, mine in usable.items():
            reasons[key] = gate.why_not(mine) if gate else ""
            if mine and not reasons[key]:
                units.append(
                    LabelledUnit(
                        key=key,
                        structures=structures.select(mine),
                        targets=rows_of(labels.forces, structures, mine),
                        stop=gate.loss_at(self.stop, mine) if gate else 0.0,
                    )
                )
        adapted = self._adapt_all(model, units)
        models: dict[str, ForceField] = {}
        facts: list[dict[str, Fact]] = [{} for _ in structures.ids]
        trace: dict[str, Sequence[float]] = {}
        for key, places in members.items():
            found = adapted.get(key, _Adapted(None, reasons[key], []))
            trace[key] = found.losses
            for place in places:
                reason = found.reason or labels.failures.get(place, "")
                facts[place] = {
                    "adapted": not reason,
                    "not_adapted_because": reason,
                    "prior_loss_lowest": _lowest(found.losses),
                    "steps": len(found.losses),
                    **(gate.facts(usable[key]) if gate else {}),
                }
                if found.model is not None and not reason:
                    models[structures.ids[place]] = found.model
        offsets = mean_offsets(model, models, structures, self.unit)
        return Refined(
            model=Routed(model, models, offsets),
            facts=facts,
            trace=trace,
            gradient_steps=sum(len(losses) for losses in trace.values()),
        )

    def adapt(
        self,
        model: ForceField,
        structures: Structures,
        targets: Tensor,
        key: str,
        stop: float = 0.0,
    ) -> _Adapted:
        """Return a copy of the model adapted to some structures.

        Args:
            model: With a prior head; it stays as it is.
            structures: One unit, all of it labelled.
            targets: Shape (n_atoms, 3), the prior's forces in eV/Å.
            key: Name of the unit, which seeds the order of its batches.
            stop: Prior loss in eV/Å at which to stop; 0 takes all steps.
        """
        # the capability was checked before the run
        twin = cast("HasPriorHead", model).clone()
        losses = list(self.descend(twin, structures, targets, key, stop))
        # only steps on a whole unit are taken back, where they are careful
        returns = self.careful and structures.n_systems <= self.batch
        return _judged(twin, losses, returns=returns)

    def _adapt_all(
        self, model: ForceField, units: Sequence[LabelledUnit]
    ) -> dict[str, _Adapted]:
        """Return what comes of each unit, by its key; small ones are adapted together.

        Not in a class made from this one whose `adapt` or `descend` is its own.
        """
        whole = [unit for unit in units if unit.structures.n_systems <= self.batch]
        ways = type(self).adapt, type(self).descend, self.penalty, self.optimizer
        if ways != (PriorTuning.adapt, PriorTuning.descend, None, "lbfgs"):
            whole = []
        found = {
            key: _judged(*followed, returns=True)
            for key, followed in follow_stacks(
                self._curved(model), cast("HasPriorHead", model), whole
            ).items()
        }
        for unit in units:
            if unit.key not in found:
                found[unit.key] = self.adapt(
                    model, unit.structures, unit.targets, unit.key, unit.stop
                )
        return found

    def _curved(self, model: object) -> CurvedDescent:
        return CurvedDescent(
            steps=self._steps("lbfgs"),
            learning_rate=self._rate(model),
            anchor=self.anchor,
        )

    def descend(
        self,
        twin: HasPriorHead,
        structures: Structures,
        targets: Tensor,
        key: str,
        stop: float = 0.0,
    ) -> Iterator[float]:
        """Move a model's representation step by step; see `Descent.run`.

        Args:
            twin: Is changed.
            structures: One unit, all of it labelled.
            targets: Shape (n_atoms, 3), the prior's forces in eV/Å.
            key: Name of the unit, which seeds the order of its batches.
            stop: Prior loss in eV/Å at which to stop; 0 takes all steps.
        """
        optimizer = self.optimizer
        if optimizer == "lbfgs":
            if structures.n_systems <= self.batch:
                unit = LabelledUnit(key, structures, targets, stop)
                return self._curved(twin).run(twin, unit, self.penalty)
            optimizer = "adam"
        descent = Descent(
            steps=self._steps(optimizer),
            optimizer=optimizer,
            learning_rate=self._rate(twin),
            weight_decay=self.weight_decay,
            batch=self.batch,
            seed=self.seed,
            careful=self.careful,
            anchor=self.anchor,
        )
        return descent.run(
            twin, structures, targets, key=key, stop=stop, penalty=self.penalty
        )

    def _gate(
        self, model: ForceField, structures: Structures, targets: Tensor
    ) -> UnitGate | None:
        """Return what decides which units are adapted; None adapts all."""
        if self.gate == "off":
            return None
        return UnitGate.of(
            model,
            structures,
            targets,
            require_level(self._level, model),
            start=self.start,
            start_gap=self.start_gap,
        )

    def _steps(self, optimizer: Optimizer) -> int:
        return self.steps or (CURVED_STEPS if optimizer == "lbfgs" else STEPS)

    def _rate(self, model: object) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        if isinstance(model, HasLearningRate):
            return model.prior_learning_rate
        return DEFAULT_RATE


def _lowest(losses: Sequence[float]) -> float | None:
    """Return the lowest finite loss of a descent, where a careful one ends."""
    return min((loss for loss in losses if math.isfinite(loss)), default=None)


def _judged(twin: HasPriorHead, losses: list[float], *, returns: bool) -> _Adapted:
    """Return what came of a unit.

    Args:
        twin: The model that was moved.
        losses: By step.
        returns: Whether it stands at its lowest loss, whatever the last one is.
    """
    if not math.isfinite(losses[0] if returns else losses[-1]):
        return _Adapted(None, "the adaptation diverged", losses)
    return _Adapted(cast("ForceField", twin), "", losses)
