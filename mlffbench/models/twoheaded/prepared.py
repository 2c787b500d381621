"""Prepared: a batch whose neighbour list is built once and used many times."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from mlffbench.core.card import format_elements
from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import Head
from mlffbench.core.graph import radius_graph
from mlffbench.core.structures import Structures
from mlffbench.models.twoheaded.backbone import Known
from mlffbench.models.twoheaded.neighbour_cap import capped


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """What the geometry and a head's own parameters decide, of each edge.

    Attributes:
        head: Which head.
        radius: Where the radial envelope vanishes, in Å.
        own: The head's own parameters.
        versions: How often each had been written to.
        known: Rows of edges.
    """

    head: Head
    radius: float
    own: tuple[Tensor, ...]
    versions: tuple[int, ...]
    known: tuple[Known, ...]

    @classmethod
    def of(
        cls, head: Head, radius: float, own: Sequence[Tensor], known: tuple[Known, ...]
    ) -> Self:
        """Return what is known with a head's parameters as they are now."""
        return cls(head, radius, tuple(own), _versions(own), known)

    def known_to(
        self, head: Head, radius: float, own: Sequence[Tensor]
    ) -> tuple[Known, ...]:
        """Return what is known where all is as it was, else nothing.

        Args:
            head: Which head.
            radius: Where the radial envelope vanishes, in Å.
            own: The head's own parameters.
        """
        then = self.head, self.radius, [id(one) for one in self.own]
        same = then == (head, radius, [id(one) for one in own])
        return self.known if same and _versions(own) == self.versions else ()

    def rows(self, mine: slice) -> Self:
        """Return those of some edges."""
        known = tuple(Known(one.value[mine], one.slope[mine]) for one in self.known)
        return replace(self, known=known)

    @classmethod
    def join(cls, pieces: Sequence[Self]) -> Self:
        """Return those of all pieces of one batch."""
        columns = zip(*(piece.known for piece in pieces), strict=True)
        known = tuple(
            Known(*(torch.cat(parts) for parts in zip(*ones, strict=True)))
            for ones in columns
        )
        return replace(pieces[0], known=known)


def _versions(parameters: Sequence[Tensor]) -> tuple[int, ...]:
    """Return how often each was written to."""
    return tuple(one._version for one in parameters)


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
        fixed: What does not change while one head stays as it is, if that was asked for.
    """

    positions: Tensor
    element_index: Tensor
    system: Tensor
    n_systems: int
    edges: Tensor
    offsets: Tensor | None
    cutoff: float
    fixed: Fixed | None = None

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


def split(batch: Prepared, n_systems: Sequence[int]) -> list[Prepared]:
    """Return a batch in pieces.

    Args:
        batch: Its edges are ordered by centre.
        n_systems: Structures of each piece, in turn; they add up to those of the batch.
    """
    ends = torch.tensor(n_systems, device=batch.system.device).cumsum(0)
    atoms = torch.searchsorted(batch.system, ends)
    edges = torch.searchsorted(batch.edges[0].contiguous(), atoms)
    pieces, begin = [], (0, 0, 0)
    for end in torch.stack([ends, atoms, edges], dim=1).tolist():
        mine, links = slice(begin[1], end[1]), slice(begin[2], end[2])
        pieces.append(
            Prepared(
                positions=batch.positions[mine],
                element_index=batch.element_index[mine],
                system=batch.system[mine] - begin[0],
                n_systems=end[0] - begin[0],
                edges=batch.edges[:, links] - begin[1],
                offsets=None if batch.offsets is None else batch.offsets[links],
                cutoff=batch.cutoff,
                fixed=batch.fixed and batch.fixed.rows(links),
            )
        )
        begin = end
    return pieces


def join(pieces: Sequence[Prepared]) -> Prepared:
    """Return pieces of one batch as a batch.

    Args:
        pieces: As `split` returned them, or some of those.
    """
    n_atoms, n_systems, edges, system = 0, 0, [], []
    for piece in pieces:
        edges.append(piece.edges + n_atoms)
        system.append(piece.system + n_systems)
        n_atoms, n_systems = n_atoms + piece.n_atoms, n_systems + piece.n_systems
    offsets = [piece.offsets for piece in pieces if piece.offsets is not None]
    fixed = [piece.fixed for piece in pieces if piece.fixed is not None]
    return Prepared(
        positions=torch.cat([piece.positions for piece in pieces]),
        element_index=torch.cat([piece.element_index for piece in pieces]),
        system=torch.cat(system),
        n_systems=n_systems,
        edges=torch.cat(edges, dim=1),
        offsets=torch.cat(offsets) if offsets else None,
        cutoff=pieces[0].cutoff,
        fixed=Fixed.join(fixed) if fixed else None,
    )
