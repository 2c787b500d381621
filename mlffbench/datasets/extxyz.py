"""Extended XYZ files: found in one scan, parsed by ASE frame by frame."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.files import sha256_of
from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows
from mlffbench.core.structures import Structures
from mlffbench.datasets.frame import (
    ENERGY_KEYS,
    FORCES_KEYS,
    Frame,
    FrameUnits,
    add_frame,
    frames_to_labels,
    frames_to_structures,
    require_labels,
)
from mlffbench.datasets.paths import require_file
from mlffbench.datasets.records import NOT_STATED, IndexBuilder
from mlffbench.datasets.xyztext import (
    frame_name,
    parse_frame,
    read_header,
    split_frames,
)


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """What one pass over a file finds; offsets and lengths are in bytes."""

    index: Index
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]


class ExtxyzFile:
    """An extended XYZ file, of which only single frames are ever in memory.

    Labels are ``REF_energy`` and ``REF_forces``, else plain ``energy`` and ``forces``.
    Charge: ``total_charge``, ``charge``, else that of ``smiles``, else 0. Multiplicity
    2S + 1: ``total_spin``, ``spin``, else the lowest possible. Molecule key: ``group``,
    ``mol_id``, ``molecule``, ``smiles``, else the Hill formula. A frame without periodic
    direction is a molecule and its ``Lattice`` is dropped; as in ASE and the format's
    description, a ``Lattice`` without ``pbc`` means periodic in all three.

    The id of a structure is the file's stem and the frame's number: ``train_300K/17``.

    Args:
        path: The file.
        level_of_theory: Of the labels.
        energy_unit: Unit of the energies.
        length_unit: Unit of positions and cells.
        forces_unit: Unit of the forces; energy over length when left out.
        forces_required: Refuse frames without energy or forces; otherwise they are NaN.

    Raises:
        DataError: The file is missing or a unit unknown; later, whatever is wrong inside.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        level_of_theory: str | None = None,
        energy_unit: str = "eV",
        length_unit: str = "angstrom",
        forces_unit: str | None = None,
        forces_required: bool = True,
    ) -> None:
        self.path = require_file(path)
        self.level_of_theory = level_of_theory or NOT_STATED
        self._units = FrameUnits(energy_unit, length_unit, forces_unit).check()
        self._forces_required = forces_required

    @property
    def index(self) -> Index:
        """What the file holds, by one scan of its text."""
        return self._scan.index

    @cached_property
    def sha256(self) -> str:
        """Checksum of the file."""
        return sha256_of(self.path)

    def structures(self, rows: Rows) -> Structures:
        """Return structures by row of the index, float64, in Å.

        Raises:
            DataError: A frame cannot be parsed, or a position is not finite.
        """
        return frames_to_structures(self.index, rows, self._frames(rows), self._units)

    def labels(self, rows: Rows) -> Labels:
        """Return reference labels by row of the index, float64, in eV and eV/Å.

        Raises:
            DataError: A frame cannot be parsed, or a label is not finite.
        """
        source = f"{self.level_of_theory}, energies as in the file"
        return frames_to_labels(self._frames(rows), self._units, source)

    @cached_property
    def _scan(self) -> _Scan:
        builder = IndexBuilder()
        offsets: list[int] = []
        lengths: list[int] = []
        with self._open() as file:
            for number, text in enumerate(split_frames(file, self.path)):
                header = read_header(text)
                if self._forces_required:
                    require_labels(
                        energy=not header.facts.keys().isdisjoint(ENERGY_KEYS),
                        forces=not header.columns.isdisjoint(FORCES_KEYS),
                        where=text.where,
                    )
                add_frame(
                    builder,
                    self.path.stem,
                    number,
                    header.numbers,
                    header.facts,
                    periodic=header.periodic,
                    where=text.where,
                )
                offsets.append(text.offset)
                lengths.append(sum(len(line) for line in text.lines))
        return _Scan(
            builder.build(),
            np.array(offsets, dtype=np.int64),
            np.array(lengths, dtype=np.int64),
        )

    def _frames(self, rows: Rows) -> Iterator[Frame]:
        """Yield frames by row, parsed from their bytes."""
        scan = self._scan
        with self._open() as file:
            for row in np.asarray(rows).tolist():
                file.seek(int(scan.offsets[row]))
                raw = file.read(int(scan.lengths[row]))
                number = int(scan.index.conformer[row])
                yield parse_frame(raw, frame_name(number, self.path))

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        try:
            file = self.path.open("rb")
        except OSError as error:
            msg = f"{self.path} cannot be read: {error.strerror}; check the path"
            raise DataError(msg) from error
        with file:
            yield file
