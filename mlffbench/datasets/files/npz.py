"""NumPy archives of one molecule's frames: MD17, rMD17, MD22 and their relatives."""

import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.files import sha256_of
from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows
from mlffbench.core.structures import Structures
from mlffbench.core.units import energy_factor, force_factor, length_factor
from mlffbench.datasets.files.frame import hill_formula
from mlffbench.datasets.files.paths import require_file
from mlffbench.datasets.files.records import (
    NOT_STATED,
    IndexBuilder,
    check_numbers,
    gather_structures,
    stack_forces,
)

_FAULTS = (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, KeyError)
_LOCAL_HEADER = 30
"""Bytes before the name in the header that a zip file repeats before each member."""
_CHUNK = 1 << 20


def member_names(path: Path) -> frozenset[str]:
    """Return the names of the arrays in a file.

    Raises:
        DataError: The file is truncated or no zip file.
    """
    with _in_one_sentence(path, "it"), zipfile.ZipFile(path) as archive:
        return frozenset(name.removesuffix(".npy") for name in archive.namelist())


def open_array(path: Path, name: str) -> NDArray[Any]:
    """Return an array of a file without loading it.

    A stored member is mapped where it lies. A compressed one is unpacked into a temporary
    file, gone when the array is, and mapped there.

    Args:
        path: The file.
        name: Name of the array.

    Raises:
        DataError: The file is damaged, has no such array, or it holds Python objects.
    """
    with _in_one_sentence(path, f"array {name!r}"), zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
        with archive.open(info) as stream:
            shape, fortran, dtype, n_header = _header(stream, path, name)
            if 0 in shape or dtype.kind in "SU":
                count = int(np.prod(shape))
                raw = stream.read(count * dtype.itemsize)
                return np.frombuffer(raw, dtype, count).reshape(shape)
            if info.compress_type == zipfile.ZIP_STORED:
                offset = _data_offset(path, info) + n_header
                return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
            with tempfile.TemporaryFile(prefix="mlffbench-") as unpacked:
                n_bytes = _copy(stream, unpacked)
                if n_bytes != int(np.prod(shape)) * dtype.itemsize:
                    msg = f"it has {n_bytes} bytes, not those of shape {shape}"
                    raise ValueError(msg)
                mapped: NDArray[Any] = np.memmap(
                    cast("Any", unpacked), dtype, "r", 0, shape, "F" if fortran else "C"
                )
                return mapped


