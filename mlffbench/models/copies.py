"""Copies of models: what a clone may change without touching the model it is of."""

import copy
from collections.abc import Mapping
from typing import Self

from torch import nn


def copied(parameters: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Return parameters of the same values, by name, with memory of their own."""
    return {
        name: nn.Parameter(value.detach().clone(), value.requires_grad)
        for name, value in parameters.items()
    }


class OwnsTrunk:
    """A model that keeps the parameters its features depend on in a table."""

    _trunk: dict[str, nn.Parameter]

    def clone(self) -> Self:
        """Return a copy whose trunk can be changed without touching this one."""
        twin = copy.copy(self)
        twin._trunk = copied(self._trunk)
        return twin

    def trunk_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters that the features depend on, by name."""
        return dict(self._trunk)
