"""QuasiNewton: few gradients, each worth more, by the curvature that they show.

Limited-memory BFGS (Liu & Nocedal, Math. Program. 45, 503, 1989) whose first guess of the
curvature is a diagonal from the first gradient: no parameter moves by more than the
learning rate in the first step, and all that matter move alike, as in Adam; one whose
slope is 0 there is never moved (other elements' weights). A trial that does not lower the
loss enough (Armijo) is taken back and tried nearer by.
"""

import math
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

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


class QuasiNewton:
    """Where a descent stands and where it looks next.

    Evaluate the loss at `trial`; hand it to `accepts`; where that is true, hand the
    gradient there to `turn`. Repeat until `ended`; the lowest point is `place`.

    Args:
        place: Shape (n,), where it begins.
        rate: Largest change of a parameter in the first step.

    Attributes:
        place: Shape (n,), the last point that was accepted.
        trial: Shape (n,), the point to look at.
        ended: Whether no step lowers the loss.
        lost: Whether loss or gradient are not finite where it began.
    """

    def __init__(self, place: Tensor, rate: float) -> None:
        self.place = self.trial = place
        self.ended = self.lost = False
        self._rate = rate
        self._loss = math.inf
        self._slope = 0.0
        self._share = 1.0
        self._moved: Tensor | None = None
        # All that follows has a row per parameter that is moved.
        self._gradient = self._direction = self._guess = place[:0]
        self._pairs: deque[tuple[Tensor, Tensor]] = deque(maxlen=_MEMORY)

    def accepts(self, loss: float) -> bool:
        """Return whether the trial is good enough to go on from; else try nearer by."""
        if self._moved is None:
            self._loss = loss
            self.ended = self.lost = not math.isfinite(loss)
            return not self.ended
        if loss <= self._loss + _ENOUGH * self._share * self._slope:
            self.place, self._loss = self.trial, loss
            return True
        self._share *= _NEARER
        self.ended = self._share < _NEAREST
        self._look()
        return False

    def turn(self, gradient: Tensor) -> None:
        """Go on from the point that was accepted last.

        Args:
            gradient: Shape (n,), there.
        """
        if not bool(torch.isfinite(gradient).all()):
            self.ended, self.lost = True, self._moved is None
            return
        if self._moved is None:
            self._moved = gradient.nonzero().flatten()
            gradient = gradient[self._moved]
            size = gradient.abs()
            self._guess = self._rate / (size + _SMALL_SLOPE * size.mean())
        else:
            gradient = gradient[self._moved]
            self._remember(self._share * self._direction, gradient - self._gradient)
        self._gradient, self._share = gradient, 1.0
        self._direction = self._descent(gradient)
        self._slope = float(self._direction @ gradient)
        self.ended = not self._slope < 0
        self._look()

    def _look(self) -> None:
        """Choose the next trial."""
        if self._moved is not None:
            step = self._share * self._direction
            self.trial = self.place.index_add(0, self._moved, step)

    def _remember(self, step: Tensor, change: Tensor) -> None:
        """Keep what a step says of the curvature, where it is positive."""
        product = float(step @ change)
        if product > 1e-8 * float(step.norm() * change.norm()):
            self._pairs.append((step, change))

    def _descent(self, gradient: Tensor) -> Tensor:
        """Return the step to take, no longer than the longest."""
        direction = -_two_loops(gradient, self._guess, self._pairs)
        longest = _LONGEST * self._rate * math.sqrt(len(gradient))
        length = float(direction.norm())
        if length > longest:
            direction *= longest / length
        return direction


def _two_loops(
    gradient: Tensor, guess: Tensor, pairs: Sequence[tuple[Tensor, Tensor]]
) -> Tensor:
    """Return the inverse curvature times a gradient.

    Args:
        gradient: Shape (n,).
        guess: Shape (n,), the diagonal it begins with, up to a factor.
        pairs: Steps and changes of the gradient, oldest first.
    """
    found, weights = gradient.clone(), []
    for step, change in reversed(pairs):
        weight = (step @ found) / (step @ change)
        found -= weight * change
        weights.append(weight)
    found *= guess
    if pairs:
        step, change = pairs[-1]
        found *= (step @ change) / (change @ (guess * change))
    for (step, change), weight in zip(pairs, reversed(weights), strict=True):
        found += step * (weight - (change @ found) / (step @ change))
    return found
