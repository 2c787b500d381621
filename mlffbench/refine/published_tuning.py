"""TTT as published: a fixed number of SGD steps on the whole test set, no gate.

Kreiman & Krishnapriyan, arXiv 2503.08674; docs/paper.md says where their released code
departs from their text, and what is done here.
"""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from mlffbench.core.errors import BenchError
from mlffbench.core.forcefield import ForceField, HasPriorHead
from mlffbench.core.structures import Structures
from mlffbench.models.catalog import DEFAULT_PRIOR
from mlffbench.refine.descent import force_error
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.prior_head import PriorLabels, Wish, origin_of, require_prior_head
from mlffbench.refine.refined_units import rows_of
from mlffbench.refine.refiner import Fact, Refined, Unit

_CLIP = 10.0
"""Largest gradient norm of a step; theirs, of the summed loss."""


class _Batch(NamedTuple):
    """Some structures with the prior's energies (n_systems,) and forces (n_atoms, 3)."""

    structures: Structures
    energy: Tensor
    forces: Tensor

    def select(self, places: list[int]) -> "_Batch":
        """Return some of the structures; the batch itself where they are all."""
        if places == list(range(self.structures.n_systems)):
            return self
        return _Batch(
            self.structures.select(places),
            self.energy[torch.tensor(places, device=self.energy.device)],
            rows_of(self.forces, self.structures, places),
        )


