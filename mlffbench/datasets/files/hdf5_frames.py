"""HDF5 files of other tools, frame by frame: ANI, AIMNet, QM7-X, TorchMD-NET, MACE."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError
from mlffbench.datasets.files.frame import Frame, Header
from mlffbench.datasets.files.frame_file import FrameFile
from mlffbench.datasets.files.hdf5 import Hdf5Dataset, Hdf5File, Hdf5Group, open_hdf5
from mlffbench.datasets.statements.stated_units import (
    FrameUnits,
    GivenUnits,
    Kind,
    Stated,
    settle,
)

_NUMBER_OF = {symbol: number for number, symbol in enumerate(SYMBOLS)}
_DEEPEST = 5
_ONE_FRAME, _FRAMES = 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLayout:
    """What another tool calls the datasets of a group, and its published units.

    Attributes:
        name: What messages call the layout.
        numbers: Dataset of atomic numbers or symbols, per group or per frame.
        positions: Dataset of positions, (n_frames, n_atoms, 3) or (n_atoms, 3).
        energy: Dataset of energies; behind a slash, of a group in the group.
        forces: Dataset of forces, likewise.
        units: Units where no attribute says them; None where the tool fixes none.
        molecule: Which part of the path names the molecule; None: the formula.
    """

    name: str
    numbers: str
    positions: str
    energy: str
    forces: str
    units: GivenUnits | None
    molecule: int | None = None


def _layout(
    name: str, datasets: str, units: GivenUnits | None, molecule: int | None = None
) -> FrameLayout:
    """Return a layout from its four datasets, separated by spaces."""
    roles = ("numbers", "positions", "energy", "forces")
    called: dict[str, Any] = dict(zip(roles, datasets.split(), strict=True))
    return FrameLayout(name=name, units=units, molecule=molecule, **called)


_ANI = GivenUnits("hartree", "angstrom", "hartree/angstrom")
_EV = GivenUnits("eV", "angstrom")
FRAME_LAYOUTS = (
    _layout("ANI", "species coordinates energies forces", _ANI, -1),
    _layout("AIMNet", "numbers coord energy forces", _EV),
    _layout("QM7-X", "atNUM atXYZ ePBE0+MBD totFOR", _EV, 0),
    _layout("TorchMD-NET", "types pos energy forces", None, -1),
    _layout("MACE", "atomic_numbers positions properties/energy properties/forces", _EV),
)


def frame_layout_of(file: Hdf5File) -> FrameLayout | None:
    """Return the layout of the first group that has one, None where none has."""
    for _, group in _groups(file, only_first=True):
        for layout in FRAME_LAYOUTS:
            if _is(group, layout):
                return layout
    return None


class Place(NamedTuple):
    """Where a frame is: its group, and its row there."""

    group: str
    row: int | None


class Hdf5Frames(FrameFile):
    """An HDF5 file of another tool, one frame in memory at a time.

    Units are those of the datasets' ``units`` attributes, else those given, else those
    the layout is published in; where there are none, they must be given. A group whose
    frames are different molecules is read frame by frame.

    Args:
        path: The file.
        layout: What its datasets are called.
        options: As for every `FrameFile`.

    Raises:
        DataError: The file is missing or a unit unknown; later, whatever is wrong inside.
    """

    frames_are_called = "structures"

    def __init__(self, path: Path | str, layout: FrameLayout, **options: Any) -> None:
        super().__init__(path, **options)
        self.layout = layout

    def _headers(self) -> Iterator[Header]:
        number = 0
        with open_hdf5(self.path) as file:
            for name, group in _groups(file):
                if not _is(group, self.layout):
                    continue
                self._units(group)
                for row in self._rows(group):
                    yield self._header(group, Place(name, row), number)
                    number += 1

    def _read(self, places: Sequence[Any]) -> Iterator[Frame]:
        with open_hdf5(self.path) as file:
            for name, here in groupby(places, key=lambda place: place.group):
                group = file.group(name)
                for place in here:
                    yield self._frame(group, place)

    def _rows(self, group: Hdf5Group) -> Sequence[int | None]:
        shape = group.dataset(self.layout.positions).shape
        if len(shape) == _ONE_FRAME:
            return [None]
        if len(shape) == _FRAMES:
            self._check_sizes(group, shape)
            return range(shape[0])
        msg = f"{group.where} has {self.layout.positions} of shape {shape}; expected "
        raise DataError(msg + "(n_frames, n_atoms, 3): correct the file")

    def _check_sizes(self, group: Hdf5Group, shape: tuple[int, ...]) -> None:
        """Check that the datasets of a group claim the same frames and atoms."""
        labels = [_labels(group, n) for n in (self.layout.energy, self.layout.forces)]
        for dataset in labels:
            if dataset is not None and dataset.shape[:1] != shape[:1]:
                msg = (
                    f"{dataset.where} has shape {dataset.shape}; expected one entry per "
                )
                raise DataError(msg + f"frame, {shape[0]}: correct the file")
        numbers = group.dataset(self.layout.numbers)
        if shape[1] not in numbers.shape:
            msg = (
                f"{numbers.where} has shape {numbers.shape}; expected {shape[1]} atoms, "
            )
            raise DataError(msg + f"as {self.layout.positions} says: correct the file")

    def _header(self, group: Hdf5Group, place: Place, number: int) -> Header:
        layout, where = self.layout, _where(group, place)
        numbers = self._numbers(group, place)
        facts: dict[str, Any] = {}
        for name in group.names():
            if any(word in name.lower() for word in ("charge", "spin", "mult", "smiles")):
                facts[name] = _value(group.dataset(name), place)
        if layout.molecule is not None and not self._is_mixed(group):
            facts.setdefault("group", place.group.split("/")[layout.molecule])
        positions = _entry(group.dataset(layout.positions), place)
        pbc = _optional(group, "pbc", place, (3,))
        energies = ["energy"] if _labels(group, layout.energy) else []
        forces = ["forces"] if _labels(group, layout.forces) else []
        return Header(
            where=where,
            number=number,
            place=place,
            numbers=numbers,
            facts={
                **facts,
                **{name: None for name in group.names() if name not in facts},
            },
            per_atom={},
            periodic=bool(pbc.any()),
            energies=frozenset(energies),
            forces=frozenset(forces),
            geometry=numbers.tobytes() + np.ascontiguousarray(positions).tobytes(),
        )

    def _frame(self, group: Hdf5Group, place: Place) -> Frame:
        layout = self.layout
        energy, forces = _labels(group, layout.energy), _labels(group, layout.forces)
        return Frame(
            where=_where(group, place),
            numbers=self._numbers(group, place),
            positions=_entry(group.dataset(layout.positions), place),
            cell=_optional(group, "cell", place, (3, 3)),
            pbc=_optional(group, "pbc", place, (3,)).astype(bool),
            energy=_entry(energy, place) if energy else None,
            forces=_entry(forces, place) if forces else None,
            units=self._units(group),
        )

    def _is_mixed(self, group: Hdf5Group) -> bool:
        dataset = group.dataset(self.layout.numbers)
        return len(dataset.shape) > 1 and dataset.shape[1:] != (1,)

    def _numbers(self, group: Hdf5Group, place: Place) -> NDArray[np.int64]:
        dataset = group.dataset(self.layout.numbers)
        if dataset.holds_text:
            words = np.array(dataset.words()).reshape(dataset.shape)
            chosen = words[place.row] if self._is_mixed(group) else words.reshape(-1)
            return np.array([_NUMBER_OF.get(str(word), 0) for word in chosen], np.int64)
        if self._is_mixed(group) and place.row is not None:
            return np.asarray(_entry(dataset, place), dtype=np.int64)
        return dataset.numbers().reshape(-1).astype(np.int64)

    def _units(self, group: Hdf5Group) -> FrameUnits:
        layout = self.layout
        stated: list[Stated] = []
        datasets: dict[Kind, Hdf5Dataset | None] = {
            "length": group.dataset(layout.positions),
            "energy": _labels(group, layout.energy),
            "forces": _labels(group, layout.forces),
        }
        for kind, dataset in datasets.items():
            unit = dataset.unit if dataset else None
            if unit:
                stated.append(Stated(kind, unit, f"the attribute of {kind}"))
        known = {one.kind for one in stated} | {
            k for k, u in self._given._asdict().items() if u
        }
        if layout.units is None and not known >= {"energy", "length"}:
            msg = (
                f"{self.path} has the layout of {layout.name}, which fixes no units, and "
            )
            msg += (
                "states none; state energy_unit and length_unit of the split, or units in"
            )
            raise DataError(msg + " a description of the file")
        return settle(
            iter(stated), self._given, group.where, layout.units or GivenUnits()
        )


def _groups(
    file: Hdf5File, *, only_first: bool = False
) -> Iterator[tuple[str, Hdf5Group]]:
    """Yield every group with its path, in the file's order; or the first chain."""
    waiting = [(name, 1) for name in reversed(file.names())]
    while waiting:
        name, depth = waiting.pop()
        if not file.is_group(name):
            continue
        group = file.group(name)
        yield name, group
        if depth < _DEEPEST:
            inner = [(f"{name}/{part}", depth + 1) for part in reversed(group.names())]
            waiting = [*inner] if only_first else [*waiting, *inner]


