"""The scaffold of every reader that goes frame by frame."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mlffbench.core.errors import DataError
from mlffbench.core.files import require_file, sha256_of
from mlffbench.core.guards.sizes import shown
from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows
from mlffbench.core.structures import Structures
from mlffbench.datasets.files.frame import (
    Frame,
    Header,
    add_frame,
    frames_to_labels,
    frames_to_structures,
    is_lone_atom,
    is_named,
)
from mlffbench.datasets.files.records import NOT_STATED, IndexBuilder
from mlffbench.datasets.molecules.isomers import Geometry, name_isomers
from mlffbench.datasets.statements.census import Census
from mlffbench.datasets.statements.labels_of_file import (
    Family,
    check_one_family,
    family_of,
    require_labels,
)
from mlffbench.datasets.statements.stated_units import GivenUnits

MOST_COMPARED = 500
"""Frames of a file whose bonds are looked at, unless isomers are found among them."""
MOST_TOLD = 3
"""Names that a remark quotes."""
MOST_ATOMS = 300
"""Of a frame whose bonds are looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """What one pass over a file finds: its index, and where each frame is."""

    index: Index
    places: Sequence[Any]


class FrameFile:
    """A file of frames, of which only single ones are ever in memory.

    A reader says how frames are found (`_headers`) and read again (`_read`); everything
    else is here. The id of a structure is the file's stem and the frame's number:
    ``train_300K/17``.

    Args:
        path: The file.
        level_of_theory: Of the labels.
        energy_unit: Unit of the energies; what the file says, else eV, when left out.
        length_unit: Unit of positions and cells; what the file says, else Å.
        forces_unit: Unit of the forces; energy over length when nobody says.
        forces_required: Refuse frames without energy or forces; otherwise they are NaN.

    Raises:
        DataError: The file is missing or a unit unknown; later, whatever is wrong inside.
    """

    frames_are_called = "frames"

    def __init__(
        self,
        path: Path | str,
        *,
        level_of_theory: str | None = None,
        energy_unit: str | None = None,
        length_unit: str | None = None,
        forces_unit: str | None = None,
        forces_required: bool = True,
    ) -> None:
        self.path = require_file(path)
        self.level_of_theory = level_of_theory or NOT_STATED
        self._given = GivenUnits(energy_unit, length_unit, forces_unit).check()
        self._forces_required = forces_required

    @property
    def stem(self) -> str:
        """Name of the file without its suffix: the key of its structures."""
        return self.path.stem

    @property
    def index(self) -> Index:
        """What the file holds, by one pass over it."""
        return self._scan.index

    @cached_property
    def sha256(self) -> str:
        """Checksum of the file."""
        return sha256_of(self.path)

    def structures(self, rows: Rows) -> Structures:
        """Return structures by row of the index, float64, in Å.

        Raises:
            DataError: A frame cannot be read, or a position is not finite.
        """
        return frames_to_structures(self.index, rows, self._frames(rows))

    def labels(self, rows: Rows) -> Labels:
        """Return reference labels by row of the index, float64, in eV and eV/Å.

        Raises:
            DataError: A frame cannot be read, or a label is not finite.
        """
        source = f"{self.level_of_theory}, energies as in the file"
        return frames_to_labels(self._frames(rows), source)

    def facts(self) -> Iterator[Mapping[str, Any]]:
        """Yield what the file says of every structure by name, in order.

        Raises:
            DataError: A frame cannot be read.
        """
        return (header.facts for header in self._headers())

    @cached_property
    def _scan(self) -> Scan:
        builder, places = IndexBuilder(), []
        census = Census(f"{self.frames_are_called} of {self.path}")
        family: Family | None = None
        unnamed: list[int] = []
        for number, header in enumerate(self._headers()):
            family = self._checked(header, family)
            found = add_frame(builder, self.stem, header)
            named = is_named(header.facts) or header.periodic
            if not named and len(header.numbers) > 1:
                unnamed.append(number)
            census.add(header.where, header.geometry, found)
            places.append(header.place)
        index = builder.build((*census.remarks(), *self._shared_names(builder)))
        groups = self._named(index, places, unnamed)
        return Scan(replace(index, groups=groups), places)

    def _shared_names(self, builder: IndexBuilder) -> list[str]:
        """Say which names stand for molecules that cannot be one."""
        names = builder.names_of_several()
        if not names:
            return []
        told = ", ".join(map(repr, map(shown, names[:MOST_TOLD])))
        more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
        return [
            f"molecules of different compositions share a name in {self.path} ({told}"
            f"{more}) and count as one: name them apart if they are several"
        ]

    def _named(
        self, index: Index, places: Sequence[Any], unnamed: Sequence[int]
    ) -> Sequence[str]:
        """Return the molecule keys, isomers that nobody named told apart.

        Of many frames a sample is looked at first: most such files are one trajectory.
        """
        small = [n for n in unnamed if index.n_atoms[n] <= MOST_ATOMS]
        if not small:
            return index.groups
        groups = list(index.groups)
        step = max(1, len(small) // MOST_COMPARED)
        for chosen in (small[::step], small):
            frames = self._read([places[number] for number in chosen])
            geometries = [_geometry(frame) for frame in frames]
            formulas = [groups[number] for number in chosen]
            names = name_isomers(formulas, geometries)
            if names == formulas:
                break
            if len(chosen) == len(small):
                for number, name in zip(chosen, names, strict=True):
                    groups[number] = name
                break
        return groups

    def _checked(self, header: Header, before: Family | None) -> Family | None:
        """Return the family of labels of the file so far."""
        lone = is_lone_atom(header.numbers, periodic=header.periodic)
        own = family_of(header.energies, header.forces, header.where)
        has_energy, has_forces = (
            own.energy in header.energies,
            own.forces in header.forces,
        )
        if self._forces_required:
            require_labels(
                energy=has_energy,
                forces=has_forces or lone,
                names=[*header.facts, *header.energies, *header.forces],
                where=header.where,
            )
        if not has_energy and not has_forces:
            return before
        return check_one_family(before, own, header.where)

    def _frames(self, rows: Rows) -> Iterator[Frame]:
        """Yield frames by row of the index."""
        places = self._scan.places
        return self._read([places[row] for row in np.asarray(rows).tolist()])

    def _headers(self) -> Iterator[Header]:
        """Yield what the index needs of every frame, in order."""
        raise NotImplementedError

    def _read(self, places: Sequence[Any]) -> Iterator[Frame]:
        """Yield the frames that are at some places."""
        raise NotImplementedError


def _geometry(frame: Frame) -> Geometry:
    """Return atoms and positions of a frame, in Å.

    Raises:
        DataError: There is not one position for each atom.
    """
    numbers, positions = np.asarray(frame.numbers), np.asarray(frame.positions)
    if positions.shape != (len(numbers), 3):
        msg = f"{frame.where} has {len(numbers)} atoms and positions of shape "
        raise DataError(msg + f"{positions.shape}; expected one for each: correct it")
    return Geometry(numbers, positions * frame.units.factors[0])
