"""Prepared: a batch whose neighbour list is built once and used many times."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mlffbench.core.card import format_elements
from mlffbench.core.errors import ModelError
from mlffbench.core.graph import radius_graph
from mlffbench.core.structures import Structures
from mlffbench.models.twoheaded.neighbour_cap import capped


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Prepared:
    """All a network needs of a batch; training and test-time training reuse it.

    Attributes:
        positions: Shape (n_atoms, 3), in Å, dtype and device of the model.
        element_index: Shape (n_atoms,), int64: position in the table of elements.
        system: Shape (n_atoms,), int64: atom -> structure.
        n_systems: Number of structures.
        edges: Shape (2, n_edges), int64: centre and neighbour.
        offsets: Shape (n_edges, 3), in Å: lattice translation of the neighbour; None
            when nothing is periodic.
        cutoff: Cutoff of the graph, in Å.
    """

    positions: Tensor
    element_index: Tensor
    system: Tensor
    n_systems: int
    edges: Tensor
    offsets: Tensor | None
    cutoff: float

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the whole batch."""
        return len(self.system)

    def vectors(self, positions: Tensor) -> Tensor:
        """Return displacements from centre to neighbour.

        Args:
            positions: Shape (n_atoms, 3), in Å; gradients flow to them.

        Returns:
            Shape (n_edges, 3), in Å.
        """
        centre, neighbour = self.edges
        vectors = positions[neighbour] - positions[centre]
        return vectors if self.offsets is None else vectors + self.offsets


def prepare(
    structures: Structures,
    *,
    elements: tuple[int, ...],
    cutoff: float,
    max_neighbours: int | None = None,
    device: torch.device,
    dtype: torch.dtype,
) -> Prepared:
    """Return a batch with its neighbour list, ready for a network.

    Args:
        structures: Any batch; it may be empty.
        elements: Ascending atomic numbers of the network.
        cutoff: Cutoff of the graph, in Å.
        max_neighbours: Neighbours of an atom at most; None for all.
        device: Where the network is.
        dtype: What the network computes in.

    Raises:
        ModelError: An element is not in the table of the network.
    """
    structures = structures.to(device=device, dtype=dtype)
    table = torch.tensor(elements, device=device)
    index = torch.searchsorted(table, structures.numbers)
    known = table[index.clamp(max=len(elements) - 1)] == structures.numbers
    if not bool(known.all()):
        strange = format_elements(frozenset(structures.numbers[~known].tolist()))
        msg = (
            f"the network has no weights for the elements {strange}; it knows "
            f"{format_elements(frozenset(elements))}"
        )
        raise ModelError(msg)
    graph = radius_graph(structures, cutoff)
    if max_neighbours is not None:
        lengths = graph.vectors(structures).detach().norm(dim=1)
        kept = capped(graph, lengths, max_neighbours)
        graph = replace(graph, edges=graph.edges[:, kept], shifts=graph.shifts[kept])
    offsets = None
    if bool(structures.pbc.any()):
        cells = structures.cell[structures.system[graph.edges[0]]]
        offsets = (graph.shifts[:, :, None].to(dtype) * cells).sum(1)
    return Prepared(
        positions=structures.positions.detach(),
        element_index=index,
        system=structures.system,
        n_systems=structures.n_systems,
        edges=graph.edges,
        offsets=offsets,
        cutoff=graph.cutoff,
    )
