"""Graph: which atoms see each other within a radius.

An edge means ``distance < cutoff``: strict, as in ASE, matscipy and vesin, so that an
envelope that vanishes at the cutoff never meets it. Distances are compared in float64
whatever the dtype of the positions. There is no neighbour cap and no self-loop; an atom
and its own periodic image are two different points, and do form an edge.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vesin import NeighborList

from mlffbench.core.errors import DataError
from mlffbench.core.guards.geometry import MOST_PAIRS, fault_of_cell, n_pairs
from mlffbench.core.structures import Structures

MAX_DENSE_ATOMS = 512
"""A larger molecule goes through a cell list instead of all its pairs."""
MAX_DENSE_PAIRS = 2**22
"""Distances held in memory at once (32 MiB in float64)."""
BUCKET_ATOMS = 8
"""Molecules are padded to a multiple of this many atoms."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Graph:
    """Pairs of atoms within a radius, each in both directions.

    Edges are ordered by centre, then neighbour, then shift; the edges of a structure do
    not depend on the batch it is in.

    Attributes:
        edges: Shape (2, n_edges), int64: centre and neighbour, indices into the batch.
        shifts: Shape (n_edges, 3), int64: lattice translations of the neighbour.
        cutoff: Radius in Å.

    Raises:
        DataError: The shapes do not fit together, or the cutoff is no radius.
    """

    edges: Tensor
    shifts: Tensor
    cutoff: float

    def __post_init__(self) -> None:
        check_cutoff(self.cutoff)
        n_edges = self.edges.shape[-1]
        for name, shape in (("edges", (2, n_edges)), ("shifts", (n_edges, 3))):
            tensor: Tensor = getattr(self, name)
            if tuple(tensor.shape) != shape or tensor.dtype != torch.int64:
                msg = f"Graph.{name} is {tensor.dtype} of shape {tuple(tensor.shape)}, "
                raise DataError(msg + f"expected int64 of shape {shape}")

    @property
    def n_edges(self) -> int:
        """Number of edges; a pair counts twice."""
        return self.edges.shape[1]

    def vectors(self, structures: Structures) -> Tensor:
        """Return displacements from centre to neighbour, r_j + S·cell − r_i.

        Args:
            structures: The batch the graph was built for; positions and cells may have
                moved since, and gradients flow to both.

        Returns:
            Shape (n_edges, 3), in Å, dtype of the positions.
        """
        centre, neighbour = self.edges
        vectors = structures.positions[neighbour] - structures.positions[centre]
        if not bool(structures.pbc.any()):
            return vectors
        cell = structures.cell[structures.system[centre]]
        return vectors + (self.shifts[:, :, None].to(cell.dtype) * cell).sum(1)


class _Piece(NamedTuple):
    edges: Tensor
    shifts: Tensor


def radius_graph(structures: Structures, cutoff: float) -> Graph:
    """Return every pair of atoms of one structure closer than ``cutoff``.

    Molecules take all pairs on the device of the structures, in chunks of bounded memory;
    periodic structures and very large molecules take vesin's cell list on the CPU. A
    batch may mix both, and any mix of periodic directions. Two atoms at the same place
    are an edge of length 0.

    Args:
        structures: Any batch.
        cutoff: Radius in Å.

    Raises:
        DataError: The cutoff is not positive and finite, a position is not finite, or
            the lattice vectors of a periodic structure are not independent.

    Example:
        >>> line = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
        >>> numbers = torch.tensor([6, 6, 6])
        >>> chain = Structures.build([line], [numbers], ids=["C3"])
        >>> radius_graph(chain, 1.5).edges.tolist()
        [[0, 1, 1, 2], [1, 0, 2, 1]]
    """
    check_cutoff(cutoff)
    check_positions(structures)
    positions = structures.positions.detach().double()
    sizes = structures.sizes.tolist()
    starts = np.cumsum([0, *sizes]).tolist()
    periodic = structures.pbc.any(1).tolist()
    molecules: list[int] = []
    pieces: list[_Piece] = []
    for system, size in enumerate(sizes):
        if periodic[system] or size > MAX_DENSE_ATOMS:
            first, last = starts[system], starts[system + 1]
            pieces.append(_cell_list(structures, system, range(first, last), cutoff))
        else:
            molecules.append(system)
    for chunk in _chunks(molecules, sizes):
        count = [sizes[system] for system in chunk]
        start = [starts[system] for system in chunk]
        pieces.append(_all_pairs(positions, start, count, cutoff))
    device = positions.device
    empty = torch.zeros((0, 3), dtype=torch.int64, device=device)
    edges = torch.cat([empty[:, :2].T, *(piece.edges for piece in pieces)], dim=1)
    shifts = torch.cat([empty, *(piece.shifts for piece in pieces)])
    # Each piece is in order already, and no atom has edges in two pieces.
    order = torch.argsort(edges[0], stable=True)
    return Graph(edges=edges[:, order], shifts=shifts[order], cutoff=float(cutoff))


