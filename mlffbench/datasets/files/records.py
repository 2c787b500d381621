"""Records of a source: into its index one by one, and back into structures."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlffbench.core.errors import DataError
from mlffbench.core.guards.caps import LARGEST_LABEL
from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows
from mlffbench.core.structures import Structures
from mlffbench.datasets.statements.charge_spin import lowest_multiplicity

NOT_STATED = "not stated"
"""Level of theory of a file that does not say and was not said."""
MOST_STATED = 1_000_000
"""Charge in e, and multiplicity, beyond which a statement is damage."""


class IndexBuilder:
    """Collects the records of a file, in order, into an `Index`."""

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._groups: list[str] = []
        self._smiles: list[str] = []
        self._subsets: list[str] = []
        self._elements: list[frozenset[int]] = []
        self._facts: list[tuple[int, int, int, bool]] = []
        self._conformers: list[NDArray[np.int64]] = []
        self._known: dict[frozenset[int], frozenset[int]] = {}
        self._compositions: dict[str, set[bytes]] = {}

    def add(
        self,
        key: str,
        numbers: NDArray[np.int64],
        conformers: NDArray[np.int64],
        *,
        group: str,
        charge: int,
        multiplicity: int | None = None,
        smiles: str = "",
        subset: str = "",
        periodic: bool = False,
    ) -> None:
        """Add one record.

        Args:
            key: Its name in the file.
            numbers: Shape (n_atoms,), atomic numbers.
            conformers: Shape (n_conformers,), the numbers of its structures.
            group: Molecule key.
            charge: Total charge in e.
            multiplicity: 2S + 1; the lowest the electron count allows when left out.
            smiles: Atom-mapped SMILES, empty where unknown.
            subset: The file's own label.
            periodic: Whether any direction is periodic.

        Raises:
            DataError: Charge or multiplicity is a number that no structure has.
        """
        for what, stated in (("charge", charge), ("multiplicity", multiplicity or 1)):
            if abs(stated) > MOST_STATED:
                msg = (
                    f"{key!r} states a {what} of {stated:.3g}, expected at most "
                    f"{MOST_STATED:,}; correct the file"
                )
                raise DataError(msg)
        elements = frozenset(np.unique(numbers).tolist())
        if multiplicity is None:
            multiplicity = lowest_multiplicity(numbers, charge)
        self._keys.append(key)
        self._groups.append(group)
        self._compositions.setdefault(group, set()).add(np.sort(numbers).tobytes())
        self._smiles.append(smiles)
        self._subsets.append(subset)
        self._elements.append(self._known.setdefault(elements, elements))
        self._facts.append((len(numbers), charge, multiplicity, periodic))
        self._conformers.append(conformers)

    def names_of_several(self) -> list[str]:
        """Return the molecule keys that records of different compositions share."""
        return [name for name, found in self._compositions.items() if len(found) > 1]

    def build(self, remarks: Sequence[str] = ()) -> Index:
        """Return the index of everything added, with what there is to say of it."""
        facts = np.array(self._facts, dtype=np.int64).reshape(-1, 4)
        counts = [len(conformers) for conformers in self._conformers]
        none = np.zeros(0, dtype=np.int64)
        return Index(
            keys=self._keys,
            groups=self._groups,
            smiles=self._smiles,
            subsets=self._subsets,
            elements=self._elements,
            n_atoms=facts[:, 0].copy(),
            charge=facts[:, 1].copy(),
            multiplicity=facts[:, 2].copy(),
            periodic=facts[:, 3].astype(bool),
            record=np.repeat(np.arange(len(counts), dtype=np.int64), counts),
            conformer=np.concatenate([none, *self._conformers]),
            remarks=tuple(remarks),
        )


def check_numbers(numbers: NDArray[Any], where: str) -> NDArray[np.int64]:
    """Return atomic numbers as int64.

    Args:
        numbers: Shape (n_atoms,), atomic numbers as the file has them.
        where: Whose they are, for messages.

    Raises:
        DataError: There are none, or one is not that of an element.
    """
    if numbers.ndim != 1 or numbers.size == 0 or numbers.dtype.kind not in "iu":
        msg = f"{where} has atomic numbers of shape {numbers.shape} and type "
        msg += f"{numbers.dtype}; expected at least one integer per structure"
        raise DataError(msg)
    heaviest = 118
    if numbers.min() < 1 or numbers.max() > heaviest:
        wrong = numbers[(numbers < 1) | (numbers > heaviest)][0]
        msg = f"{where} has the atomic number {wrong}; expected 1 to {heaviest}"
        raise DataError(msg)
    return numbers.astype(np.int64)


def gather_structures(
    index: Index,
    rows: Rows,
    positions: Sequence[NDArray[np.float64]],
    numbers: Sequence[NDArray[np.int64]],
    *,
    cell: Tensor | None = None,
    pbc: Tensor | None = None,
) -> Structures:
    """Return rows of an index as one batch, float64.

    Args:
        index: The index.
        rows: Shape (n_structures,), which rows.
        positions: Per row shape (n, 3), in Å.
        numbers: Per row shape (n,), atomic numbers.
        cell: Shape (n_structures, 3, 3), rows are lattice vectors, in Å.
        pbc: Shape (n_structures, 3), bool.

    Raises:
        DataError: A position is not finite, or the file has changed; the structure is
            named.
    """
    return structures_at(
        index,
        rows,
        end_to_end(index, rows, [np.empty((0, 3)), *positions]),
        end_to_end(index, rows, [np.empty(0, np.int64), *numbers]),
        cell=cell,
        pbc=pbc,
    )


def end_to_end(index: Index, rows: Rows, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return what every structure has of its atoms as one array.

    Args:
        index: The index.
        rows: Shape (n_structures,), which rows.
        values: An empty array, then one per structure, as long as it has atoms.

    Raises:
        DataError: One has as many atoms as it had not when the index was made.
    """
    found = np.array([len(one) for one in values[1:]], dtype=np.int64)
    known = index.n_atoms[index.record[rows]]
    if not np.array_equal(found, known):
        first = int(np.argmax(found != known))
        msg = f"structure {index.ids(rows)[first]!r} has {found[first]} atoms and had "
        msg += (
            f"{known[first]} before: its file has changed meanwhile; repeat the command"
        )
        raise DataError(msg)
    return np.concatenate(values)


