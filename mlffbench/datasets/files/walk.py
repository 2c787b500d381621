"""Walks: structures and labels of a file in one pass, a piece at a time.

Whoever predicts reads structures and labels by separate calls. An index wants facts of
both, of every structure: a walk reads them together, each dataset of a file once.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.split import Index, Source
from mlffbench.datasets.survey.placed import Placed

ROWS_AT_A_TIME = 1_000
"""Structures of a file without records of its own that are in memory at a time."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Piece:
    """Some conformers of one record, with everything an index is made of.

    Attributes:
        record: Number of the record in the file.
        key: Its name in the file.
        group: Molecule key.
        smiles: As the file has it, empty where unknown.
        subset: The file's own label.
        numbers: Shape (n_atoms,), int64 atomic numbers.
        charge: Total charge in e.
        multiplicity: 2S + 1.
        periodic: Whether any direction is periodic.
        conformers: Shape (n_conformers,), their numbers in the record.
        positions: Shape (n_conformers, n_atoms, 3), in Å.
        energy: Shape (n_conformers,), in eV.
        forces: Shape (n_conformers, n_atoms, 3), in eV/Å.
    """

    record: int
    key: str
    group: str
    smiles: str
    subset: str
    numbers: NDArray[np.int64]
    charge: int
    multiplicity: int
    periodic: bool
    conformers: NDArray[np.int64]
    positions: NDArray[np.float64]
    energy: NDArray[np.float64]
    forces: NDArray[np.float64]


@runtime_checkable
class Walkable(Protocol):
    """A source that can be read in one pass.

    Steps are what a walk may be divided by: records of a file that has them, else rows.
    """

    @property
    def n_steps(self) -> int:
        """Number of steps of the whole walk."""
        ...

    def walk(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield what the steps ``start`` to ``stop`` hold, in order."""
        ...


class Rowwise:
    """The walk over any source, by its rows.

    Args:
        source: The source.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def n_steps(self) -> int:
        """Number of structures."""
        return self._source.index.n_structures

    def walk(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield the structures ``start`` to ``stop``, conformers of a record together.

        Raises:
            DataError: The file is damaged.
        """
        for first in range(start, stop, ROWS_AT_A_TIME):
            rows = np.arange(first, min(first + ROWS_AT_A_TIME, stop), dtype=np.int64)
            yield from self._pieces(rows)

    def _pieces(self, rows: NDArray[np.int64]) -> Iterator[Piece]:
        index = self._source.index
        structures, labels = self._source.structures(rows), self._source.labels(rows)
        positions = structures.positions.numpy()
        numbers, forces = structures.numbers.numpy(), labels.forces.numpy()
        ends = np.cumsum(structures.sizes.numpy())
        records = index.record[rows]
        for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(records)) + 1):
            record, size = int(records[run[0]]), int(structures.sizes[run[0]])
            atoms = slice(int(ends[run[0]]) - size, int(ends[run[-1]]))
            shape = (len(run), size, 3)
            yield Piece(
                record=record,
                key=index.keys[record],
                group=index.groups[record],
                smiles=index.smiles[record],
                subset=index.subsets[record],
                numbers=numbers[atoms][:size],
                charge=int(index.charge[record]),
                multiplicity=int(index.multiplicity[record]),
                periodic=bool(index.periodic[record]),
                conformers=index.conformer[rows[run]],
                positions=positions[atoms].reshape(shape),
                energy=labels.energy.numpy()[run],
                forces=forces[atoms].reshape(shape),
            )


def walk_of(source: Source) -> Walkable:
    """Return the walk of a source: its own, else one by rows."""
    return source if isinstance(source, Walkable) else Rowwise(source)


class WalkedByGroup(ABC):
    """A file of groups, one per molecule or composition, that is walked by group."""

    _placed: Placed | None = None
    """Where its numbers lie, by the walk that made its own index."""

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """Names of its groups, in the order of the walk."""

    def with_index(self, index: Index) -> Self:
        """Return the same file with an index that was found out before."""
        known = copy.copy(self)
        known.__dict__["index"] = index  # where cached_property keeps it
        known._placed = None  # by record, and another index may have others
        return known

    @property
    def n_steps(self) -> int:
        """Number of groups: a walk goes group by group."""
        return len(self.names)
