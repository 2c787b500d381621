"""HDF5 files of one group per molecule in layouts other than SPICE's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.files import require_file, sha256_of
from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows
from mlffbench.core.structures import Structures
from mlffbench.core.units import energy_factor, force_factor, length_factor
from mlffbench.datasets.files.group_state import (
    ConformerCensus,
    state_of_group,
)
from mlffbench.datasets.files.hdf5 import Hdf5Dataset, Hdf5File, Hdf5Group, open_hdf5
from mlffbench.datasets.files.records import (
    NOT_STATED,
    IndexBuilder,
    as_labels,
    check_numbers,
    end_to_end,
    gather_structures,
    labels_at,
    structures_at,
)
from mlffbench.datasets.files.walk import Piece, WalkedByGroup
from mlffbench.datasets.statements.charge_spin import ChargeSpin
from mlffbench.datasets.survey.placed import Per, PlaceBuilder


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the datasets of a group are called, and their units.

    Attributes:
        name: What messages call the layout.
        positions: Dataset of the positions, (n_conformers, n_atoms, 3).
        energies: Datasets that may hold the energies; the first that is there.
        forces: Datasets that may hold the forces, likewise.
        length_unit: Unit of length; None where an attribute of each dataset says it.
        energy_unit: Unit of energy, likewise.
        unit_attribute: Name of that attribute.
        root: Group that holds the molecules; empty for the top level.
        depth: Levels of groups down to a molecule's.
        smiles: Dataset of the SMILES, if there is one.
        level_of_theory: Of the labels, where the layout says it.
    """

    name: str
    positions: str
    energies: tuple[str, ...]
    forces: tuple[str, ...]
    length_unit: str | None = None
    energy_unit: str | None = None
    unit_attribute: bytes = b"units"
    root: str = ""
    depth: int = 1
    smiles: str = ""
    level_of_theory: str = NOT_STATED


ANI_1X = Layout(
    name="ANI-1x",
    positions="coordinates",
    energies=("wb97x_dz.energy",),
    forces=("wb97x_dz.forces",),
    length_unit="angstrom",
    energy_unit="hartree",
    level_of_theory="wB97X/6-31G(d)",
)
TRANSITION1X = replace(
    ANI_1X,
    name="Transition1x",
    root="data",
    depth=2,
    positions="positions",
    energies=("wB97x_6-31G(d).energy",),
    forces=("wB97x_6-31G(d).forces",),
    energy_unit="eV",
)
MODELFORGE = Layout(
    name="modelforge",
    positions="positions",
    energies=("dft_total_energy", "wb97x_dz_energy"),
    forces=("dft_total_force", "wb97x_dz_forces"),
    unit_attribute=b"u",
    smiles="smiles",
)


class _Record(NamedTuple):
    """One group, checked; its large datasets are open, not read."""

    numbers: NDArray[np.int64]
    n_conformers: int
    smiles: str
    positions: Hdf5Dataset
    energy: Hdf5Dataset
    forces: Hdf5Dataset
    factors: tuple[float, float, float]

    @property
    def datasets(self) -> tuple[Hdf5Dataset, Hdf5Dataset, Hdf5Dataset]:
        """Positions, energies and forces."""
        return self.positions, self.energy, self.forces


