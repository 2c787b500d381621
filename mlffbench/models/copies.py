"""Copies of models: what a clone may change without touching the model it is of."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Self

from torch import Tensor, nn

from mlffbench.core.labels import Labels


def copied(parameters: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Return parameters of the same values, by name, with memory of their own."""
    return {
        name: nn.Parameter(value.detach().clone(), value.requires_grad)
        for name, value in parameters.items()
    }


def without_graph(labels: Labels) -> Labels:
    """Return labels that keep no autograd graph."""
    return replace(labels, energy=labels.energy.detach(), forces=labels.forces.detach())


class OwnsTrunk:
    """A model that keeps the parameters its features depend on in a table."""

    _trunk: dict[str, nn.Parameter]

    def clone(self) -> Self:
        """Return a copy whose trunk can be changed without touching this one."""
        twin = copy.copy(self)
        twin._trunk = copied(self._trunk)
        return twin

    def _frozen(self) -> dict[str, Tensor]:
        """Return the trunk's values, for which no graph is kept."""
        return {name: value.detach() for name, value in self._trunk.items()}

    def trunk_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters that the features depend on, by name."""
        return dict(self._trunk)
