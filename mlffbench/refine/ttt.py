"""TTT, test-time training: gradient steps on a cheap prior's forces.

Kreiman & Krishnapriyan, arXiv 2503.08674: the representation that the prior's head and
the reference's head share is moved so that the prior's head, which is frozen, reproduces
the prior on the test geometries; then the reference's head predicts. No reference label
takes part.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from mlffbench.core.errors import BenchError
from mlffbench.core.forcefield import ForceField, HasLearningRate, HasPriorHead
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.models.catalog import DEFAULT_PRIOR
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.prior_head import PriorLabels, require_prior_head
from mlffbench.refine.refiner import Fact, Refined, Unit

Optimizer = Literal["adam", "sgd"]
DEFAULT_RATE = 1e-3
"""Learning rate for a model that does not remember that of its prior head."""
_CLIP = 10.0
"""Largest gradient norm of a step, in eV/Å per unit of the parameters."""


@dataclass(frozen=True, slots=True, eq=False)
class _Adapted:
    """What came of one unit: a model or why there is none, and the loss by step."""

    model: ForceField | None
    reason: str
    losses: list[float]


class PriorTuning:
    """Test-time training of a model with a prior head.

    The defaults were tuned on the val halves of ``mini-ood`` (docs/ttt.md). The paper's:
    ``optimizer="sgd", learning_rate=1e-5, weight_decay=1e-3, steps=500, unit="split"``.

    Args:
        prior: Name of the prior, or of any model taken for one.
        unit: What is adapted together: ``group``, ``split`` or ``structure``.
        steps: Gradient steps per unit.
        optimizer: ``adam`` or ``sgd`` (the paper's, with momentum 0.9).
        learning_rate: Of the first step; it falls to 0 along a cosine. None is the rate
            that the model's prior head was trained with, which fits its network.
        weight_decay: Decoupled, towards the untouched weights' own scale.
        batch: Structures per step at most; a larger unit is visited in random batches.
        anchor: Weight of the squared distance to the untouched weights (L2-SP).
        seed: Of the order of the batches.
    """

    name = "ttt"

    def __init__(
        self,
        *,
        prior: str = DEFAULT_PRIOR,
        unit: Unit = "group",
        steps: int = 50,
        optimizer: Optimizer = "adam",
        learning_rate: float | None = None,
        weight_decay: float = 0.0,
        batch: int = 16,
        anchor: float = 0.0,
        seed: int = 0,
    ) -> None:
        if unit not in {"group", "split", "structure"} or optimizer not in {
            "adam",
            "sgd",
        }:
            msg = f"ttt: unit {unit!r} must be group, split or structure, optimizer "
            raise BenchError(msg + f"{optimizer!r} must be adam or sgd")
        if (
            steps < 1
            or batch < 1
            or not (learning_rate is None or learning_rate > 0)
            or anchor < 0
        ):
            msg = "ttt: steps and batch must be at least 1, learning_rate above 0 and "
            raise BenchError(msg + "anchor not below 0")
        self.unit = unit
        self.steps = steps
        self.prior = prior
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch = batch
        self.anchor = anchor
        self.seed = seed
        self.sees = (
            f"test geometries: yes, one {unit} at a time; {prior} labels of them: yes; "
            "reference labels: no"
        )
        self._labels = PriorLabels(prior)

    def check(self, model: ForceField) -> None:
        """Raise CapabilityError when the model has no prior head, or an untrained one."""
        require_prior_head(model, f"mode {self.name!r}")

    def settings(self, model: ForceField) -> Mapping[str, Fact]:
        """Return every hyper-parameter as resolved for a model."""
        return {
            "prior": self.prior,
            "unit": self.unit,
            "steps": self.steps,
            "optimizer": self.optimizer,
            "learning_rate": self._rate(model),
            "weight_decay": self.weight_decay,
            "batch": self.batch,
            "anchor": self.anchor,
            "seed": self.seed,
        }

    def refine(self, model: ForceField, structures: Structures) -> Refined:
        """Return the model adapted unit by unit; a unit that diverges keeps the baseline.

        Structures the prior cannot compute take no part and keep the baseline too; facts
        say so and why.
        """
        labels = self._labels.of(structures)
        models: dict[str, ForceField] = {}
        facts: list[dict[str, Fact]] = [{} for _ in structures.ids]
        trace: dict[str, Sequence[float]] = {}
        n_steps = 0
        for key, members in _units(structures, self.unit).items():
            usable = [place for place in members if place not in labels.failures]
            adapted = _Adapted(None, "", [])
            if usable:
                targets = _forces_of(labels, structures, usable)
                adapted = self.adapt(model, structures.select(usable), targets, key)
            trace[key] = adapted.losses
            n_steps += len(adapted.losses)
            for place in members:
                reason = adapted.reason or labels.failures.get(place, "")
                facts[place] = {"adapted": not reason, "not_adapted_because": reason}
                if adapted.model is not None and not reason:
                    models[structures.ids[place]] = adapted.model
        return Refined(
            model=Routed(
                model, models, mean_offsets(model, models, structures, self.unit)
            ),
            facts=facts,
            trace=trace,
            gradient_steps=n_steps,
        )

    def adapt(
        self, model: ForceField, structures: Structures, targets: Tensor, key: str
    ) -> _Adapted:
        """Return a copy of the model adapted to some structures.

        Args:
            model: With a prior head; it stays as it is.
            structures: One unit, all of it labelled.
            targets: Shape (n_atoms, 3), the prior's forces in eV/Å.
            key: Name of the unit, which seeds the order of its batches.
        """
        # the capability was checked before the run
        twin = cast("HasPriorHead", model).clone()
        losses: list[float] = []
        for loss in self.descend(twin, structures, targets, key):
            losses.append(loss)
            if not math.isfinite(loss):
                return _Adapted(None, "the adaptation diverged", losses)
        return _Adapted(cast("ForceField", twin), "", losses)

    def descend(
        self, twin: HasPriorHead, structures: Structures, targets: Tensor, key: str
    ) -> Iterator[float]:
        """Move a model's representation step by step, yielding the prior loss of each.

        The loss is the mean over atoms of the norm of the prior head's force error, in
        eV/Å, before the step. Where it or a gradient is not finite, the step is not
        taken and NaN is yielded.

        Args:
            twin: Is changed.
            structures: One unit, all of it labelled.
            targets: Shape (n_atoms, 3), the prior's forces in eV/Å.
            key: Name of the unit, which seeds the order of its batches.
        """
        parameters = list(twin.representation_parameters())
        origin = [parameter.detach().clone() for parameter in parameters]
        optimizer = self._optimizer(parameters, self._rate(twin))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        for batch, wanted in self._batches(structures, targets, key):
            error = _prior_error(twin, batch, wanted)
            total = error + self.penalty(twin, parameters, origin)
            gradients = torch.autograd.grad(total, parameters, allow_unused=True)
            loss = float(error.detach())
            if not _finite(loss, gradients):
                yield math.nan
                return
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            nn.utils.clip_grad_norm_(parameters, _CLIP)
            optimizer.step()
            schedule.step()
            yield loss

    def penalty(
        self,
        twin: HasPriorHead,  # noqa: ARG002 - for rules that look at predictions
        parameters: list[nn.Parameter],
        origin: list[Tensor],
    ) -> Tensor | float:
        """Return what is added to the prior loss: the anchor to the untouched weights."""
        return self.anchor * _distance(parameters, origin) if self.anchor else 0.0

    def _batches(
        self, structures: Structures, targets: Tensor, key: str
    ) -> Iterator[tuple[Structures, Tensor]]:
        """Yield ``steps`` batches of the unit with their targets."""
        if structures.n_systems <= self.batch:
            for _ in range(self.steps):
                yield structures, targets
            return
        generator = torch.Generator().manual_seed(_seed(self.seed, key))
        order: list[int] = []
        for _ in range(self.steps):
            while len(order) < self.batch:
                drawn = torch.randperm(structures.n_systems, generator=generator)
                order += drawn.tolist()
            mine, order = sorted(order[: self.batch]), order[self.batch :]
            chosen = structures.select(mine)
            yield chosen, _rows_of(targets, structures, mine)

    def _rate(self, model: object) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        if isinstance(model, HasLearningRate):
            return model.prior_learning_rate
        return DEFAULT_RATE

    def _optimizer(
        self, parameters: list[nn.Parameter], rate: float
    ) -> torch.optim.Optimizer:
        for parameter in parameters:
            parameter.requires_grad_(True)
        if self.optimizer == "adam":
            return torch.optim.AdamW(parameters, lr=rate, weight_decay=self.weight_decay)
        return torch.optim.SGD(
            parameters,
            lr=rate,
            momentum=0.9,
            weight_decay=self.weight_decay,
        )


def _units(structures: Structures, unit: Unit) -> dict[str, list[int]]:
    """Return the places of the structures of each unit, by the unit's name."""
    names = {
        "structure": structures.ids,
        "group": structures.group,
        "split": ("all",) * structures.n_systems,
    }[unit]
    units: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        units.setdefault(name, []).append(place)
    return units


def mean_offsets(
    base: ForceField,
    models: Mapping[str, ForceField],
    structures: Structures,
    unit: Unit,
) -> dict[str, float]:
    """Return the energies, in eV, that give each molecule its mean energy back.

    Forces say nothing about a constant, so adapting to them lets absolute energies
    drift. The mean over the adapted conformers of a molecule stays that of the base;
    where each structure was adapted alone (unit ``structure``), its own energy does.
    """
    names = structures.ids if unit == "structure" else structures.group
    before = base.predict(structures).energy.double()
    after = Routed(base, models).predict(structures).energy.double()
    drift: dict[str, list[float]] = {}
    adapted = [name in models for name in structures.ids]
    change = (before - after).tolist()
    for group, mine, value in zip(names, adapted, change, strict=True):
        if mine and math.isfinite(value):
            drift.setdefault(group, []).append(value)
    means = {group: sum(values) / len(values) for group, values in drift.items()}
    return {
        name: means.get(group, 0.0)
        for name, group, mine in zip(structures.ids, names, adapted, strict=True)
        if mine
    }


def _forces_of(labels: Labels, structures: Structures, places: list[int]) -> Tensor:
    return _rows_of(labels.forces, structures, places)


def _rows_of(forces: Tensor, structures: Structures, places: list[int]) -> Tensor:
    """Return the rows of the atoms of some structures, in the order of the places."""
    pieces = torch.split(forces, structures.sizes.tolist())
    return torch.cat([pieces[place] for place in places])


def _prior_error(model: HasPriorHead, structures: Structures, targets: Tensor) -> Tensor:
    """Return the mean over atoms of the norm of the prior head's force error, eV/Å."""
    forces = model.forward(structures, "prior").forces
    error = forces - targets.to(device=forces.device, dtype=forces.dtype)
    mean: Tensor = torch.linalg.vector_norm(error, dim=1).mean()
    return mean


def _distance(parameters: list[nn.Parameter], origin: list[Tensor]) -> Tensor:
    """Return the squared distance to the untouched weights."""
    pairs = zip(parameters, origin, strict=True)
    return torch.stack([((now - then) ** 2).sum() for now, then in pairs]).sum()


def _finite(loss: float, gradients: Sequence[Tensor | None]) -> bool:
    if not math.isfinite(loss):
        return False
    return all(g is None or bool(torch.isfinite(g).all()) for g in gradients)


def _seed(seed: int, key: str) -> int:
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return int.from_bytes(digest[:7], "little")
