"""Charge and spin of a group that holds all conformers of one molecule."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.datasets.files.hdf5 import Hdf5Dataset, Hdf5Group
from mlffbench.datasets.molecules.smiles import check_composition, formal_charge
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
    smiles_charge = _charge_of(smiles, where) if smiles else None
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


def count_conformers(
    census: Census,
    where: str,
    numbers: NDArray[np.int64],
    positions: NDArray[Any],
    state: ChargeSpin,
) -> None:
    """Count the conformers of a group among those that repeat an earlier one.

    Args:
        census: Counts.
        where: What the group is called in messages.
        numbers: Shape (n_atoms,), atomic numbers.
        positions: Shape (n_conformers, n_atoms, 3).
        state: Charge and spin of all of them.
    """
    for conformer in np.ascontiguousarray(positions):
        census.add(where, numbers.tobytes() + conformer.tobytes(), state)


def _statements(group: Hdf5Group) -> Iterator[tuple[str, Any]]:
    for name in group.names():
        if _is_asked(name):
            yield name, group.dataset(name)
    for name, value in group.attributes().items():
        if _is_asked(name):
            yield name, value


@lru_cache(maxsize=10_000)
def _is_asked(name: str) -> bool:
    return says_charge_or_spin(name)


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


def _charge_of(smiles: str, where: str) -> int:
    try:
        return formal_charge(smiles)
    except DataError as error:
        msg = f"{where}: {error}"
        raise DataError(msg) from error
