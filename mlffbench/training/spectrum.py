"""The mean spectrum of the training graphs, which a checkpoint carries for RR."""

import numpy as np
import torch
from numpy.typing import NDArray

from mlffbench.core.graph import radius_graph
from mlffbench.core.structures import Structures


def mean_spectrum(structures: Structures, cutoff: float) -> list[float]:
    """Return the mean ascending Laplacian spectrum, zero-padded to the longest.

    L = I − D^(−1/2) A D^(−1/2) of the undirected, unweighted radius graph without
    self-loops; an isolated atom has eigenvalue 0.

    Args:
        structures: The training structures.
        cutoff: Radius of the graph, in Å.
    """
    longest = int(structures.sizes.max()) if structures.n_systems else 0
    total: NDArray[np.float64] = np.zeros(longest)
    for index in range(structures.n_systems):
        one = structures.select([index])
        graph = radius_graph(one, cutoff)
        adjacency = torch.zeros((one.n_atoms, one.n_atoms), dtype=torch.float64)
        adjacency[graph.edges[0], graph.edges[1]] = 1.0
        adjacency.fill_diagonal_(0.0)
        degree = adjacency.sum(1)
        inverse = torch.where(degree > 0, degree.clamp(min=1).rsqrt(), 0.0)
        laplacian = torch.diag((degree > 0).double())
        laplacian -= inverse[:, None] * adjacency * inverse
        total[: one.n_atoms] += torch.linalg.eigvalsh(laplacian).numpy()
    return [float(value) for value in total / max(1, structures.n_systems)]
