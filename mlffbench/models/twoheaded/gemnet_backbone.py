"""GemNet-T and GemNet-dT of Gasteiger et al. (2021) on our graph.

Written from the publication. Forces are the slope of the energy (T), or an output of
their own (dT), which conserves no energy. What differs: fixed scale factors in place of
fitted ones, and all neighbours within the cutoff count unless the shape has a cap.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from mlffbench.core.graph import reversed_edges
from mlffbench.models.twoheaded.architecture import Architecture, GemnetShape
from mlffbench.models.twoheaded.backbone import Atomwise, Backbone, Known
from mlffbench.models.twoheaded.gemnet_layers import (
    HALF,
    AtomUpdate,
    Dense,
    EdgeEmbedding,
    EdgeForces,
    Residual,
    TripletInteraction,
    envelope,
    triplets_of,
)

_START = 1.0
"""Spread of the last weights times their number: untrained energies are small."""


class _Interaction(nn.Module):
    """One block: triplets to edges, edges to atoms, atoms back to edges."""

    def __init__(self, shape: GemnetShape) -> None:
        super().__init__()
        edge, radial = shape.edge, shape.projected
        self.skip = Dense(edge, edge, active=True)
        self.triplets = TripletInteraction(
            edge, shape.triplet, radial, shape.projected, shape.spherical
        )
        self.before, self.after = Residual(edge), Residual(edge)
        self.atoms = AtomUpdate(shape.atom, edge, radial, shape.atom_layers)
        self.concatenate = EdgeEmbedding(shape.atom, edge, edge)
        self.last = Residual(edge)


class GemnetBackbone(Backbone):
    """GemNet-T with one head.

    Args:
        architecture: Of a ``gemnet``.
    """

    stackable = True
    offsets: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        shape = architecture.shape
        if not isinstance(shape, GemnetShape):
            raise TypeError("a GemnetBackbone needs the architecture of a gemnet")
        self.shape, self.cutoff = shape, architecture.cutoff
        self.embedding = nn.Embedding(len(architecture.elements), shape.atom)
        self.edge_embedding = EdgeEmbedding(shape.atom, shape.radial, shape.edge)
        self.projections = nn.ModuleDict(
            {
                name: Dense(shape.radial, shape.projected)
                for name in ("triplet", "atom", "out")
            }
        )
        self.interactions = nn.ModuleList(
            _Interaction(shape) for _ in range(shape.blocks)
        )
        self.outputs = nn.ModuleList(
            AtomUpdate(shape.atom, shape.edge, shape.projected, shape.atom_layers)
            for _ in range(shape.blocks + 1)
        )
        self.energies = nn.ModuleList(
            nn.Linear(shape.atom, 1, bias=False) for _ in range(shape.blocks + 1)
        )
        for layer in self.energies:
            nn.init.normal_(layer.weight, std=_START / shape.atom)  # type: ignore[arg-type]
        self.forces = nn.ModuleList(
            EdgeForces(shape.edge, shape.projected, shape.atom_layers)
            for _ in range(shape.blocks + 1 if shape.direct_forces else 0)
        )
        offsets = torch.linspace(0.0, 1.0, shape.radial)
        self.register_buffer("offsets", offsets)

    def forward(
        self,
        element_index: Tensor,
        edges: Tensor,
        vectors: Tensor,
        radius: float,
        known: Sequence[Known] = (),  # noqa: ARG002 - it knows nothing
    ) -> Atomwise:
        """Return energies and features of atoms; see `Backbone.forward`."""
        swap = reversed_edges(edges, len(element_index))
        centre, n_atoms = edges[0], len(element_index)
        lengths = vectors.norm(dim=1, keepdim=True)
        radial = self._radial(lengths, radius)
        projected = {name: layer(radial) for name, layer in self.projections.items()}
        triplets = triplets_of(centre, vectors, self.shape.spherical, n_atoms)
        atoms = self.embedding(element_index)
        messages = [self.edge_embedding(atoms, radial, edges)]
        features = []
        for module in self.interactions:
            block: _Interaction = module  # type: ignore[assignment]  # a ModuleList
            message = messages[-1]
            told = block.triplets(message, projected["triplet"], triplets, swap)
            inner = block.before((block.skip(message) + told) * HALF)
            message = block.after((message + inner) * HALF)
            update = block.atoms(message, projected["atom"], centre, n_atoms)
            atoms = (atoms + update) * HALF
            joined = block.last(block.concatenate(atoms, message, edges))
            messages.append((message + joined) * HALF)
            features.append(atoms)
        energy = self._energy(messages, projected["out"], centre, n_atoms)
        unit = vectors / lengths
        pulls = [
            layer(message, projected["out"], centre, unit, n_atoms)
            for layer, message in zip(self.forces, messages, strict=False)
        ]
        forces = torch.stack(pulls).sum(0) if pulls else None
        return Atomwise(energy, tuple(features), forces)

    def element_slices(self, parameters: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """Yield the embedding, shape (n_elements, atom)."""
        yield parameters["embedding.weight"]

    def _radial(self, lengths: Tensor, radius: float) -> Tensor:
        """Return Gaussians of the length times the envelope, shape (n_edges, radial)."""
        spacing = 1 / max(1, len(self.offsets) - 1)
        away = (lengths / self.cutoff - self.offsets) / spacing
        basis = torch.exp(-0.5 * away.square())
        return basis * envelope(lengths / radius, self.shape.envelope_power)

    def _energy(
        self, messages: list[Tensor], radial: Tensor, centre: Tensor, n_atoms: int
    ) -> Tensor:
        """Return the sum of all outputs, shape (n_atoms,)."""
        total = radial.new_zeros(n_atoms)
        layers = zip(self.outputs, self.energies, messages, strict=True)
        for output, energy, message in layers:
            found: Tensor = energy(output(message, radial, centre, n_atoms))
            total = total + found.squeeze(1)
        return total
