"""QuasiNewton: few gradients, each worth more, by the curvature that they show.

Limited-memory BFGS (Liu & Nocedal, Math. Program. 45, 503, 1989) whose first guess of the
curvature is a diagonal from the first gradient: no parameter moves by more than the
learning rate in the first step, and all that matter move alike, as in Adam; one whose
slope is 0 there is never moved (other elements' weights). A trial that does not lower the
loss enough (Armijo) is taken back and tried nearer by.

Several walks go in step, a row each. No row sees another one: a row that is lost holds
values that are not finite, and they stay there.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

_Value = TypeVar("_Value", bool, float)
_MEMORY = 5
"""Steps whose curvature is remembered."""
_SMALL_SLOPE = 0.1
"""Parameters with less than this share of the mean slope move by less than the others."""
_LONGEST = 5.0
"""Longest step, in learning rates per parameter (root mean square)."""
_ENOUGH = 1e-4
"""Share of the fall that the slope promises which a step must keep."""
_NEARER = 0.4
"""Share of a step that is tried when it did not lower the loss."""
_NEAREST = 2.0**-8
"""Share of a step below which the descent ends."""


class _Pair(NamedTuple):
    """A step and what it says of the curvature; zeros where a walk has none.

    Attributes:
        step: Shape (n_walks, n).
        change: Shape (n_walks, n), of the gradient.
        inverse: Shape (n_walks, 1), of their scalar product.
    """

    step: Tensor
    change: Tensor
    inverse: Tensor


class QuasiNewton:
    """Where some walks stand and where they look next, each at a loss of its own.

    Evaluate the losses at `trial`; hand them to `accepts`; for the rows where that is
    true, hand the gradients there to `turn`, or `keep` the others only. Repeat; the
    lowest point of a row is in `place`, and a row that `ended` goes no further.

    Args:
        place: Shape (n_walks, n), where they begin.
        rate: Largest change of a parameter in the first step.

    Attributes:
        place: Shape (n_walks, n), the last points that were accepted.
        trial: Shape (n_walks, n), the points to look at.
        ended: Per walk, whether no step lowers the loss.
        lost: Per walk, whether loss or gradient are not finite where it began.
    """

    def __init__(self, place: Tensor, rate: float) -> None:
        n_walks = len(place)
        self.place = self.trial = place
        self.ended, self.lost = [False] * n_walks, [False] * n_walks
        self._rate = rate
        self._loss = [math.inf] * n_walks
        self._slope = [0.0] * n_walks
        self._share = [1.0] * n_walks
        self._moved: Tensor | None = None
        # All that follows has a column per parameter that some walk moves.
        self._own = torch.ones_like(place[:, :0], dtype=torch.bool)
        self._differ = False
        self._gradient = self._direction = self._guess = place[:, :0]
        self._pairs: deque[_Pair] = deque(maxlen=_MEMORY)

    def accepts(self, losses: Sequence[float]) -> list[bool]:
        """Return which trials are good enough to go on from; else try nearer by.

        Args:
            losses: Per walk.
        """
        if self._moved is None:
            self._loss = list(losses)
            self.lost = [not math.isfinite(loss) for loss in losses]
            self.ended = list(self.lost)
            return [not lost for lost in self.lost]
        accepted = [
            loss <= before + _ENOUGH * share * slope
            for loss, before, share, slope in zip(
                losses, self._loss, self._share, self._slope, strict=True
            )
        ]
        self.place = _chosen(accepted, self.trial, self.place)
        for row, good in enumerate(accepted):
            if good:
                self._loss[row] = losses[row]
            else:
                self._share[row] *= _NEARER
                self.ended[row] = self._share[row] < _NEAREST
        if not all(accepted):
            self._look()
        return accepted

    def turn(self, gradients: Tensor, turned: Sequence[bool]) -> None:
        """Go on from the points that were accepted last.

        Args:
            gradients: Shape (n_walks, n), there.
            turned: Which rows to take; the others stay as they are.
        """
        first = self._moved is None
        # what is not finite does not vanish from a sum
        finite = torch.isfinite(gradients.sum(1))
        moved = self._begin(gradients, finite) if self._moved is None else self._moved
        slopes = gradients.index_select(1, moved)
        if self._differ:
            slopes = slopes * self._own
        if not first:
            step = self._column(self._share) * self._direction
            self._remember(step, slopes - self._gradient, turned)
        direction = self._descent(slopes)
        self._gradient = _chosen(turned, slopes, self._gradient)
        self._direction = _chosen(turned, direction, self._direction)
        told = torch.stack([torch.linalg.vecdot(direction, slopes), finite.to(slopes)])
        for row, (slope, is_finite) in enumerate(told.T.tolist()):
            if turned[row]:
                self._slope[row], self._share[row] = slope, 1.0
                self.ended[row] = not (is_finite and slope < 0)
                self.lost[row] = first and not is_finite
        self._look()

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of the walks.

        Args:
            rows: Ascending.
        """
        if len(rows) == len(self.place):
            return
        where = torch.tensor(rows, device=self.place.device)
        (
            self.place,
            self.trial,
            self._own,
            self._gradient,
            self._direction,
            self._guess,
        ) = (
            one[where]
            for one in (
                self.place,
                self.trial,
                self._own,
                self._gradient,
                self._direction,
                self._guess,
            )
        )
        pairs = [_Pair(*(one[where] for one in pair)) for pair in self._pairs]
        self._pairs = deque(pairs, maxlen=_MEMORY)
        self.ended, self.lost = _some(self.ended, rows), _some(self.lost, rows)
        self._loss, self._slope = _some(self._loss, rows), _some(self._slope, rows)
        self._share = _some(self._share, rows)

    def _begin(self, gradients: Tensor, finite: Tensor) -> Tensor:
        """Guess the curvature from the gradient; return the columns that walks move."""
        own = (gradients != 0) & finite[:, None]
        self._moved = moved = own.any(0).nonzero().flatten()
        self._own = own.index_select(1, moved)
        self._differ = not bool(self._own.all())
        size = torch.where(self._own, gradients.index_select(1, moved).abs(), 0.0)
        mean = size.sum(1, keepdim=True) / self._own.sum(1, keepdim=True).clamp(min=1)
        guess = self._rate / (size + _SMALL_SLOPE * mean)
        self._guess = torch.where(self._own, guess, 0.0)
        self._gradient = self._direction = torch.zeros_like(self._guess)
        return moved

    def _look(self) -> None:
        """Choose the next trials."""
        if self._moved is not None:
            step = self._column(self._share) * self._direction
            self.trial = self.place.index_add(1, self._moved, step)

    def _remember(self, step: Tensor, change: Tensor, turned: Sequence[bool]) -> None:
        """Keep what a step says of the curvature, where it is positive."""
        product = _dot(step, change)
        least = 1e-8 * step.norm(dim=1) * change.norm(dim=1)
        positive = (product[:, 0] > least).tolist()
        kept = [mine and good for mine, good in zip(turned, positive, strict=True)]
        if not any(kept):
            return
        old, new = list(self._pairs), _Pair(step, change, 1 / product)
        self._pairs.append(new)
        if all(kept):
            return
        # A row that does not keep it has its own newest pair there, one place up; zeros
        # stand for none.
        old = [_Pair(*map(torch.zeros_like, new)), *old][-_MEMORY:]
        mixed = [
            _Pair(*(_chosen(kept, *both) for both in zip(theirs, mine, strict=True)))
            for theirs, mine in zip(self._pairs, old, strict=True)
        ]
        self._pairs = deque(mixed, maxlen=_MEMORY)

    def _descent(self, gradient: Tensor) -> Tensor:
        """Return the steps to take, no longer than the longest."""
        direction = -_two_loops(gradient, self._guess, list(self._pairs))
        n_moved = self._own.sum(1, keepdim=True)
        longest = _LONGEST * self._rate * n_moved.to(direction).sqrt()
        length = direction.norm(dim=1, keepdim=True)
        return torch.where(length > longest, direction * (longest / length), direction)

    def _column(self, values: Sequence[float]) -> Tensor:
        return self.place.new_tensor(values)[:, None]


