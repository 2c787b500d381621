"""What a MACE file says of its network, held against what it holds.

A few bytes may claim a network that fills the memory: it is refused before it is built.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from mlffbench.core.errors import ModelError

_FREE_BYTES = 1 << 16
"""What one number may stand for many times."""
_HIGHEST_L = 11
"""Up to which e3nn knows rotations."""
_LARGEST_COUPLING = 1_000_000
"""Products of spherical harmonics; MACE with l = 4 to fourth order has 390,625."""


def check_tensors(opened: nn.Module) -> None:
    """Check that a file holds every number of every tensor in it.

    Args:
        opened: A network, or a shell that holds its attributes.

    Raises:
        ModelError: A tensor is sparse, without numbers or a few numbers many times.
    """
    for tensor in _tensors_in(opened):
        plain = tensor.layout is torch.strided and not tensor.is_meta
        if not plain or tensor.nbytes > max(
            tensor.untyped_storage().nbytes(), _FREE_BYTES
        ):
            msg = (
                f"a tensor of shape {tuple(tensor.shape)} is not stored number by number"
            )
            raise ModelError(msg)


def check_claims(hyperparameters: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Check that the network to be built is no larger than its tensors.

    Args:
        hyperparameters: As `mace_network.describe` returns them.
        state: Name -> tensor.

    Raises:
        ValueError: It would be larger, or a number is none.
    """
    from e3nn import o3

    told = hyperparameters
    if not isinstance(told["avg_num_neighbors"], int | float):
        msg = f"avg_num_neighbors is {told['avg_num_neighbors']!r}, not a number"
        raise ValueError(msg)
    hidden = o3.Irreps(told["hidden_irreps"])
    others = [o3.Irreps(told[key] or "0e") for key in ("edge_irreps", "MLP_irreps")]
    highest = max(told["max_ell"], *(irreps.lmax for irreps in (hidden, *others)))
    coupling = (told["max_ell"] + 1) ** (2 * min(told["correlation"], _LARGEST_COUPLING))
    radial = [told["num_bessel"], *told["radial_MLP"]]
    layers = {name.split(".")[1] for name in state if name.startswith("interactions.")}
    specs = (told["embedding_specs"] or {}).values()
    smallest = (
        sum(part.mul**2 for part in hidden),
        sum(before * after for before, after in pairwise(radial)),
        told["num_elements"] * max(part.mul for part in hidden),
        *(irreps.num_irreps for irreps in others),
        *(spec.get("num_classes", 1) * spec["emb_dim"] for spec in specs),
    )
    held = sum(tensor.numel() for tensor in state.values())
    fits = max(smallest) <= held and told["num_interactions"] <= len(layers)
    if not fits or highest > _HIGHEST_L or coupling > _LARGEST_COUPLING:
        msg = f"it says that it is larger than the {held:,} numbers that it holds"
        raise ValueError(msg)


def _tensors_in(opened: object) -> Iterator[Tensor]:
    """Yield every tensor among the attributes of an object and of what they hold."""
    seen: set[int] = set()
    todo = [opened]
    while todo:
        one = todo.pop()
        if isinstance(one, Tensor):
            yield one
            continue
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Mapping):
            todo += one.values()
        elif isinstance(one, list | tuple):
            todo += (part for part in one)  # some parts of e3nn have no length
        elif isinstance(one, nn.Module):
            todo += vars(one).values()
