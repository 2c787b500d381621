"""CurvedDescent: representations follow a prior by its curvature, several units in step.

A unit has parameters of its own and a loss of its own, so what one walk does is nothing
to the others; but a look at all of them may be one pass of the network.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from mlffbench.core.forcefield import HasPriorHead, Head
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.refine.descent import (
    Penalty,
    distance,
    loosened,
    prepared,
    prior_error,
)
from mlffbench.refine.quasi_newton import QuasiNewton


class LabelledUnit(NamedTuple):
    """What is adapted together, all of it labelled.

    Attributes:
        key: Its name.
        structures: The structures.
        targets: Shape (n_atoms, 3), the prior's forces in eV/Å.
        stop: Loss in eV/Å at which the descent ends; 0 takes all looks.
    """

    key: str
    structures: Structures
    targets: Tensor
    stop: float


class Followed(NamedTuple):
    """A model that followed a prior, and the prior loss of every look."""

    twin: HasPriorHead
    losses: list[float]


class Stack(Protocol):
    """Several units in one pass, each with a representation of its own."""

    def select(self, places: Sequence[int]) -> Self:
        """Return some of the units as a stack."""
        ...

    def forward(self, values: Sequence[Tensor], head: Head) -> Labels:
        """Return one head's labels of all units, with the autograd graph attached.

        Args:
            values: Per parameter of the representation, shape (n_units, ...).
            head: Which head.
        """
        ...


@runtime_checkable
class Stacks(Protocol):
    """A model with a prior head that may adapt several units in one pass."""

    def stack(
        self, units: Sequence[Structures], head: Head | None = None
    ) -> Stack | None:
        """Return units as a stack; None where the network cannot have one.

        Args:
            units: A batch each.
            head: The one that is asked, and stays as it is.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvedDescent:
    """How the shared parameters of a model are moved, by `QuasiNewton`.

    Attributes:
        steps: Looks at a unit at most.
        learning_rate: Largest change of a parameter in the first step.
        anchor: Weight of the squared distance to where a walk began.
    """

    steps: int
    learning_rate: float
    anchor: float

    def run(
        self, twin: HasPriorHead, unit: LabelledUnit, penalty: Penalty | None = None
    ) -> Iterator[float]:
        """Move a model's representation, yielding the prior loss of every look.

        The loss is the mean over atoms of the norm of the prior head's force error, in
        eV/Å. NaN is yielded, and the descent ends, where it or its gradient is not finite
        at the first look.

        Args:
            twin: Is changed.
            unit: What it is adapted to.
            penalty: Is added to the loss.
        """
        ground = _Alone(self, twin, unit, penalty)
        for losses in self._follow(ground, ground.origin[None], [unit.stop]):
            yield losses[0]

    def run_together(
        self, model: HasPriorHead, units: Sequence[LabelledUnit]
    ) -> list[Followed] | None:
        """Return a copy of the model adapted to each unit, as `run` moves it.

        All looks of a round are one pass of the network. None where the network cannot
        do that.

        Args:
            model: Stays as it is.
            units: What it is adapted to.
        """
        stack = None
        if isinstance(model, Stacks):
            stack = model.stack([unit.structures for unit in units], "prior")
        if stack is None:
            return None
        ground = _Together(self, model, stack, units)
        places = ground.origin.repeat(len(units), 1)
        traces: list[list[float]] = [[] for _ in units]
        for losses in self._follow(ground, places, [unit.stop for unit in units]):
            for number, loss in losses.items():
                traces[number].append(loss)
        twins = [_moved(model, place) for place in ground.places]
        return [Followed(*pair) for pair in zip(twins, traces, strict=True)]

    def _follow(
        self, ground: "_Ground", places: Tensor, stops: Sequence[float]
    ) -> Iterator[dict[int, float]]:
        """Walk until all are done, yielding the losses of a round by number of the unit.

        Args:
            ground: Where the losses come from.
            places: Shape (n_units, n), where the walks begin.
            stops: Per unit, the loss at which its walk ends.
        """
        walk = QuasiNewton(places, self.learning_rate)
        going = list(range(len(stops)))
        for left in reversed(range(self.steps)):
            errors, totals = ground.look(going, walk.trial)
            accepted = walk.accepts(totals)
            reached = [
                good and error <= stops[number]
                for number, good, error in zip(going, accepted, errors, strict=True)
            ]
            turned = [
                good and bool(left) and not there
                for good, there in zip(accepted, reached, strict=True)
            ]
            if any(turned):
                walk.turn(ground.slopes(), turned)
            losses, stay = {}, []
            for row, number in enumerate(going):
                losses[number] = math.nan if walk.lost[row] else errors[row]
                if reached[row] or walk.ended[row] or not left:
                    ground.settle(number, walk.place[row])
                else:
                    stay.append(row)
            yield losses
            if not stay:
                return
            walk.keep(stay)
            going = [going[row] for row in stay]


