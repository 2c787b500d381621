"""Charge and spin of a group that holds all conformers of one molecule."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.datasets.files.frame import charge_of
from mlffbench.datasets.files.hdf5 import Hdf5Dataset, Hdf5Group
from mlffbench.datasets.molecules.smiles import check_composition
from mlffbench.datasets.statements.census import Census
from mlffbench.datasets.statements.charge_spin import (
    ChargeSpin,
    read_charge_spin,
    says_charge_or_spin,
)

MOST_COUNTED = 200_000
"""Conformers of a file, beyond which repeated ones are not counted."""


def state_of_group(
    group: Hdf5Group, numbers: NDArray[np.int64], n_conformers: int, smiles: str
) -> ChargeSpin:
    """Return charge and spin of a molecule from all that its group says.

    Datasets and attributes whose names are about charge or spin are read as everywhere
    (`mlffbench.datasets.statements.charge_spin`); a population analysis of every
    conformer is not.

    Args:
        group: The group.
        numbers: Shape (n_atoms,), atomic numbers.
        n_conformers: Number of its structures.
        smiles: Its SMILES, empty where there is none.

    Raises:
        DataError: The SMILES has other atoms, two statements disagree or differ between
            conformers, or one is not understood.
    """
    where = group.where
    smiles_charge = charge_of(smiles, where) if smiles else None
    if smiles:
        check_composition(smiles, numbers.tolist(), where)
    facts: dict[str, Any] = {}
    for name, value in _statements(group):
        if isinstance(value, Hdf5Dataset):
            found = _one_of(value, n_conformers, len(numbers))
            if found is not None:
                facts[name] = found
        else:
            facts[name] = value
    return read_charge_spin(
        facts,
        {},
        numbers=numbers,
        smiles_charge=smiles_charge,
        periodic=False,
        where=where,
    )


class ConformerCensus:
    """Counts the conformers of a file that repeat an earlier one.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._census = Census(f"structures of {path}")
        self._seen = 0

    def add(
        self,
        name: str,
        numbers: NDArray[np.int64],
        n_conformers: int,
        positions: Hdf5Dataset,
        state: ChargeSpin,
    ) -> None:
        """Count the conformers of a group.

        Args:
            name: Of the group.
            numbers: Shape (n_atoms,), atomic numbers.
            n_conformers: How many there are.
            positions: Shape (n_conformers, n_atoms, 3); not read beyond `MOST_COUNTED`.
            state: Charge and spin of all of them.
        """
        self._seen += n_conformers
        if not n_conformers or self._seen > MOST_COUNTED:
            return
        for conformer in np.ascontiguousarray(positions.numbers()):
            key = numbers.tobytes() + conformer.tobytes()
            self._census.add(f"group {name!r}", key, state)

    def remarks(self) -> tuple[str, ...]:
        """Return what should be known; nothing where some went uncounted."""
        return self._census.remarks() if self._seen <= MOST_COUNTED else ()


def _statements(group: Hdf5Group) -> Iterator[tuple[str, Any]]:
    for name in group.names():
        if says_charge_or_spin(name):
            yield name, group.dataset(name)
    for name, value in group.attributes().items():
        if says_charge_or_spin(name):
            yield name, value


def _one_of(dataset: Hdf5Dataset, n_conformers: int, n_atoms: int) -> Any:
    """Return the one value of all conformers, or one per atom; None for populations.

    Raises:
        DataError: Conformers differ.
    """
    size = int(np.prod(dataset.shape, dtype=np.int64))
    if size == 0 or size > max(n_conformers, n_atoms):
        return None
    if dataset.holds_text:
        values: list[Any] = dataset.words()
    else:
        values = dataset.numbers().reshape(-1).tolist()
    if len(set(values)) == 1 and size in {1, n_conformers}:
        return values[0]
    if size == n_atoms and (n_conformers != n_atoms or dataset.name.endswith("s")):
        return np.asarray(values)
    shown = ", ".join(str(value) for value in sorted(set(values), key=str)[:5])
    msg = (
        f"{dataset.where} says {shown} of {n_conformers} conformers; expected one value "
    )
    raise DataError(msg + "for all conformers of a group: correct the file")
