"""Parameters of a model with two heads: what is shared, and what each head owns."""

import copy
from collections.abc import Mapping
from typing import Literal, Self

import torch
from torch import Tensor, nn

from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import Head
from mlffbench.models.copies import copied
from mlffbench.models.twoheaded.architecture import Architecture

Owner = Literal["shared", "prior", "ref"]
OWNERS: tuple[Owner, ...] = ("shared", "prior", "ref")


class OwnsParameters:
    """A model that keeps parameters in a table, by owner and by name."""

    architecture: Architecture
    _parameters: dict[Owner, dict[str, nn.Parameter]]
    _given: Mapping[str, Tensor]

    def clone(self) -> Self:
        """Return a copy whose parameters can be changed without touching this one."""
        twin = copy.copy(self)
        twin._parameters = {
            owner: copied(parameters) for owner, parameters in self._parameters.items()
        }
        return twin

    def with_values(self, values: Mapping[str, Tensor]) -> Self:
        """Return the model computing with other values for some parameters, by name."""
        twin = copy.copy(self)
        twin._given = values
        return twin

    def representation_parameters(self) -> list[nn.Parameter]:
        """Return the shared parameters, those that test-time training may move."""
        return list(self._parameters["shared"].values())

    def parameters_of(self, owner: Owner) -> dict[str, nn.Parameter]:
        """Return the parameters that are shared or belong to one head, by name."""
        return dict(self._parameters[owner])

    def state(self) -> dict[str, Tensor]:
        """Return every parameter, detached, under ``owner.name``; memory is shared."""
        return {
            f"{owner}.{name}": parameter.detach()
            for owner in OWNERS
            for name, parameter in self._parameters[owner].items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Copy values into every parameter.

        Args:
            state: As `state` returns it.

        Raises:
            ModelError: Names or shapes are not those of this model, or a value is not
                finite; nothing is changed then.
        """
        mine = self.state()
        _check(mine, state, self.architecture.network)
        with torch.no_grad():
            for name, values in mine.items():
                values.copy_(state[name])

    @torch.no_grad()
    def copy_head(self, source: Head, target: Head) -> None:
        """Give one head the weights of the other, e.g. to start fine-tuning from it."""
        for name, parameter in self._parameters[target].items():
            parameter.copy_(self._parameters[source][name])


def _check(mine: Mapping[str, Tensor], given: Mapping[str, Tensor], network: str) -> None:
    """Raise ModelError when names or shapes differ, or a value is not finite.

    Args:
        mine: The weights of the network.
        given: What is to take their place.
        network: What messages call it.
    """
    for name in sorted(mine.keys() | given.keys()):
        if name not in mine or name not in given:
            where = "unknown to" if name in given else "missing for"
            msg = f"weights {name!r} are {where} this {network}"
            raise ModelError(msg)
        found, expected = tuple(given[name].shape), tuple(mine[name].shape)
        if found != expected:
            msg = f"weights {name!r} have shape {found}, expected {expected}"
            raise ModelError(msg)
        if not bool(torch.isfinite(given[name]).all()):
            msg = f"weights {name!r} are not finite"
            raise ModelError(msg)
