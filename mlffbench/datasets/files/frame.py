"""One frame of a file of structures, and what its annotations mean."""

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
from mlffbench.datasets.files.records import (
    IndexBuilder,
    as_labels,
    check_numbers,
    gather_structures,
    stack_forces,
)
from mlffbench.datasets.molecules.smiles import check_composition, formal_charge
from mlffbench.datasets.statements.charge_spin import ChargeSpin, read_charge_spin
from mlffbench.datasets.statements.labels_of_file import Family
from mlffbench.datasets.statements.stated_units import FrameUnits

_GROUP_NAMES = ("group", "mol_id", "molecule")
_SMILES_NAME = "smiles"


class Header(NamedTuple):
    """What an index needs of one frame.

    Attributes:
        where: ``"frame 3 of train.xyz"``, for messages.
        number: Number of the frame in the file; part of the structure's id.
        place: Where the reader finds the frame again.
        numbers: Shape (n_atoms,), atomic numbers.
        facts: Everything the file says of the frame by name.
        per_atom: What it says of charge and spin atom by atom.
        periodic: Whether any direction is periodic.
        energies: Names under which there are energies.
        forces: Names under which there are forces.
        geometry: Bytes that are equal for equal positions and cells.
    """

    where: str
    number: int
    place: Any
    numbers: NDArray[Any]
    facts: Mapping[str, Any]
    per_atom: Mapping[str, Any]
    periodic: bool
    energies: frozenset[str]
    forces: frozenset[str]
    geometry: bytes


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
        units: Its units.
    """

    where: str
    numbers: NDArray[Any]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    pbc: NDArray[np.bool_]
    energy: Any
    forces: Any
    units: FrameUnits


def add_frame(builder: IndexBuilder, key: str, header: Header) -> ChargeSpin:
    """Add one frame to an index, and return its charge and spin.

    The molecule key is ``group``, ``mol_id`` or ``molecule``, else the SMILES, else the
    Hill formula.

    Args:
        builder: The index under construction.
        key: Name of the file; with the number it is the structure's id.
        header: The frame.

    Raises:
        DataError: A fact is not what it must be.
    """
    numbers = check_numbers(header.numbers, header.where)
    smiles = smiles_of(header.facts)
    smiles_charge = charge_of(smiles, header.where) if smiles else None
    if smiles:
        check_composition(smiles, numbers.tolist(), header.where)
    found = read_charge_spin(
        header.facts,
        header.per_atom,
        numbers=numbers,
        smiles_charge=smiles_charge,
        periodic=header.periodic,
        where=header.where,
    )
    builder.add(
        key,
        numbers,
        np.array([header.number], dtype=np.int64),
        group=_text(header.facts, _GROUP_NAMES) or smiles or hill_formula(numbers),
        charge=found.charge,
        multiplicity=found.multiplicity,
        smiles=smiles,
        periodic=header.periodic,
    )
    return found


def is_named(facts: Mapping[str, Any]) -> bool:
    """Return whether a frame says which molecule it is, by a name or a SMILES."""
    return bool(_text(facts, _GROUP_NAMES) or smiles_of(facts))


def is_lone_atom(numbers: NDArray[Any], *, periodic: bool) -> bool:
    """Return whether a frame is an isolated atom, on which no force acts."""
    return np.size(numbers) == 1 and not periodic


def frames_to_structures(index: Index, rows: Rows, frames: Iterable[Frame]) -> Structures:
    """Return frames as one batch, float64; a frame that is not periodic has no cell.

    Raises:
        DataError: A position is not finite, or a periodic frame has no cell.
    """
    positions, numbers, cells, pbc = [], [], [], []
    for frame in frames:
        periodic = bool(frame.pbc.any())
        if periodic and not frame.cell[frame.pbc].any(axis=1).all():
            msg = f"{frame.where} is periodic, but not along a lattice vector; expected "
            raise DataError(msg + "a Lattice, or pbc = F F F for a molecule")
        length = frame.units.factors[0]
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


def frames_to_labels(frames: Iterable[Frame], source: str) -> Labels:
    """Return the labels of frames, float64; NaN where a frame has none.

    A label that is not finite, or too large for one, is the failure of its frame alone.

    Raises:
        DataError: A label is no number or has the wrong shape; the frame is named.
    """
    energies: list[float] = []
    forces: list[NDArray[np.float64]] = []
    failures: dict[int, str] = {}
    for i, frame in enumerate(frames):
        n_atoms = len(frame.numbers)
        if frame.energy is None and frame.forces is None:
            failures[i] = "the file has no labels for it"
        _, per_energy, per_force = frame.units.factors
        energy = as_labels(_label(frame.energy, (), "energy", frame.where) * per_energy)
        force = _label(frame.forces, (n_atoms, 3), "forces", frame.where)
        force = as_labels(force * per_force)
        stated = [
            found
            for found, own in ((energy, frame.energy), (force, frame.forces))
            if own is not None
        ]
        if not all(np.isfinite(found).all() for found in stated):
            failures[i] = "reference label is not finite"
        energies.append(energy.item())
        forces.append(force)
    return Labels(
        energy=torch.tensor(energies, dtype=torch.float64),
        forces=stack_forces(forces),
        source=source,
        failures=failures,
    )


def labels_in(
    family: Family, energies: Mapping[str, Any], forces: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Return energy and forces of a family, None for what is not there."""
    return energies.get(family.energy), forces.get(family.forces)


def _label(
    value: Any, shape: tuple[int, ...], name: str, where: str
) -> NDArray[np.float64]:
    if value is None:
        return np.full(shape, np.nan)
    try:
        if np.asarray(value).dtype.kind in "bc":  # T or F, which would be 1 or 0
            raise ValueError(name)
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"{where} has {name} that are no numbers: {str(value)[:60]!r}; correct them"
        raise DataError(msg) from error
    if array.size == 1 and shape == ():
        array = array.reshape(())
    if array.shape != shape:
        msg = f"{where} has {name} of shape {array.shape}; expected {shape}: correct them"
        raise DataError(msg)
    return array


def smiles_of(facts: Mapping[str, Any]) -> str:
    """Return the SMILES of a frame, whatever the capitals of its name; empty if none."""
    return _text(facts, (_SMILES_NAME, "mapped_smiles", "canonical_smiles"))


def _text(facts: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the first of some facts as text; ASE reads the SMILES of HF, F, as False."""
    by_name = {name.lower(): value for name, value in facts.items()}
    value = next((by_name[name] for name in names if name in by_name), None)
    if isinstance(value, bool | np.bool_):
        return "T" if value else "F"
    return str(value) if isinstance(value, str | int | float | np.number) else ""


def charge_of(smiles: str, where: str) -> int:
    """Return the formal charge of a SMILES.

    Raises:
        DataError: It cannot be read; ``where`` begins the message.
    """
    try:
        return formal_charge(smiles)
    except DataError as error:
        msg = f"{where}: {error}"
        raise DataError(msg) from error


def hill_formula(numbers: NDArray[np.int64]) -> str:
    """Return the chemical formula of atomic numbers (n_atoms,), e.g. ``"C2H6O"``."""
    symbols = [SYMBOLS[number] for number in numbers]
    return str(Formula.from_list(symbols).format("hill"))
