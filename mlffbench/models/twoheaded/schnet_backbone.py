"""SchNet from PyTorch Geometric's blocks, on our graph."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mlffbench.models.twoheaded.architecture import Architecture, SchnetShape
from mlffbench.models.twoheaded.backbone import Atomwise, Backbone, Known

with warnings.catch_warnings():
    # It compiles TorchScript when imported, which torch deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn.models.schnet import InteractionBlock, ShiftedSoftplus

LEAST_EXPONENT = -40.0
"""A Gaussian below exp(−40) is 0: denormal numbers make a CPU several times slower."""


class SchnetBackbone(Backbone):
    """SchNet with one head; blocks and initialisation are PyTorch Geometric's.

    Args:
        architecture: Of a ``schnet``.
    """

    stackable = True
    offsets: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        shape = architecture.shape
        if not isinstance(shape, SchnetShape):
            raise TypeError("a SchnetBackbone needs the architecture of a schnet")
        self.cutoff = architecture.cutoff
        self.embedding = nn.Embedding(len(architecture.elements), shape.hidden)
        self.interactions = nn.ModuleList(
            InteractionBlock(shape.hidden, shape.gaussians, shape.filters, self.cutoff)
            for _ in range(shape.blocks)
        )
        self.readout = nn.Sequential(
            nn.Linear(shape.hidden, shape.hidden // 2),
            ShiftedSoftplus(),
            nn.Linear(shape.hidden // 2, 1),
        )
        for layer in self.readout:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        offsets = torch.linspace(0.0, self.cutoff, shape.gaussians)
        self.register_buffer("offsets", offsets)

    def forward(
        self,
        element_index: Tensor,
        edges: Tensor,
        vectors: Tensor,
        radius: float,
        known: Sequence[Known] = (),
    ) -> Atomwise:
        """Return energies and features of atoms; see `Backbone.forward`."""
        lengths = vectors.norm(dim=1, keepdim=True)
        if known:
            basis, envelope, *filters = (one.at(lengths) for one in known)
        else:
            basis, envelope = self._gaussians(lengths), _envelope(lengths, radius)
            filters = []
        blocks: Any = self.interactions
        left = blocks[: len(blocks) - len(filters)]
        filters = [*(block.mlp(basis) * envelope for block in left), *filters]
        centre, neighbour = edges
        atoms = self.embedding(element_index)
        features = []
        for block, each in zip(blocks, filters, strict=True):
            messages = block.conv.lin1(atoms)[neighbour] * each
            total = messages.new_zeros((len(atoms), messages.shape[1]))
            total = block.conv.lin2(total.index_add(0, centre, messages))
            atoms = atoms + block.lin(block.act(total))
            features.append(atoms)
        return Atomwise(self.readout(atoms).squeeze(1), tuple(features))

    def known_of(self, vectors: Tensor, radius: float, first: int) -> tuple[Known, ...]:
        """Return the radial basis, the envelope, and the filters from a block on."""
        with torch.enable_grad():
            lengths = vectors.norm(dim=1, keepdim=True).detach().requires_grad_()
            basis, envelope = self._gaussians(lengths), _envelope(lengths, radius)
            blocks: Any = self.interactions[first:]
            filters = [block.mlp(basis) * envelope for block in blocks]
            return tuple(_known(one, lengths) for one in (basis, envelope, *filters))

    def element_slices(self, parameters: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """Yield the embedding, shape (n_elements, hidden)."""
        yield parameters["embedding.weight"]

    def _gaussians(self, lengths: Tensor) -> Tensor:
        """Return the radial basis, shape (n_edges, gaussians)."""
        spacing = self.cutoff / (len(self.offsets) - 1)
        exponents = -0.5 * ((lengths - self.offsets) / spacing).square()
        near = exponents > LEAST_EXPONENT
        return torch.where(near, exponents.clamp(min=LEAST_EXPONENT).exp(), 0.0)


def _envelope(lengths: Tensor, radius: float) -> Tensor:
    """Return the cosine cutoff; edges are shorter than the radius, so without a mask."""
    return 0.5 * (torch.cos(lengths * (math.pi / radius)) + 1.0)


def _known(values: Tensor, lengths: Tensor) -> Known:
    """Return values and their slopes; no value depends on two lengths.

    Backwards there is one pass per column. What a pass makes of weights is linear in
    them, and what it is the slope of, by the weights, are the slopes of all columns.
    """
    weights = torch.zeros_like(values, requires_grad=True)
    [pulled] = torch.autograd.grad(values, [lengths], weights, create_graph=True)
    [slopes] = torch.autograd.grad(pulled.sum(), [weights])
    return Known(values.detach(), slopes)
