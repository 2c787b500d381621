"""A cap on the neighbours of an atom, as GemNet-dT is trained with.

An edge stays where each of its two atoms has the other among its nearest. A shell of
equal distances that would pass the cap is left out whole, so that neither the order of
the atoms nor a rotation decides. Energies are not smooth where an atom enters or leaves
the nearest.
"""

import torch
from torch import Tensor

from mlffbench.core.graph import Graph, reversed_edges

TIE = 1e-3
"""Distances in Å that count as equal."""


def capped(graph: Graph, lengths: Tensor, most: int) -> Tensor:
    """Return the places of the edges that stay, ascending.

    Args:
        graph: Its edges are ordered by centre.
        lengths: Shape (n_edges,), in Å.
        most: Neighbours of an atom at most.

    Returns:
        Shape (n_kept,), int64.
    """
    centre = graph.edges[0]
    if not len(centre):
        return centre
    degree = torch.bincount(centre)
    start = torch.cumsum(degree, 0) - degree
    by_length = torch.argsort(lengths, stable=True)
    order = by_length[torch.argsort(centre[by_length], stable=True)]
    beyond = start + most  # the first edge of each atom that is one too many
    crowded = degree > most
    limit = lengths.new_full((len(degree),), torch.inf)
    limit[crowded] = lengths[order[beyond[crowded]]] - TIE
    near = lengths < limit[centre]
    return (near & near[reversed_edges(graph.edges, len(degree))]).nonzero().flatten()