class PublishedTuning:
    """Test-time training with the paper's settings.

    The whole test set is one unit. Every step takes a random batch of it, pass after
    pass, and descends the mean absolute error of the prior head's energies plus
    ``force_weight`` times the mean norm of its force errors. Rate, steps and loss stay
    the same throughout; nothing is taken back, and energies are left as they drift.

    Args:
        prior: Name of the prior, or of any model taken for one.
        steps: Gradient steps.
        learning_rate: Of SGD, constant.
        momentum: Of SGD.
        weight_decay: Of SGD, added to the gradient.
        batch: Structures per step at most.
        energy_weight: Of the mean |ΔE| of a structure, per eV.
        force_weight: Of the mean over atoms of |ΔF|, per eV/Å.
        most: Structures that are adapted to at most, the first of the test set.
        seed: Of the order of the batches.
    """

    name = "ttt-paper"
    unit: Unit = "split"

    def __init__(
        self,
        *,
        prior: str = DEFAULT_PRIOR,
        steps: int = 500,
        learning_rate: float = 1e-5,
        momentum: float = 0.9,
        weight_decay: float = 1e-3,
        batch: int = 32,
        energy_weight: float = 1.0,
        force_weight: float = 1000.0,
        most: int = 1000,
        seed: int = 0,
    ) -> None:
        if steps < 1 or batch < 1 or most < 1 or not learning_rate > 0:
            msg = "ttt-paper: steps, batch and most must be at least 1, learning_rate "
            raise BenchError(msg + "above 0")
        if min(energy_weight, force_weight, weight_decay) < 0 or not 0 <= momentum < 1:
            msg = (
                "ttt-paper: weights and weight_decay must not be below 0, momentum from "
            )
            raise BenchError(msg + "0 up to 1")
        self.prior = prior
        self.steps, self.batch, self.most, self.seed = steps, batch, most, seed
        self.learning_rate, self.momentum = learning_rate, momentum
        self.weight_decay = weight_decay
        self.energy_weight, self.force_weight = energy_weight, force_weight
        self.sees = (
            f"test geometries: yes, one split at a time; {prior} labels of them: yes; "
            "reference labels: no"
        )
        self.no_head_because = ""
        self._labels = PriorLabels(prior)

    def wants_head(self, model: ForceField) -> Wish:  # noqa: ARG002 - every model
        """Return that a model cannot do without a prior head."""
        return "must"

    def check(self, model: ForceField) -> None:
        """Raise CapabilityError when the model has no prior head, or an untrained one."""
        require_prior_head(model, f"mode {self.name!r}")

    def settings(self, model: ForceField) -> Mapping[str, Fact]:
        """Return every hyper-parameter as resolved for a model."""
        return {
            "prior": self.prior,
            "prior_head": origin_of(model),
            "unit": self.unit,
            "gate": "off",
            "steps": self.steps,
            "optimizer": "sgd",
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
            "batch": self.batch,
            "energy_weight": self.energy_weight,
            "force_weight": self.force_weight,
            "most": self.most,
            "seed": self.seed,
        }

    def refine(self, model: ForceField, structures: Structures) -> Refined:
        """Return the model adapted to all structures together.

        Structures the prior cannot compute keep the baseline, and so do all where the
        loss stops being finite; facts say so and why. One beyond the first ``most`` is
        predicted by the adapted model without having been seen.
        """
        labels = self._labels.of(structures)
        usable = [i for i in range(structures.n_systems) if i not in labels.failures]
        seen = usable[: self.most]
        losses: list[float] = []
        adapted, broken = model, ""
        if seen:
            whole = _Batch(structures, labels.energy, labels.forces)
            twin = cast("HasPriorHead", model).clone()
            for loss in self.descend(twin, whole.select(seen)):
                losses.append(loss)
            adapted = cast("ForceField", twin)
            if not all(map(math.isfinite, losses)):
                broken = "the adaptation diverged"
        models: dict[str, ForceField] = {}
        facts: list[dict[str, Fact]] = []
        finite = [loss for loss in losses if math.isfinite(loss)]
        known = set(seen)
        for place, name in enumerate(structures.ids):
            reason = labels.failures.get(place, "") or broken
            if not reason:
                models[name] = adapted
            facts.append(
                {
                    "adapted": not reason,
                    "not_adapted_because": reason,
                    "seen": place in known,
                    "prior_loss_lowest": min(finite, default=None),
                    "steps": len(losses),
                }
            )
        return Refined(
            model=Routed(model, models),
            facts=facts,
            trace={"all": losses},
            gradient_steps=len(losses),
        )

    def descend(self, twin: HasPriorHead, seen: _Batch) -> Iterator[float]:
        """Move a model's representation, yielding the force loss in eV/Å before a step.

        NaN is yielded, and nothing after it, where the loss or a gradient is not finite.

        Args:
            twin: Is changed.
            seen: What it is adapted to.
        """
        parameters = list(twin.representation_parameters())
        for parameter in parameters:
            parameter.requires_grad_(True)
        optimizer = torch.optim.SGD(
            parameters,
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        for places in self._passes(seen.structures.n_systems):
            batch = seen.select(places)
            total, force_loss = self._loss(twin, batch)
            gradients = torch.autograd.grad(total, parameters, allow_unused=True)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            length = nn.utils.clip_grad_norm_(parameters, _CLIP)
            if not bool(torch.isfinite(total.detach()) and torch.isfinite(length)):
                yield math.nan
                return
            yield force_loss
            optimizer.step()

    def _loss(self, twin: HasPriorHead, batch: _Batch) -> tuple[Tensor, float]:
        """Return the summed loss of a batch, and its mean force error in eV/Å."""
        found = twin.forward(batch.structures, "prior")
        energy = found.energy - batch.energy.to(found.energy)
        forces = force_error(found.forces, batch.forces)
        total = self.energy_weight * energy.abs().mean() + self.force_weight * forces
        return total, float(forces.detach())

    def _passes(self, n_systems: int) -> Iterator[list[int]]:
        """Yield ``steps`` batches, pass after pass in random order; the last is short."""
        generator = torch.Generator().manual_seed(self.seed)
        taken = 0
        while True:
            order = torch.randperm(n_systems, generator=generator).tolist()
            for start in range(0, n_systems, self.batch):
                if taken == self.steps:
                    return
                yield sorted(order[start : start + self.batch])
                taken += 1
