"""Layers of GemNet: bases, triplets and the blocks made of them.

Gasteiger, Becker & Günnemann, arXiv 2106.08903 (2021); the form with triplets only, and
the bilinear layer summed over the triplets of an edge before its weights are applied.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

HALF = 1 / math.sqrt(2)
"""Keeps the variance of a sum of two features."""


FEW = 1 / math.sqrt(10)
"""Keeps the variance of a sum over neighbours, in place of a fitted factor."""


class Triplets(NamedTuple):
    """Pairs of edges with one centre a: c→a, whose message is made, and b→a.

    The edges of an atom have seats, as many per atom as the busiest one needs, so that
    all angles at an atom are one small dense matrix.

    Attributes:
        seat: Shape (n_edges,), int64: of each edge, among n_atoms × n_seats.
        legendre: Shape (n_atoms, n_seats × n_spherical, n_seats): P_l of the cosine
            between c→a and b→a; 0 for an empty seat and for an edge with itself.
    """

    seat: Tensor
    legendre: Tensor


def triplets_of(
    centre: Tensor, vectors: Tensor, n_spherical: int, n_atoms: int
) -> Triplets:
    """Return all pairs of different edges with one centre.

    Args:
        centre: Shape (n_edges,), int64.
        vectors: Shape (n_edges, 3), from centre to neighbour.
        n_spherical: Legendre polynomials, from degree 0.
        n_atoms: Atoms that may be a centre.
    """
    n_edges = len(centre)
    degree = torch.bincount(centre, minlength=n_atoms)
    n_seats = int(degree.max()) if n_edges else 1
    order = torch.argsort(centre, stable=True)
    start = torch.cumsum(degree, 0) - degree
    rank = torch.empty_like(order)
    rank[order] = torch.arange(n_edges, device=centre.device) - start[centre[order]]
    seat = centre * n_seats + rank
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    seated = seat_all(unit, seat, n_atoms, n_seats)
    taken = rank.new_zeros(n_atoms * n_seats, dtype=torch.bool)
    taken[seat] = True
    taken = taken.view(n_atoms, n_seats)
    itself = torch.eye(n_seats, dtype=torch.bool, device=centre.device)
    there = taken[:, :, None] & taken[:, None, :] & ~itself
    cosine = torch.bmm(seated, seated.transpose(1, 2))
    found = legendre(cosine.flatten(), n_spherical).view(*cosine.shape, n_spherical)
    found = (found * there[..., None]).permute(0, 1, 3, 2)
    return Triplets(seat, found.reshape(n_atoms, n_seats * n_spherical, n_seats))


def seat_all(values: Tensor, seat: Tensor, n_atoms: int, n_seats: int) -> Tensor:
    """Return values of edges at their seats, shape (n_atoms, n_seats, ...)."""
    seated = values.new_zeros((n_atoms * n_seats, values.shape[1]))
    seated = seated.index_add(0, seat, values)
    return seated.view(n_atoms, n_seats, values.shape[1])


def legendre(cosine: Tensor, n: int) -> Tensor:
    """Return the Legendre polynomials P_0 … P_(n−1), shape (len(cosine), n)."""
    found = [torch.ones_like(cosine), cosine]
    for degree in range(2, n):
        last, before = found[-1], found[-2]
        found.append(((2 * degree - 1) * cosine * last - (degree - 1) * before) / degree)
    return torch.stack(found[:n], dim=1)


def envelope(share: Tensor, power: int) -> Tensor:
    """Return u(d/r): 1 at 0, and 0 with two derivatives at 1 (their equation for u)."""
    first, second = (power + 1) * (power + 2) / 2, power * (power + 2)
    third = power * (power + 1) / 2
    lead = share**power
    inner = 1 - first * lead + second * lead * share - third * lead * share**2
    return torch.where(share < 1, inner, 0.0)


class Dense(nn.Module):
    """A linear layer without bias, then SiLU scaled to keep the variance, or nothing."""

    def __init__(self, n_in: int, n_out: int, *, active: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out, bias=False)
        self.active = active
        nn.init.orthogonal_(self.linear.weight)
        with torch.no_grad():
            spread = self.linear.weight.std() if n_in * n_out > 1 else 1.0
            self.linear.weight.mul_(1 / (spread * math.sqrt(n_in)))

    def forward(self, features: Tensor) -> Tensor:
        """Return shape (..., n_out)."""
        found: Tensor = self.linear(features)
        return nn.functional.silu(found) / 0.6 if self.active else found


class Residual(nn.Module):
    """Two dense layers beside a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Dense(width, width, active=True), Dense(width, width, active=True)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        found: Tensor = (features + self.layers(features)) * HALF
        return found


