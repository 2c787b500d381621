"""UnitStack: several units in one pass, each with parameters of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, Self, TypeGuard

import torch
from torch import Tensor

from mlffbench.core.assembly import beside, refusals
from mlffbench.core.card import ModelCard
from mlffbench.core.forcefield import CutoffScope, Head
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.models.stack_sizes import stacks_of
from mlffbench.models.twoheaded.architecture import Architecture
from mlffbench.models.twoheaded.prepared import Prepared, join
from mlffbench.models.twoheaded.stacked import Rows, Stacked


class Stackable(Protocol):
    """A model that computes with other values for its parameters; see `TwoHeaded`."""

    architecture: Architecture
    card: ModelCard
    cutoff: float
    cutoff_scope: CutoffScope
    atomic_energies: dict[Head, dict[int, float]]

    def stack(
        self, units: Sequence[Structures], head: Head | None = None
    ) -> "UnitStack | None":
        """Return units for one pass, of a head that stays as it is or of any."""
        ...

    def with_values(self, values: Mapping[str, Tensor]) -> Self:
        """Return the model computing with other values for some parameters, by name."""
        ...

    def parameters_of(
        self, owner: Literal["shared", "prior", "ref"]
    ) -> Mapping[str, Tensor]:
        """Return the parameters that are shared or belong to one head, by name."""
        ...

    def forward(self, structures: Prepared, head: Head) -> Labels:
        """Return one head's labels with the autograd graph attached."""
        ...

    def predict_prepared(self, batch: Prepared) -> Labels:
        """Return detached labels of the reference head."""
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

    model: Stackable
    units: tuple[Prepared, ...]
    batch: Prepared
    rows: Mapping[int, Rows]

    @classmethod
    def of(cls, model: Stackable, units: Sequence[Prepared]) -> Self:
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
        named = dict(zip(names, values, strict=True))
        return self._own(self._with(named).forward(self.batch, head))

    def predict(self, values: Mapping[str, Tensor]) -> Labels:
        """Return detached labels of the reference head of all units.

        Args:
            values: Per parameter, shape (n_units, ...).
        """
        return self._own(self._with(values).predict_prepared(self.batch))

    def _with(self, values: Mapping[str, Tensor]) -> Stackable:
        stacked = {name: Stacked.of(one, self.rows) for name, one in values.items()}
        return self.model.with_values(stacked)

    def _own(self, found: Labels) -> Labels:
        """Return labels without those of a lone atom."""
        n_atoms = sum(one.n_atoms for one in self.units)
        n_systems = sum(one.n_systems for one in self.units)
        return Labels(
            energy=found.energy[:n_systems],
            forces=found.forces[:n_atoms],
            source=found.source,
        )


def predict_clones(
    model: Stackable, clones: Sequence[object], parts: Sequence[Structures]
) -> list[Labels] | None:
    """Return what each clone of a model predicts of its part, where that lies.

    Parts of like size go through the network together.

    None where one differs from the model by more than its parameters, the model cannot
    be stacked, or it refuses a structure.

    Args:
        model: What they are clones of.
        clones: The clones.
        parts: What each is to predict.
    """
    twins = [one for one in clones if _is_clone(one, model)]
    if len(twins) < len(clones) or any(refusals(part, model.card) for part in parts):
        return None
    tables = [
        {**one.parameters_of("shared"), **one.parameters_of("ref")} for one in twins
    ]
    values = list(tables[0].values()) if tables else []
    n_values = sum(one.numel() for one in values)
    device = values[0].device.type if values else "cpu"
    found: dict[int, Labels] = {}
    for places in stacks_of([part.n_atoms for part in parts], n_values, device):
        stack = model.stack([parts[place] for place in places])
        if stack is None:
            return None
        labels = _predict(stack, [tables[place] for place in places])
        pairs = zip(places, labels, strict=True)
        found |= {place: beside(parts[place], one) for place, one in pairs}
    return [found[place] for place in range(len(parts))]


def _predict(stack: UnitStack, tables: Sequence[Mapping[str, Tensor]]) -> list[Labels]:
    """Return the labels of each unit with its table of parameters."""
    values = {
        name: torch.stack([table[name].detach() for table in tables])
        for name in tables[0]
    }
    together = stack.predict(values)
    energies = torch.split(together.energy, [one.n_systems for one in stack.units])
    forces = torch.split(together.forces, [one.n_atoms for one in stack.units])
    return [
        replace(together, energy=energy, forces=force)
        for energy, force in zip(energies, forces, strict=True)
    ]


def _is_clone(other: object, model: Stackable) -> TypeGuard[Stackable]:
    """Return whether another model differs by no more than its parameters."""
    if type(other) is not type(model):
        return False
    mine, theirs = (
        (id(one.architecture), id(one.atomic_energies), one.cutoff, one.cutoff_scope)
        for one in (model, other)
    )
    return mine == theirs


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
        fixed=None,
    )
