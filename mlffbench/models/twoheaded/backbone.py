"""What a network must offer to be given two heads, and how one is built."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mlffbench.models.twoheaded.architecture import Architecture


class Atomwise(NamedTuple):
    """What a network says of each atom.

    Attributes:
        energy: Shape (n_atoms,), before the scale of a head.
        features: Per block the invariant features, shape (n_atoms, n_features).
    """

    energy: Tensor
    features: tuple[Tensor, ...]


class Backbone(nn.Module, ABC):
    """A network with one head.

    Its own parameters are only initial values: `TwoHeaded` hands others over in every
    call, so one backbone serves both heads and every clone.
    """

    @abstractmethod
    def forward(
        self, element_index: Tensor, edges: Tensor, vectors: Tensor, radius: float
    ) -> Atomwise:
        """Return energies and features of atoms.

        Args:
            element_index: Shape (n_atoms,), int64: position in the table of elements.
            edges: Shape (2, n_edges), int64: centre and neighbour; may be empty.
            vectors: Shape (n_edges, 3), in Å: from centre to neighbour, shorter than
                `radius` and than the trained cutoff.
            radius: Where the radial envelope vanishes, in Å.
        """

    @abstractmethod
    def element_slices(self, parameters: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """Yield views of the parameters that have one slice per element.

        Args:
            parameters: Name -> values, shaped as the backbone's own.

        Yields:
            Views of shape (n_elements, ...).
        """


def make_backbone(architecture: Architecture, *, seed: int) -> Backbone:
    """Return a new network in float64, its weights drawn from the seed.

    The random state of the process is left as it was.

    Raises:
        MissingExtraError: The network's library is not installed.
    """
    with torch.random.fork_rng(devices=[]), _default_dtype(torch.float64):
        torch.manual_seed(seed)
        if architecture.network == "mace":
            from mlffbench.models.twoheaded.mace import MaceBackbone

            backbone: Backbone = MaceBackbone(architecture)
        else:
            from mlffbench.models.twoheaded.schnet import SchnetBackbone

            backbone = SchnetBackbone(architecture)
    _align_elements(backbone, architecture.element_noise)
    return backbone.requires_grad_(False)


@torch.no_grad()
def _align_elements(backbone: Backbone, noise: float) -> None:
    """Make the elements alike but for noise, keeping the variance of their weights."""
    for slices in backbone.element_slices(dict(backbone.named_parameters())):
        common = slices.mean(0, keepdim=True) * math.sqrt(len(slices))
        slices.copy_(math.sqrt(1 - noise**2) * common + noise * slices)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