class EdgeEmbedding(nn.Module):
    """Features of an edge from its two atoms and something known of it."""

    def __init__(self, atom: int, known: int, edge: int) -> None:
        super().__init__()
        self.dense = Dense(2 * atom + known, edge, active=True)

    def forward(self, atoms: Tensor, known: Tensor, edges: Tensor) -> Tensor:
        """Return shape (n_edges, edge)."""
        centre, neighbour = edges
        found: Tensor = self.dense(
            torch.cat([atoms[neighbour], atoms[centre], known], dim=1)
        )
        return found


class AtomUpdate(nn.Module):
    """Features of atoms from the messages that reach them; they vanish at the cutoff."""

    def __init__(self, atom: int, edge: int, radial: int, depth: int) -> None:
        super().__init__()
        self.radial = Dense(radial, edge)
        self.first = Dense(edge, atom, active=True)
        self.layers = nn.Sequential(*(Residual(atom) for _ in range(depth)))

    def forward(
        self, message: Tensor, radial: Tensor, centre: Tensor, n_atoms: int
    ) -> Tensor:
        """Return shape (n_atoms, atom)."""
        each = message * self.radial(radial)
        total = each.new_zeros((n_atoms, each.shape[1])).index_add(0, centre, each)
        found: Tensor = self.layers(self.first(FEW * total))
        return found


class EdgeForces(nn.Module):
    """Direct forces: each edge c→a pulls atom a along itself, by a learned amount.

    The two directions of a pair pull by amounts of their own, as in GemNet-dT: the
    forces on a molecule need not add up to nothing.
    """

    def __init__(self, edge: int, radial: int, depth: int) -> None:
        super().__init__()
        self.radial = Dense(radial, edge)
        self.layers = nn.Sequential(
            Dense(edge, edge, active=True), *(Residual(edge) for _ in range(depth))
        )
        self.last = nn.Linear(edge, 1, bias=False)
        nn.init.normal_(self.last.weight, std=1 / edge)

    def forward(
        self, message: Tensor, radial: Tensor, centre: Tensor, unit: Tensor, n_atoms: int
    ) -> Tensor:
        """Return shape (n_atoms, 3); turns with the unit vectors of the edges."""
        amount: Tensor = self.last(self.layers(message) * self.radial(radial))
        pull = amount * unit
        return pull.new_zeros((n_atoms, 3)).index_add(0, centre, pull)


class TripletInteraction(nn.Module):
    """What the edges that end at the same atom tell an edge, by the angle between."""

    def __init__(
        self, edge: int, triplet: int, radial: int, circular: int, n_spherical: int
    ) -> None:
        super().__init__()
        self.shape = circular, n_spherical
        self.own = Dense(edge, edge, active=True)
        self.radial = Dense(radial, edge)
        self.down = Dense(edge, triplet, active=True)
        self.circular = Dense(radial, circular * n_spherical)
        self.bilinear = Dense(circular * triplet, triplet)
        self.up = Dense(triplet, edge, active=True)
        self.up_swapped = Dense(triplet, edge, active=True)

    def forward(
        self, message: Tensor, radial: Tensor, triplets: Triplets, swap: Tensor
    ) -> Tensor:
        """Return shape (n_edges, edge)."""
        sent = self.down(self.own(message) * self.radial(radial))
        n_atoms, _, n_seats = triplets.legendre.shape
        summed = torch.bmm(
            triplets.legendre, seat_all(sent, triplets.seat, n_atoms, n_seats)
        )
        summed = summed.view(n_atoms * n_seats, self.shape[1], -1)[triplets.seat]
        weights = self.circular(radial).view(-1, *self.shape)
        mixed = self.bilinear(FEW * torch.bmm(weights, summed).flatten(1))
        found: Tensor = (self.up(mixed) + self.up_swapped(mixed)[swap]) * HALF
        return found
