"""The released SPICE layout: one HDF5 group per molecule, all its conformers inside."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

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

_FACTORS = {"energy": energy_factor, "gradient": force_factor, "length": length_factor}
_ZERO_OF_ENERGY = {"formation_energy": "energies minus isolated atoms"}


class SpiceUnits(NamedTuple):
    """Units of a file as its user knows them; None where the file is to say.

    Attributes:
        length: e.g. ``"bohr"``.
        energy: e.g. ``"hartree"``.
    """

    length: str | None = None
    energy: str | None = None

    @property
    def gradient(self) -> str | None:
        """Energy over length, None unless both are known."""
        return f"{self.energy}/{self.length}" if self.energy and self.length else None


RELEASED_UNITS = SpiceUnits(length="bohr", energy="hartree")
"""What every SPICE release uses."""


class _Record(NamedTuple):
    """One group of a file, checked; its large datasets are open, not read."""

    numbers: NDArray[np.int64]
    n_conformers: int
    group: str
    state: ChargeSpin
    smiles: str
    subset: str
    datasets: tuple[Hdf5Dataset, Hdf5Dataset, Hdf5Dataset]
    factors: tuple[float, float, float]


class SpiceFile(WalkedByGroup):
    """A file in the released SPICE layout, read conformer by conformer.

    Each top-level group is a molecule: ``atomic_numbers`` (n,), ``conformations``
    (n_conformers, n, 3), energies (n_conformers,), a gradient (n_conformers, n, 3), of
    which forces are the negative, a mapped ``smiles`` and, if it likes, a ``subset``.

    Units come from the ``units`` attribute of each dataset. SPICE 1 and 2 carry them;
    a file that does not is refused unless the caller states its units: nothing but the
    attributes makes a file a known release.

    The charge is the formal charge of the SMILES, with which every other statement of the
    group must agree. The multiplicity is what the group states, else 1, or 2 where the
    number of electrons is odd: the layout does not say, and SPICE is closed-shell.

    Args:
        path: The file.
        level_of_theory: Of the labels; the file's attribute of that name when left out.
        energy: Name of the energies.
        gradient: Name of the gradients.
        group_of: Turns a group's name into a molecule key, for layouts that spread one
            molecule over several groups; the name itself when left out.
        units: Units of datasets that state none; refused where the file says otherwise.

    Raises:
        DataError: The file is missing; later, whatever is wrong inside it.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        level_of_theory: str | None = None,
        energy: str = "dft_total_energy",
        gradient: str = "dft_total_gradient",
        group_of: Callable[[str], str] | None = None,
        units: SpiceUnits | None = None,
    ) -> None:
        self.path = require_file(path)
        self._level_of_theory = level_of_theory
        self._energy = energy
        self._gradient = gradient
        self._group_of = group_of
        self._units = units or SpiceUnits()
        self._of_all: dict[str, float] = {}  # factors that all groups were found to share

    @cached_property
    def index(self) -> Index:
        """What the file holds, by one walk over shapes and small datasets."""
        builder, census = IndexBuilder(), ConformerCensus(self.path)
        factors: set[tuple[float, float, float]] = set()
        places = PlaceBuilder(self.path)
        with open_hdf5(self.path) as file:
            for name in self.names:
                group = file.group(name)
                record = self._record(name, group)
                places.add([group.dataset("atomic_numbers"), *record.datasets])
                census.add(
                    name,
                    record.numbers,
                    record.n_conformers,
                    record.datasets[0],
                    record.state,
                )
                builder.add(
                    name,
                    record.numbers,
                    np.arange(record.n_conformers, dtype=np.int64),
                    group=record.group,
                    charge=record.state.charge,
                    multiplicity=record.state.multiplicity,
                    smiles=record.smiles,
                    subset=record.subset,
                )
                factors.add(record.factors)
        if len(factors) == 1:
            names = ("conformations", self._gradient, self._energy)
            self._of_all = dict(zip(names, factors.pop(), strict=True))
            self._placed = places.build()
        return builder.build(census.remarks())

    def walk(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield the groups ``start`` to ``stop`` with all their conformers, converted.

        Raises:
            DataError: The file is damaged.
        """
        with open_hdf5(self.path) as file:
            for number, name in enumerate(self.names[start:stop], start):
                record = self._record(name, file.group(name))
                if record.n_conformers == 0:
                    continue
                positions, gradients, energies = (
                    dataset.numbers() * np.float64(factor)
                    for dataset, factor in zip(
                        record.datasets, record.factors, strict=True
                    )
                )
                yield Piece(
                    record=number,
                    key=name,
                    group=record.group,
                    smiles=record.smiles,
                    subset=record.subset,
                    numbers=record.numbers,
                    charge=record.state.charge,
                    multiplicity=record.state.multiplicity,
                    periodic=False,
                    conformers=np.arange(record.n_conformers, dtype=np.int64),
                    positions=positions,
                    energy=energies,
                    forces=-gradients,
                )

    @cached_property
    def names(self) -> list[str]:
        """Names of its groups, in the order of the walk."""
        with open_hdf5(self.path) as file:
            return file.names()

    @cached_property
    def level_of_theory(self) -> str:
        """Level of theory of the labels: as given, else as the file says."""
        if self._level_of_theory is not None:
            return self._level_of_theory
        with open_hdf5(self.path) as file:
            return file.attribute("level_of_theory") or NOT_STATED

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
            self.index, rows, {"conformations": Per.VECTOR, "atomic_numbers": Per.ATOM}
        )
        if found:
            positions = found[0].astype(np.float64) * self._of_all["conformations"]
            return structures_at(self.index, rows, positions.reshape(-1, 3), found[1])
        numbers: dict[int, NDArray[np.int64]] = {}

        def note_numbers(record: int, group: Hdf5Group) -> None:
            if record not in numbers:
                numbers[record] = _numbers(group)

        with open_hdf5(self.path) as file:
            (each,) = self._read(file, rows, ("conformations",), note_numbers)
        records = self.index.record[rows].tolist()
        atoms = [numbers[record] for record in records]
        return gather_structures(self.index, rows, each, atoms)

    def labels(self, rows: Rows) -> Labels:
        """Return reference labels by row of the index, float64, in eV and eV/Å.

        A released file may hold NaN for single conformers: such values are kept as they
        are, and the structure is named in `Labels.failures`.

        Raises:
            DataError: The file is damaged.
        """
        found = self._placed and self._placed.read(
            self.index, rows, {self._energy: Per.CONFORMER, self._gradient: Per.VECTOR}
        )
        if found:
            energies, gradients = (
                values.astype(np.float64) * self._of_all[name]
                for name, values in zip(
                    (self._energy, self._gradient), found, strict=True
                )
            )
            gradients = gradients.reshape(-1, 3)
        else:
            with open_hdf5(self.path) as file:
                energy, each = self._read(file, rows, (self._energy, self._gradient))
            energies = np.array(energy)
            gradients = end_to_end(self.index, rows, [np.empty((0, 3)), *each])
        zero = _ZERO_OF_ENERGY.get(self._energy, "total energies")
        return labels_at(
            self.index,
            rows,
            as_labels(energies),
            -as_labels(gradients),
            f"{self.level_of_theory}, {zero}",
        )

    def _record(self, name: str, group: Hdf5Group) -> _Record:
        numbers = _numbers(group)
        conformations = group.dataset("conformations")
        n_conformers = conformations.shape[0] if conformations.shape else 0
        gradient, energy = group.dataset(self._gradient), group.dataset(self._energy)
        per_atom = (n_conformers, len(numbers), 3)
        datasets = (conformations, gradient, energy)
        for dataset, shape in zip(
            datasets, (per_atom, per_atom, (n_conformers,)), strict=True
        ):
            # a release can filter out every conformer of a molecule: shape (0,)
            if dataset.shape != shape and (n_conformers or dataset.shape[:1] != (0,)):
                msg = f"{dataset.where} has shape {dataset.shape}; expected {shape}, as "
                raise DataError(msg + "atomic_numbers and conformations say")
        smiles = group.dataset("smiles").text()
        if not smiles:
            msg = (
                f"{group.where} has an empty SMILES; expected a mapped one, to know the "
            )
            raise DataError(msg + "charge")
        return _Record(
            numbers=numbers,
            n_conformers=n_conformers,
            group=self._group_of(name) if self._group_of else name,
            state=state_of_group(group, numbers, n_conformers, smiles),
            smiles=smiles,
            subset=group.dataset("subset").text() if group.has("subset") else "",
            datasets=datasets,
            factors=(
                self._factor(conformations),
                self._factor(gradient),
                self._factor(energy),
            ),
        )

    def _factor(self, dataset: Hdf5Dataset) -> float:
        """Return what takes a dataset's values into Å, eV or eV/Å."""
        kinds = {self._energy: "energy", self._gradient: "gradient"}
        kind = kinds.get(dataset.name, "length")
        stated, given = dataset.unit, getattr(self._units, kind)
        if not stated and not given:
            known = getattr(RELEASED_UNITS, kind)
            msg = f"{dataset.where} states no units; expected a 'units' attribute like "
            msg += f"{known!r}: add it, or state energy_unit and length_unit of the split"
            raise DataError(msg + " in the suite file")
        try:
            factors = {_FACTORS[kind](unit) for unit in (stated, given) if unit}
        except DataError as error:
            msg = f"{dataset.where}: {error}"
            raise DataError(msg) from error
        if len(factors) > 1:
            msg = f"{dataset.where} is in {stated!r} by its 'units' attribute, not in "
            raise DataError(msg + f"{given!r}; leave the unit out or correct the file")
        return factors.pop()

    def _read(
        self,
        file: Hdf5File,
        rows: Rows,
        names: Sequence[str],
        visit: Callable[[int, Hdf5Group], None] = lambda _record, _group: None,
    ) -> list[list[NDArray[np.float64]]]:
        """Return, per dataset, one float64 array per row, in inside units.

        Args:
            file: The file.
            rows: Rows of the index.
            names: Of the datasets.
            visit: Shown every group that is read, with its record.
        """
        records, conformers = self.index.record[rows], self.index.conformer[rows]
        order = np.lexsort((conformers, records))
        breaks = (np.diff(records[order]) != 0) | (np.diff(conformers[order]) > 1)
        found = [[np.empty(0)] * len(order) for _ in names]
        for run in np.split(order, np.flatnonzero(breaks) + 1) if len(order) else []:
            record = int(records[run[0]])
            group = file.group(self.index.keys[record])
            visit(record, group)
            start, stop = int(conformers[run[0]]), int(conformers[run[-1]]) + 1
            for name, values in zip(names, found, strict=True):
                dataset = group.dataset(name)
                factor = self._of_all.get(name) or self._factor(dataset)
                block = dataset.slice(start, stop) * factor
                for place in run.tolist():
                    values[place] = block[conformers[place] - start]
        return found


def _numbers(group: Hdf5Group) -> NDArray[np.int64]:
    dataset = group.dataset("atomic_numbers")
    return check_numbers(dataset.numbers(), group.where)