def _two_loops(gradient: Tensor, guess: Tensor, pairs: Sequence[_Pair]) -> Tensor:
    """Return the inverse curvature times a gradient, row by row.

    Args:
        gradient: Shape (n_walks, n).
        guess: Shape (n_walks, n), the diagonal it begins with, up to a factor.
        pairs: Oldest first.
    """
    found, weights = gradient.clone(), []
    for step, change, inverse in reversed(pairs):
        weight = inverse * _dot(step, found)
        found.addcmul_(change, weight, value=-1)
        weights.append(weight)
    found *= guess
    if pairs:
        _, change, inverse = pairs[-1]
        size = inverse * _dot(change, guess * change)
        found *= torch.where(inverse > 0, 1 / size, 1.0)
    for (step, change, inverse), weight in zip(pairs, reversed(weights), strict=True):
        found.addcmul_(step, weight - inverse * _dot(change, found))
    return found


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """Return the scalar product of each row, shape (n_walks, 1)."""
    found: Tensor = torch.linalg.vecdot(one, other)
    return found[:, None]


def _chosen(rows: Sequence[bool], yes: Tensor, no: Tensor) -> Tensor:
    """Return rows of the one where that is said, else of the other."""
    if all(rows):
        return yes
    if not any(rows):
        return no
    return torch.where(torch.tensor(rows, device=yes.device)[:, None], yes, no)


def _some(values: Sequence[_Value], rows: Sequence[int]) -> list[_Value]:
    return [values[row] for row in rows]
