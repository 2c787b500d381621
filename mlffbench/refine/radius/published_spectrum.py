"""Spectra as the paper's released code computes them, quirks included (docs/paper.md).

Kreiman & Krishnapriyan, arXiv 2503.08674, by their script. Where no atom has more
neighbours than the cap and none is alone, they are those of `mlffbench.core.spectrum`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class PublishedSpectrum(NamedTuple):
    """The spectrum of one graph.

    Attributes:
        eigenvalues: Shape (n_nodes,), ascending, rounded to float32 as theirs. Atoms
            after the last one that has a neighbour are no nodes.
        n_edges: Directed edges after the cap.
    """

    eigenvalues: Floats
    n_edges: int


def published_spectrum(
    distances: Floats, radius: float, neighbours: int
) -> PublishedSpectrum:
    """Return the spectrum of one molecule at one radius.

    L = I − D^(−1/2) A D^(−1/2), in which A holds for each atom its first ``neighbours``
    atoms within the radius, in the order of the file. Self-loops are added and stripped
    again; an atom without neighbours keeps the 1 on the diagonal. Where the cap makes A
    unsymmetric, real parts of complex eigenvalues count.

    Args:
        distances: Shape (n_atoms, n_atoms), in Å.
        radius: In Å; a pair at exactly this distance is no pair.
        neighbours: Most neighbours of an atom.
    """
    near = distances < radius
    np.fill_diagonal(near, val=False)
    near &= np.cumsum(near, axis=1) <= neighbours
    linked = np.flatnonzero(near.any(0) | near.any(1))
    n_nodes = int(linked[-1]) + 1 if len(linked) else 0
    adjacency = near[:n_nodes, :n_nodes].T.astype(np.float64)  # from neighbour to centre
    degree = adjacency.sum(1)
    inverse = np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1)), 0.0)
    laplacian = np.eye(n_nodes) - inverse[:, None] * adjacency * inverse[None, :]
    if np.array_equal(near, near.T):
        values = np.linalg.eigvalsh(laplacian)
    else:
        values = np.sort(np.linalg.eigvals(laplacian).real)
    rounded = values.astype(np.float32).astype(np.float64)
    return PublishedSpectrum(rounded, int(near.sum()))


def published_distance(eigenvalues: Floats, reference: Floats) -> float:
    """Return ‖λ − λ̄‖₂² with zeros after the shorter one.

    Their code raises an error for a molecule that is larger than any of training; here
    the reference is continued with zeros, as the mean over smaller molecules would be.

    Args:
        eigenvalues: Shape (n_nodes,), ascending.
        reference: Shape (n_longest,): the mean ascending spectrum of training.
    """
    width = max(len(eigenvalues), len(reference))
    mine, mean = np.zeros(width), np.zeros(width)
    mine[: len(eigenvalues)] = eigenvalues
    mean[: len(reference)] = reference
    return float(((mine - mean) ** 2).sum())
