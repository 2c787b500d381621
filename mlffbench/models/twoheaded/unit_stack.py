"""UnitStack: several units in one pass, each with parameters of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, Self

from torch import Tensor

from mlffbench.core.forcefield import Head
from mlffbench.core.labels import Labels
from mlffbench.models.twoheaded.prepared import Prepared, join
from mlffbench.models.twoheaded.stacked import Rows, Stacked


class Revalued(Protocol):
    """A model that computes with other values for its parameters."""

    def with_values(self, values: Mapping[str, Tensor]) -> Self:
        """Return the model with other values for some parameters, by name."""
        ...

    def parameters_of(self, owner: Literal["shared"]) -> Mapping[str, Tensor]:
        """Return the shared parameters, by name."""
        ...

    def forward(self, structures: Prepared, head: Head) -> Labels:
        """Return one head's labels with the autograd graph attached."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class UnitStack:
    """Some units of a model whose layers take `Stacked` parameters.

    Attributes:
        model: The model.
        units: A batch each.
        batch: All of them as one, and perhaps a lone atom that is nobody's.
        rows: Number of rows -> whose they are.
    """

    model: Revalued
    units: tuple[Prepared, ...]
    batch: Prepared
    rows: Mapping[int, Rows]

    @classmethod
    def of(cls, model: Revalued, units: Sequence[Prepared]) -> Self:
        """Return units as a stack."""
        pieces = list(units)
        atoms = [one.n_atoms for one in units]
        edges = [one.edges.shape[1] for one in units]
        if sum(atoms) == sum(edges) and atoms != edges:
            # the number of rows would not tell atoms from edges
            pieces.append(_lone_atom(units[0]))
            atoms[-1] += 1
        batch = join(pieces)
        device = batch.positions.device
        rows = {sum(counts): Rows.of(counts, device) for counts in (edges, atoms)}
        return cls(model, tuple(units), batch, rows)

    def select(self, places: Sequence[int]) -> Self:
        """Return some of the units as a stack."""
        return self.of(self.model, [self.units[place] for place in places])

    def forward(self, values: Sequence[Tensor], head: Head) -> Labels:
        """Return one head's labels of all units with the autograd graph attached.

        Args:
            values: Per shared parameter, in the order of the model's own, shape
                (n_units, ...); gradients flow to them.
            head: Which head.
        """
        names = self.model.parameters_of("shared")
        stacked = {
            name: Stacked.of(one, self.rows)
            for name, one in zip(names, values, strict=True)
        }
        found = self.model.with_values(stacked).forward(self.batch, head)
        n_atoms = sum(one.n_atoms for one in self.units)
        n_systems = sum(one.n_systems for one in self.units)
        return Labels(
            energy=found.energy[:n_systems],
            forces=found.forces[:n_atoms],
            source=found.source,
        )


def _lone_atom(like: Prepared) -> Prepared:
    """Return an atom that no other one sees."""
    return replace(
        like,
        positions=like.positions.new_zeros((1, 3)),
        element_index=like.element_index.new_zeros(1),
        system=like.system.new_zeros(1),
        n_systems=1,
        edges=like.edges[:, :0],
        offsets=None,
    )
