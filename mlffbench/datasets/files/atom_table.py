"""CSV files with one row per atom, whose user states the columns and the units."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError
from mlffbench.core.guards.sizes import shown
from mlffbench.datasets.files.frame import Frame, Header
from mlffbench.datasets.files.frame_file import FrameFile
from mlffbench.datasets.statements.stated_units import GivenUnits, settle

_NUMBER_OF = {symbol: number for number, symbol in enumerate(SYMBOLS)}
_EXAMPLE = (
    "columns: {structure: id, element: symbol, positions: [x, y, z], energy: E, "
    "forces: [fx, fy, fz]} and units: {energy: eV, length: angstrom}"
)


class Columns(BaseModel):
    """What the columns of a CSV file are called.

    Attributes:
        structure: Tells the structures apart; the rows of one follow each other.
        element: Symbols or atomic numbers.
        positions: Three columns.
        energy: The energy, the same in every row of a structure.
        forces: Three columns.
        charge: The total charge.
        multiplicity: 2S + 1.
        molecule: The molecule key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    structure: str
    element: str
    positions: tuple[str, str, str]
    energy: str | None = None
    forces: tuple[str, str, str] | None = None
    charge: str | None = None
    multiplicity: str | None = None
    molecule: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every column that is named."""
        needed = (self.structure, self.element, *self.positions)
        single = (self.energy, self.charge, self.multiplicity, self.molecule)
        return (*needed, *(self.forces or ()), *(name for name in single if name))


class AtomTable(FrameFile):
    """A CSV file with one row per atom, read as a whole.

    Args:
        path: The file.
        columns: What its columns are called; nothing is guessed.
        options: As for every `FrameFile`; units of energy and length must be given.

    Raises:
        DataError: The file is missing, a unit unknown, columns or units are not stated;
            later, whatever is wrong inside.
    """

    def __init__(
        self, path: Path | str, *, columns: Columns | None, **options: Any
    ) -> None:
        super().__init__(path, **options)
        if columns is None or not (self._given.energy and self._given.length):
            msg = f"{path} is a table whose columns and units nobody states; expected a "
            raise DataError(msg + f"description (a YAML with path: {path}, {_EXAMPLE})")
        self._columns = columns

    def _headers(self) -> Iterator[Header]:
        for number, rows in enumerate(self._structures()):
            frame, columns = self._frame(number, rows), self._columns
            facts = {
                "total_charge": self._one(columns.charge, rows, frame.where),
                "multiplicity": self._one(columns.multiplicity, rows, frame.where),
                "group": self._one(columns.molecule, rows, frame.where),
            }
            yield Header(
                where=frame.where,
                number=number,
                place=number,
                numbers=frame.numbers,
                facts={name: value for name, value in facts.items() if value is not None},
                per_atom={},
                periodic=False,
                energies=frozenset({"energy"} if columns.energy else ()),
                forces=frozenset({"forces"} if columns.forces else ()),
                geometry=frame.numbers.tobytes() + frame.positions.tobytes(),
            )

    def _read(self, places: Sequence[Any]) -> Iterator[Frame]:
        structures = list(self._structures())
        for number in places:
            yield self._frame(number, structures[number])

    def _structures(self) -> Iterator[list[dict[str, str]]]:
        """Yield the rows of every structure.

        Raises:
            DataError: The file is no CSV, lacks a column, or comes back to a structure.
        """
        name, seen = self._columns.structure, set[str]()
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                table = csv.DictReader(file, strict=True, restval="")
                missing = set(self._columns.names) - set(table.fieldnames or ())
                if missing:
                    there = shown(", ".join(table.fieldnames or ()) or "none")
                    msg = f"{self.path} has no column {min(missing)!r}; it has: {there}"
                    raise DataError(msg)
                for key, rows in groupby(table, key=lambda row: row[name]):
                    if key in seen:
                        msg = (
                            f"{self.path} comes back to the structure {key!r}; expected "
                        )
                        raise DataError(msg + "the atoms of one in a row: sort the file")
                    seen.add(key)
                    yield list(rows)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            msg = (
                f"{self.path} cannot be read as CSV ({error}); expected comma-separated "
            )
            raise DataError(msg + "text in UTF-8: correct the file") from error

    def _frame(self, number: int, rows: Sequence[Mapping[str, str]]) -> Frame:
        columns, where = self._columns, f"structure {number} of {self.path}"
        energy = self._one(columns.energy, rows, where)
        return Frame(
            where=where,
            numbers=np.array([_number(row[columns.element], where) for row in rows]),
            positions=_floats(rows, columns.positions, where),
            cell=np.zeros((3, 3)),
            pbc=np.zeros(3, dtype=bool),
            energy=energy,
            forces=_floats(rows, columns.forces, where) if columns.forces else None,
            units=settle(iter(()), self._given, where, GivenUnits()),
        )

    def _one(
        self, name: str | None, rows: Sequence[Mapping[str, str]], where: str
    ) -> str | None:
        """Return what all rows of a structure say; None where they say nothing."""
        values = {row[name] for row in rows} if name else {""}
        if len(values) > 1:
            some = sorted(map(str, values))[:2]
            msg = f"{where} has several values of {name}, e.g. {some}; "
            raise DataError(msg + "expected one per structure: correct the file")
        return values.pop() or None


def _number(text: str, where: str) -> int:
    word = text.strip()
    number = int(word[:9]) if word.isdecimal() else _NUMBER_OF.get(word.capitalize(), 0)
    if number < 1:
        msg = f"{where} has an atom {text!r}; expected a chemical symbol or its number"
        raise DataError(msg)
    return number


def _floats(
    rows: Sequence[Mapping[str, str]], names: Sequence[str], where: str
) -> NDArray[np.float64]:
    """Return some columns as numbers, shape (n_atoms, n_columns)."""
    try:
        return np.array([[float(row[name]) for name in names] for row in rows])
    except (TypeError, ValueError) as error:
        msg = f"{where} has a {'/'.join(names)} that is no number ({error}); correct it"
        raise DataError(msg) from error
