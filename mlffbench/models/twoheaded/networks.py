"""The table of networks that can be given two heads, and how one is built."""

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mlffbench.models.twoheaded.architecture import Architecture
from mlffbench.models.twoheaded.backbone import Backbone

NETWORKS = {
    "mace": "mlffbench.models.twoheaded.mace_backbone:MaceBackbone",
    "schnet": "mlffbench.models.twoheaded.schnet_backbone:SchnetBackbone",
    "gemnet": "mlffbench.models.twoheaded.gemnet_backbone:GemnetBackbone",
}
"""Name of an architecture's network -> its backbone, imported when it is built."""


def make_backbone(architecture: Architecture, *, seed: int) -> Backbone:
    """Return a new network in float64, its weights drawn from the seed.

    The random state of the process is left as it was.

    Raises:
        MissingExtraError: The network's library is not installed.
    """
    with torch.random.fork_rng(devices=[]), _default_dtype(torch.float64):
        torch.manual_seed(seed)
        module, _, name = NETWORKS[architecture.network].partition(":")
        backbone: Backbone = getattr(importlib.import_module(module), name)(architecture)
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
