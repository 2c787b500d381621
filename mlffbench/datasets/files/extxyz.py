"""Extended XYZ files: found in one scan, parsed by ASE frame by frame."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from ase.io.extxyz import key_val_str_to_dict, parse_properties, read_xyz
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError
from mlffbench.core.files import sha256_of
from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows
from mlffbench.core.structures import Structures
from mlffbench.datasets.files.frame import (
    ENERGY_KEYS,
    FORCES_KEYS,
    Frame,
    FrameUnits,
    add_frame,
    first_of,
    frames_to_labels,
    frames_to_structures,
    require_labels,
)
from mlffbench.datasets.files.paths import require_file
from mlffbench.datasets.files.records import NOT_STATED, IndexBuilder

_MAX_DIGITS = 12
_FAULTS = (
    OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError,
    ArithmeticError, RuntimeError, NotImplementedError, StopIteration,
)  # fmt: skip
"""What ASE raises for text that is no extended XYZ; it has no exception of its own."""
_NUMBER_OF = {symbol: number for number, symbol in enumerate(SYMBOLS)}


class FrameText(NamedTuple):
    """The bytes of one frame.

    Attributes:
        where: ``"frame 3 of train.xyz"``, for messages.
        offset: Where it begins in the file.
        lines: Number of atoms, comment, one line per atom.
    """

    where: str
    offset: int
    lines: list[bytes]


class FrameHeader(NamedTuple):
    """What a frame says before its values are parsed.

    Attributes:
        facts: Its comment line by name, as ASE reads it.
        columns: The names of its columns.
        numbers: Shape (n_atoms,), atomic numbers.
        periodic: Whether any direction is periodic.
    """

    facts: dict[str, Any]
    columns: frozenset[str]
    numbers: NDArray[np.int64]
    periodic: bool


def frame_name(number: int, path: object) -> str:
    """Return what messages call a frame."""
    return f"frame {number} of {path}"


def split_frames(file: BinaryIO, path: object) -> Iterator[FrameText]:
    """Yield the bytes of every frame; blank lines between frames are passed over.

    Raises:
        DataError: A frame does not begin with its number of atoms, or is cut off.
    """
    number = 0
    while True:
        offset = file.tell()
        header = file.readline(1 << 16)
        if not header:
            return
        count = header.strip()
        if not count:
            continue
        where = frame_name(number, path)
        if not count.isdigit() or len(count) > _MAX_DIGITS or int(count) == 0:
            found = count[:40].decode(errors="replace")
            msg = f"{where} begins with {found!r}; expected its number of atoms"
            raise DataError(msg + ": correct the file")
        n_atoms = int(count)
        lines = [header, *islice(file, n_atoms + 1)]
        if len(lines) < n_atoms + 2:
            msg = (
                f"{where} is cut off after {max(len(lines) - 2, 0)} of {n_atoms} atoms; "
            )
            raise DataError(msg + "expected a complete file: fetch or copy it again")
        yield FrameText(where, offset, lines)
        number += 1


def read_header(text: FrameText) -> FrameHeader:
    """Return what a frame says before its values are parsed.

    Raises:
        DataError: The comment line or the columns are not extended XYZ.
    """
    with _in_one_sentence(text.where):
        comment, *rows = [line.decode() for line in text.lines[1:]]
        facts = _parse_comment(comment)
        widths = _widths(facts.get("Properties", "species:S:1:pos:R:3"))
    table = [row.split() for row in rows]
    expected = sum(widths.values())
    for i, row in enumerate(table):
        if len(row) != expected:
            msg = (
                f"{text.where} has {len(row)} columns in the line of atom {i}; expected "
            )
            raise DataError(msg + f"{expected}, as its Properties say: correct the file")
    return FrameHeader(
        facts=facts,
        columns=frozenset(widths),
        numbers=_numbers(table, widths, text.where),
        periodic=bool(np.any(facts.get("pbc", "Lattice" in facts))),
    )


def parse_frame(raw: bytes, where: str) -> Frame:
    """Return a frame as ASE reads it, in the file's units.

    Raises:
        DataError: It is not extended XYZ.
    """
    with _in_one_sentence(where):
        atoms = next(read_xyz(io.StringIO(raw.decode()), 0))
    results = atoms.calc.results if atoms.calc is not None else {}
    return Frame(
        where=where,
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=np.array(atoms.cell),
        pbc=atoms.pbc,
        energy=first_of(ENERGY_KEYS, atoms.info, results),
        forces=first_of(FORCES_KEYS, atoms.arrays, results),
    )


def _parse_comment(comment: str) -> dict[str, Any]:
    if not comment.strip():
        return {}
    return dict(key_val_str_to_dict(comment))  # type: ignore[no-untyped-call]  # ASE


def _widths(properties: str) -> dict[str, int]:
    """Return column name -> number of columns, in the order of the file."""
    columns = parse_properties(properties)[0]  # type: ignore[no-untyped-call]  # ASE
    widths = {str(name): int(width) for name, (_, width) in columns.items()}
    if min(widths.values(), default=0) < 1:
        msg = f"Properties={properties}"
        raise ValueError(msg)
    return widths


def _numbers(
    table: list[list[str]], widths: dict[str, int], where: str
) -> NDArray[np.int64]:
    """Return atomic numbers from the column of numbers or of symbols."""
    names = list(widths)
    column = next((name for name in ("Z", "species") if name in widths), None)
    if column is None:
        msg = (
            f"{where} has the columns {', '.join(names)}; expected one named species or "
        )
        raise DataError(msg + "Z: correct the file")
    start = sum(widths[name] for name in names[: names.index(column)])
    entries = [row[start] for row in table]
    if column == "Z":
        with _in_one_sentence(where):
            return np.array([int(entry) for entry in entries], dtype=np.int64)
    numbers = [_NUMBER_OF.get(entry.capitalize(), 0) for entry in entries]
    if 0 in numbers:
        msg = f"{where} has an atom {entries[numbers.index(0)]!r}; expected a chemical "
        raise DataError(msg + "symbol: correct the file")
    return np.array(numbers, dtype=np.int64)


@contextmanager
def _in_one_sentence(where: str) -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        msg = f"{where} cannot be parsed ({reason}); expected extended XYZ: correct the "
        raise DataError(msg + "file") from error


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