class GroupedFile(WalkedByGroup):
    """An HDF5 file of one group per molecule, read conformer by conformer.

    The molecule key is the name of the group, of the outer one where they are nested.
    Charge and spin are what datasets and attributes of the group state, see
    `mlffbench.datasets.files.group_state`; the lowest multiplicity where none does. A
    conformer without a label has NaN there and is named in `Labels.failures`.

    Args:
        path: The file.
        layout: What its datasets are called.
        level_of_theory: Of the labels; what the layout says when left out.

    Raises:
        DataError: The file is missing; later, whatever is wrong inside it.
    """

    def __init__(
        self,
        path: Path | str,
        layout: Layout,
        *,
        level_of_theory: str | None = None,
    ) -> None:
        self.path = require_file(path)
        self.layout = layout
        self.level_of_theory = level_of_theory or layout.level_of_theory
        self._names: tuple[str, ...] = ("", "", "")  # of all groups, where placed
        self._factors_of_all: tuple[float, ...] = (1.0, 1.0, 1.0)

    @cached_property
    def index(self) -> Index:
        """What the file holds, by one walk over shapes and small datasets."""
        builder, census = IndexBuilder(), ConformerCensus(self.path)
        places, kinds = PlaceBuilder(self.path), set()
        with open_hdf5(self.path) as file:
            for name in self.names:
                group = self._group(file, name)
                record = self._record(group)
                places.add([group.dataset("atomic_numbers"), *record.datasets])
                kinds.add((tuple(one.name for one in record.datasets), record.factors))
                state = _state_of(group, record)
                n_conformers = record.n_conformers
                census.add(name, record.numbers, n_conformers, record.positions, state)
                builder.add(
                    name,
                    record.numbers,
                    np.arange(record.n_conformers, dtype=np.int64),
                    group=_molecule_of(name),
                    charge=state.charge,
                    multiplicity=state.multiplicity,
                    smiles=record.smiles,
                )
        if len(kinds) == 1:
            self._names, self._factors_of_all = kinds.pop()
            self._placed = places.build()
        return builder.build(census.remarks())

    @cached_property
    def sha256(self) -> str:
        """Checksum of the file."""
        return sha256_of(self.path)

    def structures(self, rows: Rows) -> Structures:
        """Return structures by row of the index, float64, in Å.

        Raises:
            DataError: The file is damaged, or a position is not finite.
        """
        found = self._placed and self._placed.read(
            self.index, rows, {self._names[0]: Per.VECTOR, "atomic_numbers": Per.ATOM}
        )
        if found:
            positions = found[0].astype(np.float64) * self._factors_of_all[0]
            return structures_at(self.index, rows, positions.reshape(-1, 3), found[1])
        each: list[NDArray[np.float64]] = [np.empty((0, 3))] * len(rows)
        numbers: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * len(rows)
        for place, record, conformer in self._runs(rows):
            values = _slice(record.positions, conformer, record.factors[0])
            for at, value in zip(place, values, strict=True):
                each[at], numbers[at] = value, record.numbers
        return gather_structures(self.index, rows, each, numbers)

    def labels(self, rows: Rows) -> Labels:
        """Return reference labels by row of the index, float64, in eV and eV/Å.

        Raises:
            DataError: The file is damaged.
        """
        _, energy, forces = self._names
        found = self._placed and self._placed.read(
            self.index, rows, {energy: Per.CONFORMER, forces: Per.VECTOR}
        )
        if found:
            energies, ends = (
                values.astype(np.float64) * factor
                for values, factor in zip(found, self._factors_of_all[1:], strict=True)
            )
            ends = ends.reshape(-1, 3)
        else:
            energies = np.empty(len(rows))
            each: list[NDArray[np.float64]] = [np.empty((0, 3))] * len(rows)
            for place, record, conformer in self._runs(rows):
                energies[place] = _slice(
                    record.energy, conformer, record.factors[1]
                ).ravel()
                values = _slice(record.forces, conformer, record.factors[2])
                for at, value in zip(place, values, strict=True):
                    each[at] = value
            ends = end_to_end(self.index, rows, [np.empty((0, 3)), *each])
        return labels_at(
            self.index,
            rows,
            as_labels(energies),
            as_labels(ends),
            f"{self.level_of_theory}, total energies",
        )

    def walk(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield the groups ``start`` to ``stop`` with all their conformers, converted.

        Raises:
            DataError: The file is damaged.
        """
        with open_hdf5(self.path) as file:
            for number, name in enumerate(self.names[start:stop], start):
                group = self._group(file, name)
                record = self._record(group)
                state = _state_of(group, record)
                everything = np.arange(record.n_conformers, dtype=np.int64)
                if len(everything) == 0:
                    continue
                yield Piece(
                    record=number,
                    key=name,
                    group=_molecule_of(name),
                    smiles=record.smiles,
                    subset="",
                    numbers=record.numbers,
                    charge=state.charge,
                    multiplicity=state.multiplicity,
                    periodic=False,
                    conformers=everything,
                    positions=_slice(record.positions, everything, record.factors[0]),
                    energy=_slice(record.energy, everything, record.factors[1]).ravel(),
                    forces=_slice(record.forces, everything, record.factors[2]),
                )

    @cached_property
    def names(self) -> list[str]:
        """Names of its groups, in the order of the walk."""
        root = self.layout.root
        with open_hdf5(self.path) as file:
            names = file.group(root).names() if root else file.names()
            for _ in range(self.layout.depth - 1):
                names = [
                    f"{name}/{inner}"
                    for name in names
                    for inner in self._group(file, name).names()
                ]
        return names

    def _group(self, file: Hdf5File, name: str) -> Hdf5Group:
        root = self.layout.root
        return file.group(f"{root}/{name}" if root else name)

    def _record(self, group: Hdf5Group) -> _Record:
        layout = self.layout
        numbers = check_numbers(
            group.dataset("atomic_numbers").numbers().reshape(-1), group.where
        )
        positions = group.dataset(layout.positions)
        energy, forces = _first(group, layout.energies), _first(group, layout.forces)
        n_conformers = positions.shape[0] if positions.shape else 0
        per_atom = (n_conformers, len(numbers), 3)
        for dataset, shapes in (
            (positions, (per_atom,)),
            (forces, (per_atom,)),
            (energy, ((n_conformers,), (n_conformers, 1))),
        ):
            if dataset.shape not in shapes:
                msg = f"{dataset.where} has shape {dataset.shape}; expected {shapes[0]}, "
                raise DataError(msg + f"as atomic_numbers and {layout.positions} say")
        return _Record(
            numbers=numbers,
            n_conformers=n_conformers,
            smiles=group.dataset(layout.smiles).text() if _has(group, layout) else "",
            positions=positions,
            energy=energy,
            forces=forces,
            factors=self._factors(positions, energy, forces),
        )

    def _factors(
        self, positions: Hdf5Dataset, energy: Hdf5Dataset, forces: Hdf5Dataset
    ) -> tuple[float, float, float]:
        """Return what takes positions, energies and forces into Å, eV and eV/Å."""
        length, unit = self.layout.length_unit, self.layout.energy_unit
        if length and unit:
            per_length = energy_factor(unit) / length_factor(length)
            return length_factor(length), energy_factor(unit), per_length
        stated = []
        for dataset in (positions, energy, forces):
            word = dataset.attribute(self.layout.unit_attribute)
            if not word:
                name = self.layout.unit_attribute.decode()
                msg = f"{dataset.where} states no unit; expected an attribute {name!r} "
                raise DataError(msg + "like 'nanometer': add it")
            stated.append(word)
        try:
            return (
                length_factor(stated[0]),
                energy_factor(stated[1]),
                force_factor(stated[2]),
            )
        except DataError as error:
            msg = f"{positions.where.rpartition(',')[0]}: {error}"
            raise DataError(msg) from error

    def _runs(
        self, rows: Rows
    ) -> Iterator[tuple[NDArray[np.intp], _Record, NDArray[np.int64]]]:
        """Yield the places in ``rows``, the record and the conformers of each record."""
        records, conformers = self.index.record[rows], self.index.conformer[rows]
        order = np.lexsort((conformers, records))
        if len(order) == 0:
            return
        breaks = np.flatnonzero(np.diff(records[order])) + 1
        with open_hdf5(self.path) as file:
            for run in np.split(order, breaks):
                name = self.index.keys[int(records[run[0]])]
                yield run, self._record(self._group(file, name)), conformers[run]


def _molecule_of(name: str) -> str:
    return name.partition("/")[0]


def _has(group: Hdf5Group, layout: Layout) -> bool:
    return bool(layout.smiles) and group.has(layout.smiles)


def _first(group: Hdf5Group, names: Sequence[str]) -> Hdf5Dataset:
    """Return the first dataset that is there; the error names the first of them."""
    there = [name for name in names if group.has(name)]
    return group.dataset(there[0] if there else names[0])


def _state_of(group: Hdf5Group, record: _Record) -> ChargeSpin:
    return state_of_group(group, record.numbers, record.n_conformers, record.smiles)


def _slice(
    dataset: Hdf5Dataset, conformers: NDArray[np.int64], factor: float
) -> NDArray[Any]:
    """Return some conformers of a dataset by one contiguous read, converted."""
    start, stop = int(conformers.min()), int(conformers.max()) + 1
    block = dataset.slice(start, stop)[conformers - start]
    return np.asarray(block * np.float64(factor), dtype=np.float64)
