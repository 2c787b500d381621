"""Whether weights fit a network, before any of them is copied."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mlffbench.core.errors import ModelError


def check_weights(
    mine: Mapping[str, Tensor], given: Mapping[str, Tensor], network: str
) -> None:
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
