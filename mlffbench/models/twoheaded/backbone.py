"""What a network must offer to be given two heads."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

from torch import Tensor, nn


class Atomwise(NamedTuple):
    """What a network says of each atom.

    Attributes:
        energy: Shape (n_atoms,), before the scale of a head.
        features: Per block the invariant features, shape (n_atoms, n_features).
        forces: Shape (n_atoms, 3), before the scale of a head, of a network that has
            direct forces; else None.
    """

    energy: Tensor
    features: tuple[Tensor, ...]
    forces: Tensor | None = None


class Known(NamedTuple):
    """A function of the length of each edge where that is, computed once.

    With its slope it stands for the function in forces, and in how they change with the
    parameters of others.

    Attributes:
        value: Shape (n_edges, n).
        slope: Shape (n_edges, n), per Å.
    """

    value: Tensor
    slope: Tensor

    def at(self, lengths: Tensor) -> Tensor:
        """Return the value, whose gradient flows to the lengths, shape (n_edges, 1)."""
        return self.value + self.slope * (lengths - lengths.detach())


class Backbone(nn.Module, ABC):
    """A network with one head.

    Its own parameters are only initial values: `TwoHeaded` hands others over in every
    call, so one backbone serves both heads and every clone.

    Attributes:
        stackable: Whether only linear layers and embeddings take parameters, each of
            rows that are atoms or edges, so that they can be `Stacked`.
    """

    stackable: ClassVar[bool] = False

    @abstractmethod
    def forward(
        self,
        element_index: Tensor,
        edges: Tensor,
        vectors: Tensor,
        radius: float,
        known: Sequence[Known] = (),
    ) -> Atomwise:
        """Return energies and features of atoms.

        Args:
            element_index: Shape (n_atoms,), int64: position in the table of elements.
            edges: Shape (2, n_edges), int64: centre and neighbour; may be empty.
            vectors: Shape (n_edges, 3), in Å: from centre to neighbour, shorter than
                `radius` and than the trained cutoff.
            radius: Where the radial envelope vanishes, in Å.
            known: What `known_of` returned for these vectors, radius and parameters.
        """

    def known_of(
        self,
        vectors: Tensor,  # noqa: ARG002 - of networks that know something
        radius: float,  # noqa: ARG002
        first: int,  # noqa: ARG002
    ) -> tuple[Known, ...]:
        """Return what needs no parameters, or those from a block on only; perhaps none.

        Args:
            vectors: Shape (n_edges, 3), in Å.
            radius: Where the radial envelope vanishes, in Å.
            first: Number of the block from which on parameters stay as they are.
        """
        return ()

    @abstractmethod
    def element_slices(self, parameters: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """Yield views of the parameters that have one slice per element.

        Args:
            parameters: Name -> values, shaped as the backbone's own.

        Yields:
            Views of shape (n_elements, ...).
        """
