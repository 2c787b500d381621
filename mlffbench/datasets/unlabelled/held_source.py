"""HeldSource: structures in memory as a source, without labels."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows
from mlffbench.core.structures import Structures
from mlffbench.datasets.files.records import IndexBuilder

NO_LABELS = "no labels"
"""Level of theory of structures that have none."""


class HeldSource:
    """Structures that are in memory; a `Source` whose labels are NaN.

    Args:
        structures: The structures, float64 on the CPU; their ids end in ``/CONFORMER``.
        sha256: Checksum of the file they came from.
        remarks: What whoever uses them should know.
    """

    level_of_theory = NO_LABELS

    def __init__(
        self, structures: Structures, sha256: str, remarks: Sequence[str] = ()
    ) -> None:
        self.sha256 = sha256
        self._structures, self._remarks = structures, tuple(remarks)

    @cached_property
    def index(self) -> Index:
        """What there is, one record per structure."""
        held, builder = self._structures, IndexBuilder()
        pieces = torch.split(held.numbers, held.sizes.tolist())
        for place, name in enumerate(held.ids):
            key, _, conformer = name.rpartition("/")
            builder.add(
                key,
                pieces[place].numpy(),
                np.array([int(conformer)], dtype=np.int64),
                group=held.group[place],
                charge=int(held.charge[place]),
                multiplicity=int(held.multiplicity[place]),
                smiles=held.smiles[place],
                periodic=bool(held.pbc[place].any()),
            )
        return builder.build(self._remarks)

    def structures(self, rows: Rows) -> Structures:
        """Return structures by row, float64, in Å."""
        return self._structures.select(np.asarray(rows, dtype=np.int64).tolist())

    def labels(self, rows: Rows) -> Labels:
        """Return NaN for each: there are no labels."""
        return nothing_at(self.index, rows)


def nothing_for(structures: Structures) -> Labels:
    """Return labels of structures that have none: NaN."""
    return _nothing(structures.n_systems, structures.n_atoms)


def nothing_at(index: Index, rows: Rows) -> Labels:
    """Return the same of rows of an index; no structure is read for it."""
    n_atoms = int(index.n_atoms[index.record[rows]].sum())
    return _nothing(len(rows), n_atoms)


def _nothing(n_systems: int, n_atoms: int) -> Labels:
    energy = torch.full((n_systems,), torch.nan, dtype=torch.float64)
    forces = torch.full((n_atoms, 3), torch.nan, dtype=torch.float64)
    return Labels(energy=energy, forces=forces, source=NO_LABELS)
