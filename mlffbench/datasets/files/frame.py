"""One frame of a file of ASE structures, and what its annotations mean."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from ase.formula import Formula
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError
from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows
from mlffbench.core.structures import Structures
from mlffbench.core.units import energy_factor, force_factor, length_factor
from mlffbench.datasets.files.records import (
    IndexBuilder,
    check_numbers,
    gather_structures,
    lowest_multiplicity,
    stack_forces,
)
from mlffbench.datasets.molecules.smiles import formal_charge

ENERGY_KEYS = ("REF_energy", "energy")
FORCES_KEYS = ("REF_forces", "forces")
_CHARGE_KEYS = ("total_charge", "charge")
_SPIN_KEYS = ("total_spin", "spin")
_LARGEST = 1000  # of any charge or multiplicity that is not a mistake
_GROUP_KEYS = ("group", "mol_id", "molecule", "smiles")


class FrameUnits(NamedTuple):
    """Units of a file; forces are energy over length unless their unit is given."""

    energy: str
    length: str
    forces: str | None = None

    def check(self) -> "FrameUnits":
        """Return the units, both known.

        Raises:
            DataError: One is not a known unit.
        """
        energy_factor(self.energy)
        length_factor(self.length)
        if self.forces:
            force_factor(self.forces)
        return self


class Frame(NamedTuple):
    """One structure with its labels, as the file has them.

    Attributes:
        where: ``"frame 3 of train.xyz"``, for messages.
        numbers: Shape (n_atoms,), atomic numbers.
        positions: Shape (n_atoms, 3), in the file's unit.
        cell: Shape (3, 3), rows are lattice vectors.
        pbc: Shape (3,), bool.
        energy: The energy, None where there is none.
        forces: Shape (n_atoms, 3), None where there are none.
    """

    where: str
    numbers: NDArray[Any]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    pbc: NDArray[np.bool_]
    energy: Any
    forces: Any


def add_frame(
    builder: IndexBuilder,
    key: str,
    conformer: int,
    numbers: NDArray[Any],
    facts: Mapping[str, Any],
    *,
    periodic: bool,
    where: str,
) -> None:
    """Add one frame to an index.

    Args:
        builder: The index under construction.
        key: Name of the file; with the conformer it is the structure's id.
        conformer: Number of the frame.
        numbers: Shape (n_atoms,), atomic numbers.
        facts: Everything the file says of the frame by name: charge (else that of the
            SMILES, else 0), spin multiplicity 2S + 1, group, SMILES.
        periodic: Whether any direction is periodic.
        where: What to call the frame in messages.

    Raises:
        DataError: A fact is not what it must be.
    """
    numbers = check_numbers(numbers, where)
    smiles = _text(facts, ("smiles",))
    charge = _integer(facts, _CHARGE_KEYS, where)
    if charge is None:
        charge = _charge_of(smiles, where)
    lowest = lowest_multiplicity(numbers, charge)
    multiplicity = _integer(facts, _SPIN_KEYS, where)
    if multiplicity is not None and not periodic and (multiplicity - lowest) % 2:
        msg = f"{where} has spin {multiplicity}, impossible for {numbers.sum() - charge} "
        raise DataError(msg + "electrons; expected the multiplicity 2S + 1: correct it")
    if multiplicity is not None and multiplicity < 1:
        msg = f"{where} has spin {multiplicity}; expected the multiplicity 2S + 1 ≥ 1"
        raise DataError(msg)
    builder.add(
        key,
        numbers,
        np.array([conformer], dtype=np.int64),
        group=_text(facts, _GROUP_KEYS) or hill_formula(numbers),
        charge=charge,
        multiplicity=multiplicity,
        smiles=smiles,
        periodic=periodic,
    )


def require_labels(*, energy: bool, forces: bool, where: str) -> None:
    """Check that a frame has both labels.

    Raises:
        DataError: It has not; the message says how they are to be called.
    """
    if energy and forces:
        return
    what, keys = ("energy", ENERGY_KEYS) if forces else ("forces", FORCES_KEYS)
    msg = f"{where} has no {what}; expected {keys[0]!r} or {keys[1]!r}: label it "
    raise DataError(msg + f"({keys[0]}) or remove it")


def frames_to_structures(
    index: Index, rows: Rows, frames: Iterable[Frame], units: FrameUnits
) -> Structures:
    """Return frames as one batch, float64; a frame that is not periodic has no cell.

    Raises:
        DataError: A position is not finite, or a periodic frame has no cell.
    """
    length = length_factor(units.length)
    positions, numbers, cells, pbc = [], [], [], []
    for frame in frames:
        periodic = bool(frame.pbc.any())
        if periodic and not _spans(frame.cell[frame.pbc]):
            msg = f"{frame.where} is periodic, but not along a lattice vector; expected "
            raise DataError(msg + "a Lattice, or pbc = F F F for a molecule")
        positions.append(frame.positions * length)
        numbers.append(check_numbers(frame.numbers, frame.where))
        cells.append(frame.cell * length * periodic)
        pbc.append(frame.pbc)
    return gather_structures(
        index,
        rows,
        positions,
        numbers,
        cell=torch.tensor(np.array(cells).reshape(-1, 3, 3), dtype=torch.float64),
        pbc=torch.tensor(np.array(pbc).reshape(-1, 3), dtype=torch.bool),
    )


def frames_to_labels(frames: Iterable[Frame], units: FrameUnits, source: str) -> Labels:
    """Return the labels of frames, float64; NaN where a frame has none.

    Raises:
        DataError: A label is not finite or has the wrong shape; the frame is named.
    """
    energies: list[float] = []
    forces: list[NDArray[np.float64]] = []
    failures: dict[int, str] = {}
    for i, frame in enumerate(frames):
        n_atoms = len(frame.numbers)
        if frame.energy is None and frame.forces is None:
            failures[i] = "the file has no labels for it"
        energies.append(_label(frame.energy, (), "energy", frame.where).item())
        forces.append(_label(frame.forces, (n_atoms, 3), "forces", frame.where))
    energy = energy_factor(units.energy)
    per_length = energy / length_factor(units.length)
    if units.forces:
        per_length = force_factor(units.forces)
    return Labels(
        energy=torch.tensor(energies, dtype=torch.float64) * energy,
        forces=stack_forces(forces) * per_length,
        source=source,
        failures=failures,
    )


def first_of(names: Sequence[str], *places: Mapping[str, Any]) -> Any:
    """Return the first value found under any of the names, names before places."""
    for name in names:
        for place in places:
            if name in place:
                return place[name]
    return None


def _label(
    value: Any, shape: tuple[int, ...], name: str, where: str
) -> NDArray[np.float64]:
    if value is None:
        return np.full(shape, np.nan)
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"{where} has {name} that are no numbers: {str(value)[:60]!r}; correct them"
        raise DataError(msg) from error
    if array.shape != shape:
        msg = f"{where} has {name} of shape {array.shape}; expected {shape}: correct them"
        raise DataError(msg)
    if not np.isfinite(array).all():
        msg = f"{where} has {name} that are not finite; correct or remove the frame"
        raise DataError(msg)
    return array


def _integer(facts: Mapping[str, Any], names: Sequence[str], where: str) -> int | None:
    value = first_of(names, facts)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if isinstance(value, bool) or not number.is_integer() or abs(number) > _LARGEST:
        name = next(name for name in names if name in facts)
        msg = f"{where} has {name} = {str(value)[:40]!r}; expected a whole number"
        raise DataError(msg)
    return int(number)


def _text(facts: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the first of some facts as text; ASE reads the SMILES of HF, F, as False."""
    value = first_of(names, facts)
    if isinstance(value, bool | np.bool_):
        return "T" if value else "F"
    return str(value) if isinstance(value, str | int | float | np.number) else ""


def _charge_of(smiles: str, where: str) -> int:
    try:
        return formal_charge(smiles)
    except DataError as error:
        msg = f"{where}: {error}"
        raise DataError(msg) from error


def _spans(vectors: NDArray[np.float64]) -> bool:
    """Return whether vectors, shape (n, 3), are finite and independent."""
    finite = bool(np.isfinite(vectors).all())
    return finite and int(np.linalg.matrix_rank(vectors)) == len(vectors)


def hill_formula(numbers: NDArray[np.int64]) -> str:
    """Return the chemical formula of atomic numbers (n_atoms,), e.g. ``"C2H6O"``."""
    symbols = [SYMBOLS[number] for number in numbers]
    return str(Formula.from_list(symbols).format("hill"))