def _is(group: Hdf5Group, layout: FrameLayout) -> bool:
    needed = {layout.numbers, layout.positions, layout.energy.partition("/")[0]}
    return needed <= set(group.names())


def _labels(group: Hdf5Group, name: str) -> Hdf5Dataset | None:
    inner, slash, last = name.partition("/")
    if not slash:
        return group.dataset(name) if group.has(name) else None
    if not group.has(inner) or not group.inner(inner).has(last):
        return None
    return group.inner(inner).dataset(last)


def _entry(dataset: Hdf5Dataset, place: Place) -> NDArray[np.float64]:
    """Return what a dataset says of one frame."""
    if place.row is None:
        return np.asarray(dataset.numbers(), dtype=np.float64)
    if not dataset.shape or place.row >= dataset.shape[0]:
        msg = f"{dataset.where} has shape {dataset.shape}; expected one entry per frame"
        raise DataError(msg + ": correct the file")
    return np.asarray(dataset.slice(place.row, place.row + 1)[0], dtype=np.float64)


def _value(dataset: Hdf5Dataset, place: Place) -> Any:
    """Return a fact of one frame: its own entry, else that of the group."""
    if dataset.holds_text:
        return dataset.text()
    if place.row is not None and len(dataset.shape) and dataset.shape[0] > 1:
        return _entry(dataset, place)
    return dataset.numbers()


def _optional(
    group: Hdf5Group, name: str, place: Place, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    if not group.has(name):
        return np.zeros(shape)
    dataset = group.dataset(name)
    one = dataset.flags() if dataset.shape == shape else _entry(dataset, place)
    return np.asarray(one, dtype=np.float64).reshape(shape)


def _where(group: Hdf5Group, place: Place) -> str:
    return group.where if place.row is None else f"{group.where}, frame {place.row}"
