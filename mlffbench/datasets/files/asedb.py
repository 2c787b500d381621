"""ASE databases (SQLite or JSON), read row by row."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import ase.db
import numpy as np

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

_FAULTS = (
    sqlite3.Error, OSError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    AssertionError, ArithmeticError, RuntimeError, MemoryError, ImportError,
)  # fmt: skip
"""What ASE raises for a damaged database; it has no exception of its own."""


class AseDatabase:
    """An ASE database, of which only single rows are ever in memory.

    A JSON database is the exception: the format has to be parsed as a whole.

    Labels are ``REF_energy`` and ``REF_forces`` among the key-value pairs or the data,
    else the row's own energy and forces. Charge, multiplicity, molecule key and SMILES
    are looked up there too, by the names of `mlffbench.datasets.files.extxyz.ExtxyzFile`.

    The id of a structure is the file's stem and the row's id: ``train/17``.

    Args:
        path: The file, ``.db`` or ``.json``.
        level_of_theory: Of the labels.
        energy_unit: Unit of the energies.
        length_unit: Unit of positions and cells.
        forces_unit: Unit of the forces; energy over length when left out.
        forces_required: Refuse rows without energy or forces; otherwise they are NaN.

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

    @cached_property
    def index(self) -> Index:
        """What the file holds, by one pass over its rows."""
        builder = IndexBuilder()
        for frame, facts, row_id in self._walk():
            if self._forces_required:
                require_labels(
                    energy=frame.energy is not None,
                    forces=frame.forces is not None,
                    where=frame.where,
                )
            add_frame(
                builder,
                self.path.stem,
                row_id,
                frame.numbers,
                facts,
                periodic=bool(frame.pbc.any()),
                where=frame.where,
            )
        return builder.build()

    @cached_property
    def sha256(self) -> str:
        """Checksum of the file."""
        return sha256_of(self.path)

    def structures(self, rows: Rows) -> Structures:
        """Return structures by row of the index, float64, in Å.

        Raises:
            DataError: A row cannot be read, or a position is not finite.
        """
        return frames_to_structures(self.index, rows, self._frames(rows), self._units)

    def labels(self, rows: Rows) -> Labels:
        """Return reference labels by row of the index, float64, in eV and eV/Å.

        Raises:
            DataError: A row cannot be read, or a label is not finite.
        """
        source = f"{self.level_of_theory}, energies as in the file"
        return frames_to_labels(self._frames(rows), self._units, source)

    def _walk(self) -> Iterator[tuple[Frame, dict[str, Any], int]]:
        """Yield every row: as a frame, what it says by name, and its id."""
        with self._open() as database:
            for row in database.select():
                yield *_frame(row, self.path), int(row.id)

    def _frames(self, rows: Rows) -> Iterator[Frame]:
        """Yield frames by row of the index."""
        ids = self.index.conformer[rows].tolist()
        with self._open() as database:
            if self._is_json:
                by_id = {row.id: row for row in database.select()}
                yield from (_frame(by_id[number], self.path)[0] for number in ids)
            else:
                yield from (_frame(database.get(id=n), self.path)[0] for n in ids)

    @property
    def _is_json(self) -> bool:
        return self.path.suffix.lower() == ".json"

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with self._in_one_sentence():
            if not self._is_json:
                _require_ase_tables(self.path)
            connect: Any = ase.db.connect  # ASE ships no types
            kind = "json" if self._is_json else "db"
            with connect(self.path, type=kind, use_lock_file=False) as database:
                yield database

    @contextmanager
    def _in_one_sentence(self) -> Iterator[None]:
        try:
            yield
        except _FAULTS as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            msg = f"{self.path} cannot be read as an ASE database ({reason}); expected a "
            raise DataError(msg + "complete file: fetch or copy it again") from error


def _require_ase_tables(path: Path) -> None:
    """Look before ASE does, which would turn any other SQLite file into one of its own.

    Raises:
        DataError: It is another SQLite file.
    """
    query = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'systems'"
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        tables = connection.execute(query).fetchone()[0]
    if not tables:
        msg = (
            f"{path} is SQLite, but no ASE database: it has no table 'systems'; expected "
        )
        raise DataError(msg + "a file written by ase.db")


def _frame(row: Any, path: Path) -> tuple[Frame, dict[str, Any]]:
    """Return a row as a frame, with everything it says by name."""
    facts = {**row.data, **row.key_value_pairs}
    own = {name: row.get(name) for name in ("energy", "forces") if name in row}
    frame = Frame(
        where=f"row {row.id} of {path}",
        numbers=np.asarray(row.numbers),
        positions=np.asarray(row.positions, dtype=np.float64).reshape(-1, 3),
        cell=np.asarray(row.cell, dtype=np.float64).reshape(3, 3),
        pbc=np.asarray(row.pbc, dtype=bool).reshape(3),
        energy=first_of(ENERGY_KEYS, facts, own),
        forces=first_of(FORCES_KEYS, facts, own),
    )
    return frame, facts
