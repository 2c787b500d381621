"""NumPy archives of one molecule's frames: MD17, rMD17, MD22 and their relatives."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError
from mlffbench.core.files import require_file, sha256_of
from mlffbench.core.guards.sizes import shown
from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows
from mlffbench.core.structures import Structures
from mlffbench.datasets.files.frame import hill_formula
from mlffbench.datasets.files.npz_arrays import member_names, open_array
from mlffbench.datasets.files.records import (
    NOT_STATED,
    IndexBuilder,
    as_labels,
    check_numbers,
    gather_structures,
    stack_forces,
)
from mlffbench.datasets.statements.cells import Cells, cells_in
from mlffbench.datasets.statements.census import Census
from mlffbench.datasets.statements.charge_spin import (
    ChargeSpin,
    read_charge_spin,
    says_charge_or_spin,
)
from mlffbench.datasets.statements.stated_units import (
    FrameUnits,
    GivenUnits,
    Stated,
    settle,
    stated_units,
    text_of,
)

ENERGIES = ("E", "energies", "energy")
FORCES = ("F", "forces")
POSITIONS = ("R", "coords", "positions", "coordinates")
NUMBERS = ("z", "nuclear_charges", "atomic_numbers", "numbers")
_ONLY_RMD17 = {"coords", "nuclear_charges", "old_indices"}
_SYMBOL = {symbol: number for number, symbol in enumerate(SYMBOLS)}
_PER_FRAME = 2
"""Dimensions of atomic numbers that are repeated for every frame."""


class _Arrays(NamedTuple):
    """The arrays of a file, mapped."""

    numbers: NDArray[np.int64]
    positions: NDArray[Any]
    energies: NDArray[Any]
    forces: NDArray[Any]


class NpzFile:
    """An npz file of frames of one molecule, read frame by frame.

    Arrays are called as in MD17 and MD22 (``z R E F``), rMD17 (``nuclear_charges coords
    energies forces``) or in words (``atomic_numbers positions energy forces``). Nothing
    is unpickled.

    Units are those the file states (``r_unit``, ``e_unit``), else those given; rMD17's
    are known. A file that states none and for which none are given is refused: MD17 is in
    kcal/mol, but others use the same names for eV. Charge and spin are read as everywhere
    (``Q``, ``charge``, ``spin``), one for the file or one for each frame; a ``cell`` or
    ``lattice`` makes the frames periodic.

    The molecule key is the Hill formula. The id of a structure is the file's stem and the
    frame's number: ``md17_aspirin/17``.

    Args:
        path: The file.
        level_of_theory: Of the labels.
        energy_unit: Unit of the energies where the file states none.
        length_unit: Unit of the positions where the file states none.
        forces_unit: Unit of the forces; energy over length when left out.

    Raises:
        DataError: The file is missing or a unit unknown; later, whatever is wrong inside.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        level_of_theory: str | None = None,
        energy_unit: str | None = None,
        length_unit: str | None = None,
        forces_unit: str | None = None,
    ) -> None:
        self.path = require_file(path)
        self.level_of_theory = level_of_theory or NOT_STATED
        self._given = GivenUnits(energy_unit, length_unit, forces_unit).check()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped arrays behind: whoever unpickles opens the file anew."""
        kept_out = {"_arrays", "_names", "_cells"}
        return {k: v for k, v in self.__dict__.items() if k not in kept_out}

    @cached_property
    def index(self) -> Index:
        """What the file holds: one record with all frames of one charge and spin."""
        arrays = self._arrays
        self._units  # noqa: B018 - units are checked before anything is computed
        builder = IndexBuilder()
        census = Census(f"frames of {self.path}")
        states = self._states(len(arrays.positions))
        for number, state in enumerate(states):
            geometry = np.ascontiguousarray(arrays.positions[number]).tobytes()
            cell = self._cells.bytes_of(number)
            census.add(f"frame {number} of {self.path}", geometry + cell, state)
        for state in dict.fromkeys(states):
            frames = [number for number, other in enumerate(states) if other == state]
            builder.add(
                self.path.stem,
                arrays.numbers,
                np.array(frames, dtype=np.int64),
                group=hill_formula(arrays.numbers),
                charge=state.charge,
                multiplicity=state.multiplicity,
                periodic=self._cells.periodic,
            )
        return builder.build(census.remarks())

    @cached_property
    def sha256(self) -> str:
        """Checksum of the file."""
        return sha256_of(self.path)

    def structures(self, rows: Rows) -> Structures:
        """Return structures by row of the index, float64, in Å.

        Raises:
            DataError: A position is not finite.
        """
        length = self._units.factors[0]
        frames = self.index.conformer[rows]
        positions = self._frames(self._arrays.positions, rows) * length
        cell, pbc = self._cells.of(frames, length)
        numbers = [self._arrays.numbers] * len(positions)
        return gather_structures(
            self.index, rows, list(positions), numbers, cell=cell, pbc=pbc
        )

    def labels(self, rows: Rows) -> Labels:
        """Return reference labels by row of the index, float64, in eV and eV/Å."""
        _, energy, force = self._units.factors
        energies = as_labels(self._frames(self._arrays.energies, rows).ravel() * energy)
        forces = as_labels(self._frames(self._arrays.forces, rows) * force)
        finite = np.isfinite(energies) & np.isfinite(forces).all((1, 2))
        return Labels(
            energy=torch.from_numpy(energies),
            forces=stack_forces(forces),
            source=f"{self.level_of_theory}, energies as in the file",
            failures={
                int(i): "reference label is not finite" for i in np.flatnonzero(~finite)
            },
        )

    def _frames(self, values: NDArray[Any], rows: Rows) -> NDArray[np.float64]:
        return np.asarray(values[self.index.conformer[rows]], dtype=np.float64)

    def _states(self, n_frames: int) -> list[ChargeSpin]:
        """Return charge and spin of every frame."""
        facts = {
            name: self._open(name)
            for name in sorted(self._names)
            if says_charge_or_spin(name) and name not in NUMBERS
        }
        per_frame = {
            name: values
            for name, values in facts.items()
            if values.ndim and len(values) == n_frames and n_frames > 1
        }
        fixed = {name: v for name, v in facts.items() if name not in per_frame}
        known: dict[bytes, ChargeSpin] = {}
        states = []
        for number in range(n_frames):
            here = {name: values[number] for name, values in per_frame.items()}
            key = b"".join(
                np.ascontiguousarray(value).tobytes() for value in here.values()
            )
            if key not in known:
                where = f"frame {number} of {self.path}" if here else f"{self.path}"
                known[key] = self._state({**fixed, **here}, where)
            states.append(known[key])
        return states

    def _state(self, facts: dict[str, NDArray[Any]], where: str) -> ChargeSpin:
        plain = {
            name: value if value.size > 1 else value.reshape(-1)[0]
            for name, value in facts.items()
            if value.size
        }
        return read_charge_spin(
            plain,
            {},
            numbers=self._arrays.numbers,
            smiles_charge=None,
            periodic=self._cells.periodic,
            where=where,
        )

    @cached_property
    def _cells(self) -> Cells:
        names = {name: self._open(name) for name in sorted(self._names)}
        return cells_in(names, len(self._arrays.positions), self.path)

    @cached_property
    def _names(self) -> frozenset[str]:
        return member_names(self.path)

    def _open(self, name: str) -> NDArray[Any]:
        return open_array(self.path, name)

    @cached_property
    def _arrays(self) -> _Arrays:
        numbers = self._numbers(open_array(self.path, self._name(NUMBERS, "elements")))
        arrays = _Arrays(
            numbers,
            open_array(self.path, self._name(POSITIONS, "positions")),
            open_array(self.path, self._name(ENERGIES, "energies")),
            open_array(self.path, self._name(FORCES, "forces")),
        )
        n_frames = arrays.positions.shape[0] if arrays.positions.ndim else 0
        per_atom = (n_frames, len(numbers), 3)
        for what, values, shapes in (
            ("positions", arrays.positions, (per_atom,)),
            ("forces", arrays.forces, (per_atom,)),
            ("energies", arrays.energies, ((n_frames,), (n_frames, 1))),
        ):
            if values.shape not in shapes or values.dtype.kind not in "iuf":
                msg = f"{self.path} has {what} of shape {values.shape} and type "
                msg += f"{values.dtype}; expected numbers of shape {shapes[0]}"
                raise DataError(msg)
        return arrays

    def _name(self, names: Sequence[str], what: str) -> str:
        found = [name for name in names if name in self._names]
        if not found:
            there = shown(", ".join(sorted(self._names)) or "nothing")
            msg = f"{self.path} has no {what}; expected an array called "
            raise DataError(msg + f"{' or '.join(names)}; it has: {there}")
        return found[0]

    def _numbers(self, values: NDArray[Any]) -> NDArray[np.int64]:
        if values.ndim == _PER_FRAME and len(values):
            if (values != values[0]).any():
                msg = f"{self.path} has frames of different molecules; expected one "
                raise DataError(msg + "molecule per file: write one file for each")
            values = np.asarray(values[0])
        if values.dtype.kind in "US":
            symbols = [text_of(value) for value in values.reshape(-1)]
            values = np.array([_SYMBOL.get(symbol, 0) for symbol in symbols])
        return check_numbers(np.asarray(values), str(self.path))

    @cached_property
    def _units(self) -> FrameUnits:
        """The units that the file, its layout and its user agree on."""
        known = []
        if self._names >= _ONLY_RMD17:
            known = [
                Stated("energy", "kcal/mol", "its layout, rMD17,"),
                Stated("length", "angstrom", "its layout, rMD17,"),
            ]
        names = sorted(name for name in self._names if "unit" in name.lower())
        said = {name: text_of(self._open(name)) for name in names}
        where = f"{self.path}"
        stated = [*self._stated(said), *known]
        there = {one.kind for one in stated}
        for kind, key in (("length", "r_unit"), ("energy", "e_unit")):
            if kind not in there and not getattr(self._given, kind):
                msg = (
                    f"{self.path} states no unit of {kind} ({key!r}) and none is given; "
                )
                msg += "state energy_unit and length_unit of the split, or units in a "
                msg += "description of the file (MD17: kcal/mol and angstrom)"
                raise DataError(msg)
        return settle(iter(stated), self._given, where, GivenUnits())

    def _stated(self, said: dict[str, str]) -> Iterator[Stated]:
        try:
            yield from stated_units(said)
        except DataError as error:
            msg = f"{self.path}: {error}"
            raise DataError(msg) from error
