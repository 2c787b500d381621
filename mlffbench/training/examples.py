"""Examples: structures with labels of one or both heads, and what is fitted to them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from mlffbench.core.errors import DataError
from mlffbench.core.forcefield import Head
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures

NO_LABEL = "not labelled"
"""Why a structure that only the other head learns from has no label of this one."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Examples:
    """Structures and, for each head that learns, their labels.

    Attributes:
        structures: Any batch.
        labels: Head -> labels of all structures; those without one, or whose computation
            failed, are NaN and named in ``failures``.
    """

    structures: Structures
    labels: Mapping[Head, Labels]

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return self.structures.n_systems

    @classmethod
    def merge(cls, several: Sequence[Self]) -> Self:
        """Return the examples of several sets, in order, as one set.

        A head that only some of the sets have gets missing labels for the others.

        Raises:
            DataError: There are no sets.
        """
        heads = [head for examples in several for head in examples.labels]
        return cls(
            structures=Structures.concatenate([one.structures for one in several]),
            labels={
                head: Labels.concatenate(
                    [
                        one.labels.get(head) or unlabelled(one.structures)
                        for one in several
                    ]
                )
                for head in dict.fromkeys(heads)
            },
        )

    def select(self, indices: Sequence[int]) -> "Examples":
        """Return the examples at some places, in that order."""
        return Loader(self).batch(indices)

    def usable(self) -> "Examples":
        """Return the examples that have a label of at least one head.

        Raises:
            DataError: None has.
        """
        there = torch.stack([has_label(labels) for labels in self.labels.values()]).any(0)
        kept = there.nonzero().flatten().tolist()
        if not kept:
            raise DataError("no structure to train on has a label; see mlffbench label")
        return self if len(kept) == self.n_structures else self.select(kept)

    def to(self, *, device: torch.device, dtype: torch.dtype) -> Self:
        """Return the examples on a device, structures and labels in a float dtype."""
        return type(self)(
            structures=self.structures.to(device=device, dtype=dtype),
            labels={
                head: Labels(
                    energy=labels.energy.to(device),  # totals stay exact: float64
                    forces=labels.forces.to(device=device, dtype=dtype),
                    source=labels.source,
                    failures=labels.failures,
                )
                for head, labels in self.labels.items()
            },
        )


def has_label(labels: Labels) -> Tensor:
    """Return which structures have an energy, shape (n_systems,), bool."""
    there = torch.isfinite(labels.energy)
    for index in labels.failures:
        there[index] = False
    return there


def unlabelled(structures: Structures) -> Labels:
    """Return labels that are missing for every structure."""
    return Labels(
        energy=torch.full((structures.n_systems,), torch.nan, dtype=torch.float64),
        forces=torch.full((structures.n_atoms, 3), torch.nan, dtype=torch.float64),
        source=NO_LABEL,
        failures=dict.fromkeys(range(structures.n_systems), NO_LABEL),
    )


class Loader:
    """Takes batches out of examples in time that does not grow with their number.

    Args:
        examples: All of them, on the device to train on.
    """

    def __init__(self, examples: Examples) -> None:
        self.examples = examples
        self._sizes = examples.structures.sizes
        self._starts = torch.cumsum(self._sizes, 0) - self._sizes

    def batch(self, places: Sequence[int]) -> Examples:
        """Return the examples at some places, in that order."""
        whole = self.examples.structures
        order = torch.as_tensor(
            list(places), dtype=torch.int64, device=whole.system.device
        )
        sizes = self._sizes[order]
        system = torch.repeat_interleave(
            torch.arange(len(order), device=order.device), sizes
        )
        within = torch.arange(len(system), device=order.device)
        within -= (torch.cumsum(sizes, 0) - sizes)[system]
        atoms = self._starts[order][system] + within
        structures = Structures(
            positions=whole.positions[atoms],
            numbers=whole.numbers[atoms],
            system=system,
            cell=whole.cell[order],
            pbc=whole.pbc[order],
            charge=whole.charge[order],
            multiplicity=whole.multiplicity[order],
            ids=tuple(whole.ids[place] for place in places),
            group=tuple(whole.group[place] for place in places),
            smiles=tuple(whole.smiles[place] for place in places),
        )
        labels: dict[Head, Labels] = {
            head: Labels(
                energy=all_labels.energy[order],
                forces=all_labels.forces[atoms],
                source=all_labels.source,
                failures={
                    new: all_labels.failures[old]
                    for new, old in enumerate(places)
                    if old in all_labels.failures
                },
            )
            for head, all_labels in self.examples.labels.items()
        }
        return Examples(structures=structures, labels=labels)


def batches(
    n_structures: int, batch: int, generator: torch.Generator
) -> Iterator[list[int]]:
    """Yield shuffled places in batches of ``batch``; the last one may be smaller."""
    order = torch.randperm(n_structures, generator=generator).tolist()
    for start in range(0, n_structures, batch):
        yield order[start : start + batch]


class Baseline(NamedTuple):
    """What a head starts from.

    Attributes:
        atomic_energies: Atomic number -> energy in eV; elements without label are absent.
        scale: Root mean square of the force components, in eV/Å.
    """

    atomic_energies: dict[int, float]
    scale: float


def fit_baseline(structures: Structures, labels: Labels) -> Baseline:
    """Return atomic energies and scale of labels.

    The energies solve min Σ ((E − Σ_z n_z e_z) / n_atoms)², by the least-norm solution
    where compositions leave it open.

    Args:
        structures: The training structures.
        labels: Of one head; those missing are left out.

    Raises:
        DataError: There is no label.
    """
    there = has_label(labels)
    if not bool(there.any()):
        msg = (
            f"no training structure has a label of {labels.source!r}, so nothing can be "
        )
        raise DataError(msg + "trained on it; see mlffbench label")
    elements = torch.unique(structures.numbers)
    counts = torch.zeros((structures.n_systems, len(elements)), dtype=torch.float64)
    column = torch.searchsorted(elements, structures.numbers)
    ones = torch.ones(structures.n_atoms, dtype=torch.float64)
    counts.index_put_((structures.system, column), ones, accumulate=True)
    counts = counts[there]
    sizes = counts.sum(1, keepdim=True)
    energies = labels.energy[there].double()[:, None]
    solved = torch.linalg.lstsq(counts / sizes, energies / sizes, driver="gelsd")
    values = solved.solution[:, 0].tolist()
    seen = counts.any(0).tolist()
    forces = labels.forces[there[structures.system]].double()
    return Baseline(
        atomic_energies={
            number: value
            for number, value, known in zip(elements.tolist(), values, seen, strict=True)
            if known
        },
        scale=float(forces.square().mean().sqrt()) or 1.0,
    )
