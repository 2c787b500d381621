"""Descent: a model's representation follows a prior, step by step, in batches."""

import copy
import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from mlffbench.core.forcefield import HasPriorHead, Head
from mlffbench.core.structures import Structures
from mlffbench.refine.refined_units import rows_of

Optimizer = Literal["lbfgs", "adam", "sgd"]
Penalty = Callable[[HasPriorHead, list[nn.Parameter], list[Tensor]], Tensor | float]
"""Added to the prior loss: of the model, its parameters and where they began."""
_CLIP = 10.0
"""Largest gradient norm of a step, in eV/Å per unit of the parameters."""
_SMALLEST = 2.0**-8
"""Share of the learning rate below which a descent that must not rise ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """How the shared parameters of a model are moved.

    Attributes:
        steps: Evaluations of the unit or of a batch at most.
        optimizer: ``adam`` or ``sgd`` (with momentum 0.9).
        learning_rate: Of the first step; it falls to 0 along a cosine.
        weight_decay: Decoupled with ``adam``.
        batch: Structures per step at most; a larger unit is visited in random batches.
        seed: Of the order of the batches.
        careful: A step after which the loss is higher is taken back and tried at half
            the rate. A unit that is larger than a batch has no loss to compare from one
            step to the next: where the mean loss of a pass is higher than that of the
            pass before, the rate is halved.
        anchor: Weight of the squared distance to where it began.
    """

    steps: int
    optimizer: Literal["adam", "sgd"]
    learning_rate: float
    weight_decay: float
    batch: int
    seed: int
    careful: bool
    anchor: float

    def run(
        self,
        twin: HasPriorHead,
        structures: Structures,
        targets: Tensor,
        *,
        key: str,
        stop: float,
        penalty: Penalty | None = None,
    ) -> Iterator[float]:
        """Move a model's representation, yielding the prior loss before each step.

        The loss is the mean over atoms of the norm of the prior head's force error, in
        eV/Å. Where it or a gradient is not finite, and no step can be taken back, NaN is
        yielded and the descent ends.

        Args:
            twin: Is changed.
            structures: One unit, all of it labelled.
            targets: Shape (n_atoms, 3), the prior's forces in eV/Å.
            key: Name of the unit, which seeds the order of its batches.
            stop: Loss in eV/Å at which the descent ends.
            penalty: Is added to the loss.
        """
        walk = _Walk(self, twin, structures.n_systems)
        for step, (batch, wanted) in enumerate(
            self._batches(twin, structures, targets, key)
        ):
            error = prior_error(twin, batch, wanted)
            total = error + walk.added(twin, penalty)
            loss = float(error.detach())
            if walk.must_go_back(float(total.detach())):
                walk.go_back()
            else:
                if walk.reached(loss, stop):
                    yield loss
                    return
                if not walk.look(total, loss):
                    yield math.nan
                    return
            yield loss
            if walk.factor < _SMALLEST:
                return
            walk.step(step)
        if walk.unsettled:
            here = prior_error(twin, structures, targets) + walk.added(twin, penalty)
            walk.settle(float(here.detach()))

    def _batches(
        self,
        twin: HasPriorHead,
        structures: Structures,
        targets: Tensor,
        key: str,
    ) -> Iterator[tuple[Structures, Tensor]]:
        """Yield ``steps`` batches of the unit with their targets."""
        if structures.n_systems <= self.batch:
            whole = prepared(twin, structures)
            for _ in range(self.steps):
                yield whole, targets
            return
        generator = torch.Generator().manual_seed(_seed(self.seed, key))
        order: list[int] = []
        for _ in range(self.steps):
            while len(order) < self.batch:
                drawn = torch.randperm(structures.n_systems, generator=generator)
                order += drawn.tolist()
            mine, order = sorted(order[: self.batch]), order[self.batch :]
            chosen = structures.select(mine)
            yield chosen, rows_of(targets, structures, mine)


class _Walk:
    """Where a descent stands: parameters, optimiser, and the last place worth keeping."""

    def __init__(self, plan: Descent, twin: HasPriorHead, n_systems: int) -> None:
        self.plan = plan
        self.parameters, self.origin = loosened(twin)
        self.factor = 1.0
        self._optimizer = _optimizer(plan, self.parameters)
        self._n_batches = math.ceil(n_systems / plan.batch)
        self._whole = self._n_batches == 1
        self._pass: deque[float] = deque(maxlen=self._n_batches)
        self._last_pass = math.inf
        self._best = math.inf
        self._n_back = 0
        self._kept: tuple[list[Tensor], dict[str, Any]] | None = None

    def added(self, twin: HasPriorHead, penalty: Penalty | None) -> Tensor | float:
        """Return what is added to the prior loss here."""
        far = distance(self.parameters, self.origin, self.plan.anchor)
        if penalty is None:
            return far
        return far + penalty(twin, self.parameters, self.origin)

    def must_go_back(self, total: float) -> bool:
        """Return whether the last step made matters worse and can be taken back."""
        return self._kept is not None and not total <= self._best

    def go_back(self) -> None:
        """Return to the last place that was better, with half the rate from now on.

        A second time in a row the optimiser forgets its momentum, which may point uphill.
        """
        self.factor /= 2
        self._put_back()
        self._n_back += 1
        if self._n_back > 1:
            self._optimizer = _optimizer(self.plan, self.parameters)

    def reached(self, loss: float, stop: float) -> bool:
        """Return whether the mean loss of the last pass is as low as wanted."""
        self._pass.append(loss)
        if len(self._pass) < self._n_batches:
            return False
        mean = sum(self._pass) / len(self._pass)
        if not self._whole:
            if self.plan.careful and mean > self._last_pass:
                self.factor /= 2
            self._last_pass = mean
            if mean > stop:
                self._pass.clear()
        return mean <= stop

    def look(self, total: Tensor, loss: float) -> bool:
        """Take the gradient here; return whether it can be followed."""
        gradients = torch.autograd.grad(total, self.parameters, allow_unused=True)
        if not _finite(loss, gradients):
            return False
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(self.parameters, _CLIP)
        if self.plan.careful and self._whole:
            self._best, self._n_back = float(total.detach()), 0
            places = [parameter.detach().clone() for parameter in self.parameters]
            self._kept = places, copy.deepcopy(self._optimizer.state_dict())
        return True

    def step(self, number: int) -> None:
        """Follow the gradient at the rate of a step."""
        fall = 0.5 * (1 + math.cos(math.pi * number / self.plan.steps))
        for group in self._optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * self.factor * fall
        self._optimizer.step()

    @property
    def unsettled(self) -> bool:
        """Whether the last step can still be taken back."""
        return self._kept is not None

    def settle(self, total: float) -> None:
        """Take the last step back if it made matters worse."""
        if self.must_go_back(total):
            self._put_back()

    @torch.no_grad()
    def _put_back(self) -> None:
        if self._kept is None:
            return
        for parameter, value in zip(self.parameters, self._kept[0], strict=True):
            parameter.copy_(value)
        self._optimizer.load_state_dict(copy.deepcopy(self._kept[1]))


def loosened(twin: HasPriorHead) -> tuple[list[nn.Parameter], list[Tensor]]:
    """Return the parameters of a representation, to be moved, and where they begin."""
    parameters = list(twin.representation_parameters())
    origin = [parameter.detach().clone() for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(True)
    return parameters, origin


def prior_error(model: HasPriorHead, structures: Structures, targets: Tensor) -> Tensor:
    """Return the mean over atoms of the norm of the prior head's force error, eV/Å."""
    return force_error(model.forward(structures, "prior").forces, targets)


