"""Copies of parameters: what a clone may change without touching its model."""

from collections.abc import Mapping

from torch import nn


def copied(parameters: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Return parameters of the same values, by name, with memory of their own."""
    return {
        name: nn.Parameter(value.detach().clone(), value.requires_grad)
        for name, value in parameters.items()
    }