def reversed_edges(edges: Tensor, n_atoms: int) -> Tensor:
    """Return for each edge c→a the place of a→c, shape (n_edges,), int64.

    Two atoms of a small cell meet several times. Their edges are ordered by lattice
    translation, which the other direction negates: it has them in reverse.

    Args:
        edges: Shape (2, n_edges), of a `Graph`, or of a part of one that holds both
            directions of every pair.
        n_atoms: Of the batch.
    """
    key, mirrored = edges[0] * n_atoms + edges[1], edges[1] * n_atoms + edges[0]
    order = torch.argsort(key, stable=True)
    ranked = key[order]
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    nth = place - torch.searchsorted(ranked, key)
    return order[torch.searchsorted(ranked, mirrored, right=True) - 1 - nth]


def _chunks(systems: list[int], sizes: list[int]) -> Iterator[list[int]]:
    """Yield systems of similar size, few enough that their pairs fit in memory."""
    buckets: dict[int, list[int]] = defaultdict(list)
    for system in systems:
        buckets[math.ceil(sizes[system] / BUCKET_ATOMS) * BUCKET_ATOMS].append(system)
    for width, members in buckets.items():
        step = max(1, MAX_DENSE_PAIRS // max(1, width * width))
        for first in range(0, len(members), step):
            yield members[first : first + step]


def _all_pairs(
    positions: Tensor, start: list[int], count: list[int], cutoff: float
) -> _Piece:
    """Return the edges of molecules, each given by first atom and number of atoms."""
    device = positions.device
    within = torch.arange(max(count), device=device)
    atoms = torch.tensor(start, device=device)[:, None] + within
    real = within < torch.tensor(count, device=device)[:, None]
    padded = torch.full(
        (*atoms.shape, 3), torch.nan, dtype=positions.dtype, device=device
    )
    padded[real] = positions[atoms[real]]
    # Padding is NaN and NaN is not below the cutoff. The matrix-product shortcut of cdist
    # would lose half of the digits.
    distances = torch.cdist(padded, padded, compute_mode="donot_use_mm_for_euclid_dist")
    near = distances < cutoff
    near.diagonal(dim1=1, dim2=2).zero_()
    system, centre, neighbour = near.nonzero(as_tuple=True)
    edges = torch.stack([atoms[system, centre], atoms[system, neighbour]])
    return _Piece(edges, torch.zeros_like(edges[0])[:, None].repeat(1, 3))


def _cell_list(
    structures: Structures, system: int, atoms: range, cutoff: float
) -> _Piece:
    """Return the edges of one structure, whose atoms are given, by vesin."""
    positions = structures.positions[atoms.start : atoms.stop].detach().double()
    periodic = structures.pbc[system].cpu().numpy()
    cell = structures.cell[system].detach().double().cpu().numpy()
    if periodic.any():
        _check_cell(cell[periodic], len(atoms), cutoff, structures.ids[system])
    cell_list = NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
    centre, neighbour, shift = cell_list.compute(
        points=positions.cpu().numpy(),
        box=np.where(periodic[:, None], cell, 0.0),
        periodic=periodic,
        quantities="ijS",
    )
    order = np.lexsort((*shift.T[::-1], neighbour, centre))
    edges = np.stack([centre[order], neighbour[order]]).astype(np.int64) + atoms.start
    shifts = shift[order].astype(np.int64)
    device = positions.device
    return _Piece(torch.from_numpy(edges).to(device), torch.from_numpy(shifts).to(device))


def check_cutoff(cutoff: float) -> None:
    """Raise DataError when a cutoff is not positive and finite."""
    if not (math.isfinite(cutoff) and cutoff > 0):
        msg = f"a graph cutoff of {cutoff} Å is no radius: give a positive, finite number"
        raise DataError(msg)


def check_positions(structures: Structures) -> None:
    """Raise DataError, naming the structure, when a position is not finite."""
    finite = torch.isfinite(structures.positions).all(1)
    if not bool(finite.all()):
        name = structures.ids[int(structures.system[~finite][0])]
        msg = (
            f"structure {name!r} has positions that are not finite, so no radius graph; "
        )
        raise DataError(msg + "remove it or repair its coordinates")


def _check_cell(
    vectors: NDArray[np.float64], n_atoms: int, cutoff: float, name: str
) -> None:
    """Check that the periodic lattice vectors make a cell, with not too many images."""
    fault = fault_of_cell(vectors)
    if fault:
        msg = (
            f"structure {name!r} is periodic, but {fault} (its vectors are "
            f"{vectors.round(4).tolist()} Å); give a full cell, or "
            "set pbc to False along the missing directions"
        )
        raise DataError(msg)
    found = n_pairs(vectors, n_atoms, cutoff)
    if found > MOST_PAIRS:
        msg = (
            f"structure {name!r} has {n_atoms} atoms in a cell so small that within "
            f"{cutoff:g} Å there are about {found:.0e} pairs of images (at most "
            f"{MOST_PAIRS:,}); check its cell"
        )
        raise DataError(msg)
