"""TensorNet (Simeon & De Fabritiis, arXiv:2306.06482), with the parameters of matgl.

An atom carries 3 × 3 matrices, split into a multiple of 1, a skew and a symmetric
traceless part; every part is mixed by its own weights. Names of parameters are those of
matgl, so that its files load as they are.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Parts(NamedTuple):
    """A matrix per atom or edge and channel, shape (n, units, 3, 3) each, in three parts.

    Attributes:
        one: Multiple of the unit matrix.
        skew: Antisymmetric.
        traceless: Symmetric with trace 0.
    """

    one: Tensor
    skew: Tensor
    traceless: Tensor

    @property
    def whole(self) -> Tensor:
        """Sum of the parts."""
        return self.one + self.skew + self.traceless

    def scaled(self, factors: Tensor) -> "Parts":
        """Return the parts times factors of shape (n, units, 3), one per part."""
        first, second, third = factors[..., None, None].unbind(2)
        return Parts(self.one * first, self.skew * second, self.traceless * third)

    def mixed(self, linears: nn.ModuleList, start: int) -> "Parts":
        """Return the parts after three linear maps of the channels."""
        return Parts(
            *(
                torch.einsum("vu,nuij->nvij", linears[start + place].weight, part)
                for place, part in enumerate(self)
            )
        )


class Edges(NamedTuple):
    """What the layers know of the edges.

    Attributes:
        centre: Shape (n_edges,), the atom that receives.
        sender: Shape (n_edges,), the atom whose matrices it receives.
        basis: Shape (n_edges, n_radial).
        envelope: Shape (n_edges, 1).
    """

    centre: Tensor
    sender: Tensor
    basis: Tensor
    envelope: Tensor


def split(matrices: Tensor) -> Parts:
    """Return the parts of matrices, shape (n, units, 3, 3)."""
    transposed = matrices.transpose(-2, -1)
    eye = torch.eye(3, dtype=matrices.dtype, device=matrices.device)
    trace = matrices.diagonal(dim1=-2, dim2=-1).sum(-1)
    one = trace[..., None, None] / 3 * eye
    return Parts(one, (matrices - transposed) / 2, (matrices + transposed) / 2 - one)


def squares(matrices: Tensor) -> Tensor:
    """Return the sum of the squares of the nine elements, shape (n, units)."""
    return matrices.square().sum((-2, -1))


def smooth_bessel(lengths: Tensor, cutoff: float, n_functions: int) -> Tensor:
    """Return the radial basis, shape (n_edges, n_functions).

    Orthogonal combinations of sin(kx)/x that vanish at the cutoff with their first two
    derivatives (Kocer, Mason & Erturk, AIP Adv. 10, 015021 (2020)).

    Args:
        lengths: Shape (n_edges,), in Å; a length of 0 is taken as the limit.
        cutoff: In Å.
        n_functions: How many.
    """
    found: list[Tensor] = []
    previous = 1.0
    for k in range(n_functions):
        waves = sum(torch.sinc(lengths * (k + step) / cutoff) for step in (1, 2))
        factor = (-1) ** k * math.sqrt(2) * math.pi / cutoff**1.5 * (k + 1) * (k + 2)
        function: Tensor = waves * (factor / math.hypot(k + 1, k + 2))
        overlap = k**2 * (k + 2) ** 2 / (4 * (k + 1) ** 4 + 1)
        norm = 1.0
        if found:
            norm = 1 - overlap / previous
            function = function + math.sqrt(overlap / previous) * found[-1]
            function = function / math.sqrt(norm)
        found.append(function)
        previous = norm
    return torch.stack(found, dim=1)


class TensorNet(nn.Module):
    """The network of a matgl file of kind TensorNet.

    Args:
        n_elements: Size of the table of elements.
        units: Channels.
        n_blocks: Interactions.
        n_radial: Functions of the smooth spherical Bessel basis.
        cutoff: Where the basis vanishes, in Å.
        group: ``"O(3)"`` or ``"SO(3)"``.
        of_dgl: Whether it was trained by matgl 1 to 2 on DGL: there an atom multiplies
            what its neighbours' distances make of its own matrices, not of theirs, and
            the pair in the embedding is in the other order.
    """

    def __init__(
        self,
        *,
        n_elements: int,
        units: int,
        n_blocks: int,
        n_radial: int,
        cutoff: float,
        group: str,
        of_dgl: bool,
    ) -> None:
        super().__init__()
        self.cutoff, self.n_radial, self.of_dgl = cutoff, n_radial, of_dgl
        self.tensor_embedding = _Embedding(n_elements, units, n_radial)
        self.layers = nn.ModuleList(
            _Interaction(units, n_radial, group) for _ in range(n_blocks)
        )
        self.out_norm = nn.LayerNorm(3 * units)
        self.linear = nn.Linear(3 * units, units)
        self.final_layer = nn.ModuleDict({"gated": _Gated(units)})

    def forward(
        self, elements: Tensor, edges: Tensor, vectors: Tensor, radius: Tensor
    ) -> Tensor:
        """Return invariant features of atoms, shape (n_atoms, units).

        Args:
            elements: Shape (n_atoms,), index into the table of elements.
            edges: Shape (2, n_edges): centre and neighbour.
            vectors: Shape (n_edges, 3), from centre to neighbour, in Å.
            radius: Where the cosine envelope vanishes, in Å; edges are shorter.
        """
        lengths = vectors.norm(dim=1)
        envelope = 0.5 * (torch.cos(lengths * (math.pi / radius)) + 1.0)
        ways = vectors / lengths.clamp(min=1e-6)[:, None]
        centre, neighbour = edges
        known = Edges(
            centre,
            centre if self.of_dgl else neighbour,
            smooth_bessel(lengths, self.cutoff, self.n_radial),
            envelope[:, None],
        )
        pairs = edges.flip(0) if self.of_dgl else edges
        matrices = self.tensor_embedding(elements, pairs, ways, known)
        for layer in self.layers:
            matrices = layer(matrices, known)
        norms = torch.cat([squares(part) for part in split(matrices)], dim=1)
        features: Tensor = self.linear(self.out_norm(norms))
        return features

    def energies(self, features: Tensor) -> Tensor:
        """Return the network's output for atoms, shape (n_atoms,)."""
        outputs: Tensor = self.final_layer["gated"](features)[:, 0]
        return outputs


