"""Extended XYZ files: found in one scan, parsed by ASE frame by frame."""

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from ase.io.extxyz import parse_properties, read_xyz
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError
from mlffbench.core.guards import caps
from mlffbench.core.guards.sizes import check_atoms, check_columns, check_line
from mlffbench.datasets.files.frame import Frame, Header, labels_in
from mlffbench.datasets.files.frame_file import FrameFile
from mlffbench.datasets.statements.charge_spin import says_charge_or_spin
from mlffbench.datasets.statements.comment_line import read_comment, without_texts
from mlffbench.datasets.statements.labels_of_file import FAMILIES, family_of
from mlffbench.datasets.statements.stated_units import (
    FrameUnits,
    GivenUnits,
    settle,
    stated_units,
)

_MAX_DIGITS = 12
_GZIP = b"\x1f\x8b"
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


class Place(NamedTuple):
    """Where a frame is: its number, and its bytes in the file."""

    number: int
    offset: int
    length: int


def frame_name(number: int, path: object) -> str:
    """Return what messages call a frame."""
    return f"frame {number} of {path}"


def split_frames(file: BinaryIO | gzip.GzipFile, path: object) -> Iterator[FrameText]:
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
        check_atoms(n_atoms, where)
        lines = [header, *_lines(file, n_atoms + 1, where)]
        if len(lines) < n_atoms + 2:
            msg = (
                f"{where} is cut off after {max(len(lines) - 2, 0)} of {n_atoms} atoms; "
            )
            raise DataError(msg + "expected a complete file: fetch or copy it again")
        yield FrameText(where, offset, lines)
        number += 1


def _lines(file: BinaryIO | gzip.GzipFile, n: int, where: str) -> Iterator[bytes]:
    for _ in range(n):
        line = file.readline(caps.LONGEST_LINE)
        if not line:
            return
        check_line(line, where)
        yield line


def read_header(text: FrameText, number: int) -> Header:
    """Return what a frame says before its values are parsed.

    Raises:
        DataError: The comment line or the columns are not extended XYZ.
    """
    with _in_one_sentence(text.where):
        comment, *rows = [line.decode() for line in text.lines[1:]]
        facts = read_comment(comment)
        properties = str(facts.get("Properties", "species:S:1:pos:R:3"))
        check_columns(properties, text.where)
        widths = _widths(properties)
    table = [row.split() for row in rows]
    expected = sum(widths.values())
    for i, row in enumerate(table):
        if len(row) != expected:
            msg = (
                f"{text.where} has {len(row)} columns in the line of atom {i}; expected "
            )
            raise DataError(msg + f"{expected}, as its Properties say: correct the file")
    facts.pop("Properties", None)
    energies = {family.energy for family in FAMILIES} & facts.keys()
    forces = {family.forces for family in FAMILIES} & widths.keys()
    place = Place(number, text.offset, sum(len(line) for line in text.lines))
    return Header(
        where=text.where,
        number=number,
        place=place,
        numbers=_numbers(table, widths, text.where),
        facts={**facts, **{name: None for name in widths if name not in facts}},
        per_atom=_charges_and_spins(table, widths),
        periodic=bool(np.any(facts.get("pbc", "Lattice" in facts))),
        energies=frozenset(energies),
        forces=frozenset(forces),
        geometry=_geometry(table, widths, facts),
    )


def parse_frame(raw: bytes, where: str, given: GivenUnits) -> Frame:
    """Return a frame as ASE reads it, in the file's units.

    Raises:
        DataError: It is not extended XYZ, or its units are not those that were given.
    """
    with _in_one_sentence(where):
        count, comment, rest = raw.decode().split("\n", 2)
        units = units_of(read_comment(comment), given, where)
        clean = f"{count}\n{without_texts(comment)}\n{rest}"
        atoms = next(read_xyz(io.StringIO(clean), 0))
    results = atoms.calc.results if atoms.calc is not None else {}
    energies, forces = {**results, **atoms.info}, {**results, **atoms.arrays}
    family = family_of(energies, forces, where)
    energy, force = labels_in(family, energies, forces)
    return Frame(
        where=where,
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=np.array(atoms.cell),
        pbc=atoms.pbc,
        energy=energy,
        forces=force,
        units=units,
    )


def units_of(facts: Mapping[str, Any], given: GivenUnits, where: str) -> FrameUnits:
    """Return the units that facts state, else those given, else ASE's."""
    return settle(stated_units(facts), given, where, GivenUnits())