def _header(
    stream: IO[bytes], path: Path, name: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, Fortran order, type and length of the header of an array."""
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        msg = f"{path}, array {name!r} holds pickled Python objects, which are never "
        raise DataError(msg + "read; expected plain numbers: save the array as numbers")
    return shape, fortran, dtype, stream.tell()


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Return where the bytes of a stored member begin."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
    n_name = int.from_bytes(header[26:28], "little")
    n_extra = int.from_bytes(header[28:30], "little")
    return info.header_offset + _LOCAL_HEADER + n_name + n_extra


def _copy(source: IO[bytes], target: IO[bytes]) -> int:
    n_bytes = 0
    while chunk := source.read(_CHUNK):
        n_bytes += target.write(chunk)
    target.flush()
    return n_bytes


@contextmanager
def _in_one_sentence(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        reason = (str(error).strip("'\"") or type(error).__name__).splitlines()[0]
        msg = (
            f"{path}: {what} cannot be read ({reason}); expected an undamaged npz file: "
        )
        raise DataError(msg + "fetch or copy it again") from error


ENERGIES = ("E", "energies", "energy")
FORCES = ("F", "forces")
POSITIONS = ("R", "coords", "positions", "coordinates")
NUMBERS = ("z", "nuclear_charges", "atomic_numbers", "numbers")
_ONLY_RMD17 = {"coords", "nuclear_charges", "old_indices"}
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
    kcal/mol, but others use the same names for eV.

    The molecule key is the Hill formula, the charge 0. The id of a structure is the
    file's stem and the frame's number: ``md17_aspirin/17``.

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
        self._given = {"energy": energy_unit, "length": length_unit}
        self._forces_unit = forces_unit
        for unit, factor in (
            (energy_unit, energy_factor),
            (length_unit, length_factor),
            (forces_unit, force_factor),
        ):
            if unit:
                factor(unit)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped arrays behind: whoever unpickles opens the file anew."""
        return {k: v for k, v in self.__dict__.items() if k not in {"_arrays", "_names"}}

    @cached_property
    def index(self) -> Index:
        """What the file holds: one record with all frames."""
        arrays = self._arrays
        self._factors  # noqa: B018 - units are checked before anything is computed
        builder = IndexBuilder()
        builder.add(
            self.path.stem,
            arrays.numbers,
            np.arange(len(arrays.positions), dtype=np.int64),
            group=hill_formula(arrays.numbers),
            charge=0,
        )
        return builder.build()

    @cached_property
    def sha256(self) -> str:
        """Checksum of the file."""
        return sha256_of(self.path)

    def structures(self, rows: Rows) -> Structures:
        """Return structures by row of the index, float64, in Å.

        Raises:
            DataError: A position is not finite.
        """
        positions = self._frames(self._arrays.positions, rows) * self._factors[0]
        numbers = [self._arrays.numbers] * len(positions)
        return gather_structures(self.index, rows, list(positions), numbers)

    def labels(self, rows: Rows) -> Labels:
        """Return reference labels by row of the index, float64, in eV and eV/Å."""
        energies = self._frames(self._arrays.energies, rows).reshape(-1)
        forces = self._frames(self._arrays.forces, rows) * self._factors[2]
        energies = energies * self._factors[1]
        finite = np.isfinite(energies) & np.isfinite(forces).all((1, 2))
        return Labels(
            energy=torch.from_numpy(energies),
            forces=stack_forces(forces),
            source=f"{self.level_of_theory}, energies as in the file",
            failures={
                int(i): "reference label is not finite" for i in np.flatnonzero(~finite)
            },
        )

    @staticmethod
    def _frames(values: NDArray[Any], rows: Rows) -> NDArray[np.float64]:
        return np.asarray(values[np.asarray(rows)], dtype=np.float64)

    @cached_property
    def _names(self) -> frozenset[str]:
        return member_names(self.path)

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
            there = ", ".join(sorted(self._names)) or "nothing"
            msg = f"{self.path} has no {what}; expected an array called "
            raise DataError(msg + f"{' or '.join(names)}; it has: {there}")
        return found[0]

    def _numbers(self, values: NDArray[Any]) -> NDArray[np.int64]:
        if values.ndim == _PER_FRAME and len(values):
            if (values != values[0]).any():
                msg = f"{self.path} has frames of different molecules; expected one "
                raise DataError(msg + "molecule per file: write one file for each")
            values = np.asarray(values[0])
        return check_numbers(np.asarray(values), str(self.path))

    @cached_property
    def _factors(self) -> tuple[float, float, float]:
        """What takes positions, energies and forces into Å, eV and eV/Å."""
        length, energy = self._unit("length", "r_unit"), self._unit("energy", "e_unit")
        forces = energy_factor(energy) / length_factor(length)
        if self._forces_unit:
            forces = force_factor(self._forces_unit)
        return length_factor(length), energy_factor(energy), forces

    def _unit(self, kind: str, name: str) -> str:
        stated = ""
        if name in self._names:
            stated = _text(open_array(self.path, name))
        known = ""
        if self._names >= _ONLY_RMD17:
            known = {"length": "angstrom", "energy": "kcal/mol"}[kind]
        given = self._given[kind]
        factor = {"length": length_factor, "energy": energy_factor}[kind]
        units = [unit for unit in (stated, known, given) if unit]
        if not units:
            msg = f"{self.path} states no unit of {kind} ({name!r}) and none is given; "
            msg += "state energy_unit and length_unit (MD17: kcal/mol and angstrom)"
            raise DataError(msg)
        try:
            factors = {factor(unit) for unit in units}
        except DataError as error:
            msg = f"{self.path}: {error}"
            raise DataError(msg) from error
        if len(factors) > 1:
            msg = f"{self.path} is in {stated or known!r}, not in {given!r}; leave the "
            raise DataError(msg + "unit out or correct the file")
        return units[0]


def _text(values: NDArray[Any]) -> str:
    first = values.reshape(-1)[0] if values.size else ""
    return first.decode() if isinstance(first, bytes) else str(first)