def prepared(model: HasPriorHead, structures: Structures) -> Structures:
    """Return structures with all that the prior head can use again, where it can."""
    if isinstance(model, _Prepares):
        return cast("Structures", model.prepare_for(structures, "prior"))
    return structures


@runtime_checkable
class _Prepares(Protocol):
    """A model whose `forward` takes what `prepare_for` made of structures as well."""

    def prepare_for(self, structures: Structures, head: Head) -> object: ...


def force_error(forces: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over atoms of the norm of the difference of forces, in eV/Å."""
    error = forces - targets.to(device=forces.device, dtype=forces.dtype)
    mean: Tensor = torch.linalg.vector_norm(error, dim=1).mean()
    return mean


def distance(
    parameters: Sequence[Tensor], origin: Sequence[Tensor], weight: float
) -> Tensor | float:
    """Return the weighted squared distance of parameters to where they began."""
    if not weight:
        return 0.0
    pairs = zip(parameters, origin, strict=True)
    return weight * torch.stack([((now - then) ** 2).sum() for now, then in pairs]).sum()


def _optimizer(plan: Descent, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    rate, decay = plan.learning_rate, plan.weight_decay
    if plan.optimizer == "adam":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    return torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=decay)


def _finite(loss: float, gradients: Sequence[Tensor | None]) -> bool:
    if not math.isfinite(loss):
        return False
    return all(g is None or bool(torch.isfinite(g).all()) for g in gradients)


def _seed(seed: int, key: str) -> int:
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return int.from_bytes(digest[:7], "little")