def structures_at(
    index: Index,
    rows: Rows,
    positions: NDArray[np.float64],
    numbers: NDArray[np.int64],
    *,
    cell: Tensor | None = None,
    pbc: Tensor | None = None,
) -> Structures:
    """Return the same of atoms that are laid end to end.

    Args:
        index: The index.
        rows: Shape (n_structures,), which rows.
        positions: Shape (n_atoms, 3), in Å.
        numbers: Shape (n_atoms,), atomic numbers.
        cell: Shape (n_structures, 3, 3), rows are lattice vectors, in Å; zeros if none.
        pbc: Shape (n_structures, 3), bool; False when left out.

    Raises:
        DataError: A position is not finite; the structure is named.
    """
    ids, records = index.ids(rows), index.record[rows]
    sizes = index.n_atoms[records]
    bad = ~np.isfinite(positions).all(axis=1)
    if bad.any():
        first = int(np.searchsorted(np.cumsum(sizes), np.argmax(bad), side="right"))
        msg = f"structure {ids[first]!r} has a position that is not finite; correct or "
        raise DataError(msg + "remove it")
    n, names = len(ids), records.tolist()
    return Structures(
        positions=torch.from_numpy(positions),
        numbers=torch.from_numpy(numbers.astype(np.int64, copy=False)),
        system=torch.from_numpy(np.repeat(np.arange(n), sizes)),
        cell=torch.zeros((n, 3, 3), dtype=torch.float64)
        if cell is None
        else cell.double(),
        pbc=torch.zeros((n, 3), dtype=torch.bool) if pbc is None else pbc,
        charge=torch.from_numpy(index.charge[records]),
        multiplicity=torch.from_numpy(index.multiplicity[records]),
        ids=tuple(ids),
        group=tuple(index.groups[record] for record in names),
        smiles=tuple(index.smiles[record] for record in names),
    )


def labels_at(
    index: Index,
    rows: Rows,
    energies: NDArray[np.float64],
    forces: NDArray[np.float64],
    source: str,
) -> Labels:
    """Return reference labels of rows of an index; those that are not finite are named.

    Args:
        index: The index.
        rows: Shape (n_structures,), which rows.
        energies: Shape (n_structures,), in eV.
        forces: Shape (n_atoms, 3), atoms laid end to end, in eV/Å.
        source: Where they come from.
    """
    bad = ~np.isfinite(energies)
    owner = np.repeat(np.arange(len(energies)), index.n_atoms[index.record[rows]])
    bad[owner[~np.isfinite(forces).all(axis=1)]] = True
    reason = "reference label is not finite"
    return Labels(
        energy=torch.from_numpy(energies),
        forces=torch.from_numpy(forces),
        source=source,
        failures=dict.fromkeys(np.flatnonzero(bad).tolist(), reason),
    )


def as_labels(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return energies or forces; NaN where a number is too large to be one.

    Args:
        values: Any shape, in eV or eV/Å.
    """
    return np.where(np.abs(values) < LARGEST_LABEL, values, np.nan)


def stack_forces(forces: Iterable[NDArray[np.float64]]) -> Tensor:
    """Return forces (n, 3) of several structures as one tensor (n_atoms, 3), in eV/Å."""
    empty = torch.zeros((0, 3), dtype=torch.float64)
    return torch.cat([empty, *(torch.from_numpy(values) for values in forces)])