def _columns(
    table: list[list[str]], widths: Mapping[str, int], name: str
) -> list[list[str]]:
    """Return the entries of a column, per atom."""
    names = list(widths)
    start = sum(widths[other] for other in names[: names.index(name)])
    return [row[start : start + widths[name]] for row in table]


def _charges_and_spins(
    table: list[list[str]], widths: Mapping[str, int]
) -> dict[str, NDArray[np.float64]]:
    """Return the columns of one number per atom that are about charge or spin."""
    found = {}
    for name, width in widths.items():
        if width == 1 and says_charge_or_spin(name):
            entries = [entry for (entry,) in _columns(table, widths, name)]
            found[name] = np.array(entries, dtype=object)
    return found


def _geometry(
    table: list[list[str]], widths: Mapping[str, int], facts: Mapping[str, Any]
) -> bytes:
    """Return the text of atoms, positions and cell, without blanks that vary."""
    chosen = [n for n in ("species", "symbols", "numbers", "Z", "pos") if n in widths]
    columns = [_columns(table, widths, name) for name in chosen]
    text = " ".join(word for column in columns for row in column for word in row)
    return f"{text} {facts.get('Lattice')} {facts.get('pbc')}".encode()


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
    column = next((name for name in ("Z", "species") if name in widths), None)
    if column is None:
        names = ", ".join(widths)
        msg = (
            f"{where} has the columns {names}; expected one named species or Z: correct "
        )
        raise DataError(msg + "the file")
    entries = [entry for entry, *_ in _columns(table, widths, column)]
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
    except DataError as error:
        msg = f"{error}" if where in f"{error}" else f"{where}: {error}"
        raise DataError(msg) from error
    except _FAULTS as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        msg = f"{where} cannot be parsed ({reason}); expected extended XYZ: correct the "
        raise DataError(msg + "file") from error


class ExtxyzFile(FrameFile):
    """An extended XYZ file, of which only single frames are ever in memory.

    Labels are ``REF_energy`` and ``REF_forces``, else plain ``energy`` and ``forces``,
    one family in a file. Charge and multiplicity are read as `charge_spin` says, units as
    `stated_units` does: from the comment line, else as given, else eV and Å. Molecule
    key: ``group``, ``mol_id``, ``molecule``, ``smiles``, else the Hill formula. A frame
    without periodic direction is a molecule and its ``Lattice`` is dropped; as in ASE and
    the format's description, a ``Lattice`` without ``pbc`` means periodic in all three.
    An isolated atom needs no forces. A file packed with gzip is read as it is.
    """

    def _headers(self) -> Iterator[Header]:
        with self._open() as file:
            for number, text in enumerate(split_frames(file, self.path)):
                header = read_header(text, number)
                units_of(header.facts, self._given, header.where)  # told at once
                yield header

    def _read(self, places: Sequence[Any]) -> Iterator[Frame]:
        with self._open() as file:
            raw: dict[int, bytes] = {}
            if isinstance(file, gzip.GzipFile):  # going back would unpack it all again
                for place in sorted(set(places), key=lambda one: int(one.offset)):
                    file.seek(place.offset)
                    raw[place.number] = file.read(place.length)
            for place in places:
                text = raw.get(place.number)
                if text is None:
                    file.seek(place.offset)
                    text = file.read(place.length)
                yield parse_frame(text, frame_name(place.number, self.path), self._given)

    @property
    def stem(self) -> str:
        """Name of the file without suffixes."""
        return Path(super().stem).stem if self._is_packed else super().stem

    @property
    def _is_packed(self) -> bool:
        return self.path.suffix.lower() == ".gz"

    @contextmanager
    def _open(self) -> Iterator[BinaryIO | gzip.GzipFile]:
        try:
            file = self.path.open("rb")
        except OSError as error:
            msg = f"{self.path} cannot be read: {error.strerror}; check the path"
            raise DataError(msg) from error
        with file:
            if file.read(len(_GZIP)) != _GZIP:
                file.seek(0)
                yield file
                return
            file.seek(0)
            try:
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield unpacked
            except (OSError, EOFError, zlib.error) as error:
                msg = f"{self.path} cannot be unpacked ({error}); expected a complete "
                raise DataError(msg + "gzip file: fetch or copy it again") from error