class _Embedding(nn.Module):
    """Turns elements and directions of neighbours into matrices."""

    def __init__(self, n_elements: int, units: int, n_radial: int) -> None:
        super().__init__()
        self.units = units
        for name in ("distance_proj1", "distance_proj2", "distance_proj3"):
            self.add_module(name, nn.Linear(n_radial, units))
        self.emb = nn.Embedding(n_elements, units)
        self.emb2 = nn.Linear(2 * units, units)
        self.linears_tensor = _maps(units, 3)
        self.linears_scalar = nn.ModuleList(
            [nn.Linear(units, 2 * units), nn.Linear(2 * units, 3 * units)]
        )
        self.init_norm = nn.LayerNorm(units)

    def forward(
        self, elements: Tensor, pairs: Tensor, ways: Tensor, edges: Edges
    ) -> Tensor:
        parts: Any = self
        atoms = self.emb(elements)
        products = self.emb2(torch.cat([atoms[pairs[0]], atoms[pairs[1]]], dim=1))
        strengths = torch.stack(
            [
                project(edges.basis)
                for project in (
                    parts.distance_proj1,
                    parts.distance_proj2,
                    parts.distance_proj3,
                )
            ],
            dim=2,
        )
        strengths = strengths * (products * edges.envelope)[:, :, None]
        x, y, z = ways.unbind(1)
        zero = torch.zeros_like(x)
        skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
        eye = torch.eye(3, dtype=ways.dtype, device=ways.device)
        square = ways[:, :, None] * ways[:, None, :]
        trace = square.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
        directions = Parts(
            eye.expand_as(square)[:, None], skew[:, None], (square - trace * eye)[:, None]
        )
        found = _summed(directions.scaled(strengths), edges.centre, len(elements))
        norm = self.init_norm(squares(found.whole))
        for linear in self.linears_scalar:
            norm = nn.functional.silu(linear(norm))
        factors = norm.reshape(len(norm), self.units, 3)
        return found.mixed(self.linears_tensor, 0).scaled(factors).whole


class _Interaction(nn.Module):
    """Messages from neighbours, multiplied into an atom's own matrices."""

    def __init__(self, units: int, n_radial: int, group: str) -> None:
        super().__init__()
        self.units, self.group = units, group
        self.linears_scalar = nn.ModuleList(
            [
                nn.Linear(n_radial, units),
                nn.Linear(units, 2 * units),
                nn.Linear(2 * units, 3 * units),
            ]
        )
        self.linears_tensor = _maps(units, 6)

    def forward(self, matrices: Tensor, edges: Edges) -> Tensor:
        strengths = edges.basis
        for linear in self.linears_scalar:
            strengths = nn.functional.silu(linear(strengths))
        strengths = (strengths * edges.envelope).reshape(-1, self.units, 3)
        matrices = matrices / (squares(matrices) + 1)[..., None, None]
        own = split(matrices).mixed(self.linears_tensor, 0)
        sent = Parts(*(part[edges.sender] for part in own)).scaled(strengths)
        message, mine = _summed(sent, edges.centre, len(matrices)).whole, own.whole
        product = mine @ message
        product = message @ mine + product if self.group == "O(3)" else 2 * product
        scale = (squares(product) + 1)[..., None, None]
        change = Parts(*(part / scale for part in split(product)))
        step = change.mixed(self.linears_tensor, 3).whole
        return matrices + step + step @ step


class _Gated(nn.Module):
    """Two networks; the output of one opens that of the other."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.layers = _perceptron(units, nn.Identity())
        self.gates = _perceptron(units, nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        outputs: Tensor = self.layers(features) * self.gates(features)
        return outputs


def _perceptron(units: int, last: nn.Module) -> nn.Sequential:
    hidden = [layer for _ in range(3) for layer in (nn.Linear(units, units), nn.SiLU())]
    return nn.Sequential(*hidden, nn.Linear(units, 1), last)


def _maps(units: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(units, units, bias=False) for _ in range(count))


def _summed(parts: Parts, centre: Tensor, n_atoms: int) -> Parts:
    """Return the sums over the edges of each atom."""
    return Parts(
        *(
            part.new_zeros(n_atoms, *part.shape[1:]).index_add(0, centre, part)
            for part in parts
        )
    )