class _Ground(Protocol):
    """Losses of some units as functions of parameters, laid end to end."""

    def look(
        self, numbers: Sequence[int], places: Tensor
    ) -> tuple[list[float], list[float]]:
        """Return prior losses of some units, and what is minimised.

        Args:
            numbers: Of the units, ascending; never one that was left out before.
            places: Shape (n_numbers, n).
        """
        ...

    def slopes(self) -> Tensor:
        """Return the gradients at the last look, shape (n_numbers, n)."""
        ...

    def settle(self, number: int, place: Tensor) -> None:
        """Keep where the walk of a unit ended, shape (n,)."""
        ...


class _Alone:
    """One unit, and a model whose own parameters are moved."""

    def __init__(
        self,
        plan: CurvedDescent,
        twin: HasPriorHead,
        unit: LabelledUnit,
        penalty: Penalty | None,
    ) -> None:
        self._plan, self._twin, self._penalty = plan, twin, penalty
        self._parameters, self._began = loosened(twin)
        self.origin = _flat(self._began)
        self._here, self._targets = prepared(twin, unit.structures), unit.targets

    def look(
        self,
        numbers: Sequence[int],  # noqa: ARG002 - there is one
        places: Tensor,
    ) -> tuple[list[float], list[float]]:
        _put(places[0], self._parameters)
        error = prior_error(self._twin, self._here, self._targets)
        self._total = error + distance(self._parameters, self._began, self._plan.anchor)
        if self._penalty is not None:
            self._total += self._penalty(self._twin, self._parameters, self._began)
        found = torch.stack([error, self._total]).detach().tolist()
        return [found[0]], [found[1]]

    def slopes(self) -> Tensor:
        gradients = torch.autograd.grad(
            self._total, self._parameters, allow_unused=True, materialize_grads=True
        )
        return _flat(gradients)[None]

    def settle(self, number: int, place: Tensor) -> None:  # noqa: ARG002 - there is one
        _put(place, self._parameters)


class _Together:
    """Several units in one pass."""

    def __init__(
        self,
        plan: CurvedDescent,
        model: HasPriorHead,
        stack: Stack,
        units: Sequence[LabelledUnit],
    ) -> None:
        parameters = [one.detach() for one in model.representation_parameters()]
        self._plan, self._stack = plan, stack
        self._shapes = [one.shape for one in parameters]
        self._sizes = [one.numel() for one in parameters]
        self.origin = _flat(parameters)
        self.places = [self.origin] * len(units)
        self._targets = [unit.targets.to(self.origin) for unit in units]
        self._numbers = list(range(len(units)))
        self._set_out()

    def look(
        self, numbers: Sequence[int], places: Tensor
    ) -> tuple[list[float], list[float]]:
        if list(numbers) != self._numbers:
            rows = [self._numbers.index(number) for number in numbers]
            self._stack = self._stack.select(rows)
            self._numbers = list(numbers)
            self._set_out()
        self._places = places.detach().requires_grad_()
        values = [
            piece.view(len(places), *shape)
            for piece, shape in zip(
                torch.split(self._places, self._sizes, dim=1), self._shapes, strict=True
            )
        ]
        apart = self._stack.forward(values, "prior").forces - self._wanted
        each = torch.linalg.vector_norm(apart, dim=1)
        sums = each.new_zeros(len(places)).index_add(0, self._unit, each)
        errors = self._totals = sums / self._n_atoms
        if self._plan.anchor:
            away = (self._places - self.origin).square().sum(1)
            self._totals = errors + self._plan.anchor * away
        found: list[list[float]] = torch.stack([errors, self._totals]).detach().tolist()
        return found[0], found[1]

    def slopes(self) -> Tensor:
        # a loss depends on its own row of the places only
        [gradients] = torch.autograd.grad(self._totals.sum(), [self._places])
        return gradients

    def settle(self, number: int, place: Tensor) -> None:
        self.places[number] = place.clone()  # not a row that keeps all others

    def _set_out(self) -> None:
        """Lay out the targets of the units that go on."""
        targets = [self._targets[number] for number in self._numbers]
        sizes = torch.tensor([len(one) for one in targets])
        unit = torch.repeat_interleave(torch.arange(len(targets)), sizes)
        self._wanted = torch.cat(targets)
        self._unit = unit.to(self.origin.device)
        self._n_atoms = sizes.to(self.origin)


def _moved(model: HasPriorHead, place: Tensor) -> HasPriorHead:
    """Return a copy of a model with its representation at a place."""
    twin = model.clone()
    _put(place, list(twin.representation_parameters()))
    return twin


def _flat(values: Sequence[Tensor]) -> Tensor:
    """Return values as one vector, shape (n,)."""
    return torch.cat([value.flatten() for value in values])


@torch.no_grad()
def _put(vector: Tensor, parameters: Sequence[Tensor]) -> None:
    """Write what `_flat` returned into parameters."""
    pieces = torch.split(vector, [one.numel() for one in parameters])
    for piece, one in zip(pieces, parameters, strict=True):
        one.copy_(piece.view_as(one))
