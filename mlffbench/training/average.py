"""The exponential moving average of weights: what is validated and what is kept."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """A smoothed copy of some parameters.

    After step t: a ← a + (1 − d) (w − a), with d = min(decay, (1 + t) / (10 + t)), so
    that the first steps are forgotten quickly.

    Args:
        parameters: The parameters followed, by name.
        decay: Share of the old average that a step keeps; 0 follows the weights.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self._parameters = dict(parameters)
        self._decay = decay
        self.values = {name: p.detach().clone() for name, p in parameters.items()}
        """Averages by name."""

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights after step number ``step`` (from 1) into the average."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, parameter in self._parameters.items():
            self.values[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages into the model for a while, then the weights back."""
        before = {name: p.detach().clone() for name, p in self._parameters.items()}
        put(self._parameters, self.values)
        try:
            yield
        finally:
            put(self._parameters, before)


@torch.no_grad()
def put(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    """Copy values into parameters of the same names."""
    for name, parameter in parameters.items():
        parameter.copy_(values[name])
