"""ASE databases (SQLite, JSON or LMDB), read row by row."""

import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property, lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
from ase.io.formats import UnknownFileTypeError

from mlffbench.core.errors import DataError
from mlffbench.core.guards.sizes import check_json_arrays
from mlffbench.datasets.files.frame import Frame, Header, labels_in
from mlffbench.datasets.files.frame_file import FrameFile
from mlffbench.datasets.statements.labels_of_file import FAMILIES, family_of
from mlffbench.datasets.statements.stated_units import (
    FrameUnits,
    GivenUnits,
    settle,
    stated_units,
)

_FAULTS = (
    sqlite3.Error, OSError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    AssertionError, ArithmeticError, RuntimeError, MemoryError, ImportError, zlib.error,
    UnknownFileTypeError,
)  # fmt: skip
"""What ASE raises for a damaged database; it has no exception of its own."""
_TEXTS = (
    ("key_value_pairs", "systems"), ("data", "systems"), ("constraints", "systems"),
    ("calculator_parameters", "systems"), ("value", "information"),
)  # fmt: skip
"""Columns whose JSON may hold arrays, and their tables."""
_LMDB, _LMDB_AT = b"\xde\xc0\xef\xbe", 16


class AseDatabase(FrameFile):
    """An ASE database, of which only single rows are ever in memory.

    A JSON database is the exception: the format has to be parsed as a whole. An LMDB
    (``.aselmdb``) needs the package ase-db-backends; its rows are JSON, never pickles.

    Labels are ``REF_energy`` and ``REF_forces`` among the key-value pairs or the data,
    else ``energy`` and ``forces`` there or of the row itself. Charge and spin are looked
    up in all of them and in the initial charges and magnetic moments. Units are those of
    the database's metadata, SchNetPack's among them, else as given, else eV and Å.

    The id of a structure is the file's stem and the row's id: ``train/17``.
    """

    frames_are_called = "rows"

    def __init__(self, path: Path | str, **options: Any) -> None:
        super().__init__(path, **options)
        if self._kind == "aselmdb" and find_spec("ase_db_backends") is None:
            name = self.path.name
            msg = f"{self.path} is an ASE LMDB, which needs the package ase-db-backends: "
            msg += "pip install ase-db-backends; or convert it where that is installed: "
            raise DataError(msg + f"ase db {name} --insert-into data.db")

    def _headers(self) -> Iterator[Header]:
        with self._open() as database:
            self._units(database)
            for row in database.select():
                yield _header(row, self.path)

    def _read(self, places: Sequence[Any]) -> Iterator[Frame]:
        with self._open() as database:
            units = self._units(database)
            if self._kind == "json":
                by_id = {row.id: row for row in database.select()}
                yield from (_frame(by_id[number], self.path, units) for number in places)
            else:
                rows = (database.get(id=number) for number in places)
                yield from (_frame(row, self.path, units) for row in rows)

    def _units(self, database: Any) -> FrameUnits:
        try:
            said = _unit_facts(database.metadata)
        except UnknownFileTypeError as error:
            raise ValueError(str(error)) from error
        return settle(stated_units(said), self._given, f"{self.path}", GivenUnits())

    @cached_property
    def _kind(self) -> str:
        """ASE's word for the kind of database."""
        if is_lmdb(self.path):
            return "aselmdb"
        return "json" if self.path.suffix.lower() == ".json" else "db"

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with self._in_one_sentence():
            check = _CHECKS.get(self._kind)
            if check is not None:
                found = self.path.stat()
                check(self.path, (found.st_mtime_ns, found.st_size))
            connect: Any = ase.db.connect  # ASE ships no types
            options = {"readonly": True} if self._kind == "aselmdb" else {}
            kind = self._kind
            with connect(
                self.path, type=kind, use_lock_file=False, **options
            ) as database:
                yield database

    @contextmanager
    def _in_one_sentence(self) -> Iterator[None]:
        faults: tuple[type[Exception], ...] = _FAULTS
        if self._kind == "aselmdb":
            lmdb: Any = import_module("lmdb")
            faults = (*_FAULTS, lmdb.Error)
        try:
            yield
        except faults as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            msg = f"{self.path} cannot be read as an ASE database ({reason}); expected a "
            raise DataError(msg + "complete file: fetch or copy it again") from error


def is_lmdb(path: Path) -> bool:
    """Return whether a file begins as an LMDB does.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(_LMDB_AT + len(_LMDB))[_LMDB_AT:] == _LMDB
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}; check the path"
        raise DataError(msg) from error


@lru_cache(maxsize=64)
def _check_tables(path: Path, stamp: tuple[int, int]) -> None:  # noqa: ARG001 - the key
    """Look before ASE does, which would turn any other SQLite file into one of its own.

    Raises:
        DataError: It is another SQLite file, or a text claims an array that it is not.
    """
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        tables = {name for (name,) in connection.execute(query)}
        for column, table in [one for one in _TEXTS if one[1] in tables]:
            query = f"SELECT {column} FROM {table} WHERE instr({column}, '__ndarray__')"
            for (text,) in connection.execute(query):
                check_json_arrays(str(text), str(path))
    if "systems" not in tables:
        msg = (
            f"{path} is SQLite, but no ASE database: it has no table 'systems'; expected "
        )
        raise DataError(msg + "a file written by ase.db")


@lru_cache(maxsize=64)
def _check_json(path: Path, stamp: tuple[int, int]) -> None:  # noqa: ARG001 - the key
    """Look at the arrays that a text claims.

    Raises:
        DataError: One is larger than the text.
    """
    check_json_arrays(path.read_text(encoding="utf-8"), str(path))


_CHECKS = {"db": _check_tables, "json": _check_json}
"""Kind -> what looks at a file once, before ASE reads it."""


def _unit_facts(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what metadata says of units; SchNetPack has one word for each property."""
    facts = {name: value for name, value in metadata.items() if "unit" in name.lower()}
    properties = facts.pop("_property_unit_dict", None) or {}
    for name, unit in properties.items():
        kind = name.lower().replace("ref_", "")
        if kind in {"energy", "forces", "force"}:
            facts[f"{name}_unit"] = unit
    return facts


def _facts(row: Any) -> dict[str, Any]:
    """Return everything a row says by name: its data and key-value pairs.

    ASE's own attribute ``charge`` hides a key-value pair of that name.
    """
    pairs = {name: vars(row)[name] for name in row.key_value_pairs}
    return {**row.data, **pairs}


def _own(row: Any) -> dict[str, Any]:
    return {name: row.get(name) for name in ("energy", "forces") if name in row}


def _header(row: Any, path: Path) -> Header:
    facts, own = _facts(row), _own(row)
    where = f"row {row.id} of {path}"
    _require_same(facts, own, where)
    names = facts.keys() | own.keys()
    moments = ("initial_charges", "charges", "initial_magmoms", "magmoms")
    total = {"magmom": row.get("magmom")} if row.get("magmom") is not None else {}
    numbers, pbc = np.asarray(row.numbers), np.asarray(row.pbc, dtype=bool)
    geometry = (numbers, np.asarray(row.positions), np.asarray(row.cell), pbc)
    return Header(
        where=where,
        number=int(row.id),
        place=int(row.id),
        numbers=numbers,
        facts={**total, **facts},
        per_atom={name: row.get(name) for name in moments if row.get(name) is not None},
        periodic=bool(pbc.any()),
        energies=frozenset(names & {family.energy for family in FAMILIES}),
        forces=frozenset(names & {family.forces for family in FAMILIES}),
        geometry=b"".join(np.ascontiguousarray(part).tobytes() for part in geometry),
    )


def _require_same(facts: Mapping[str, Any], own: Mapping[str, Any], where: str) -> None:
    """Refuse a row whose data and whose results are two different labels.

    Raises:
        DataError: They differ.
    """
    for name in own.keys() & facts.keys():
        one, other = np.ravel(own[name]), np.ravel(facts[name])
        if one.shape != other.shape or not np.allclose(one, other, equal_nan=True):
            msg = f"{where} has two different {name}, in its results and in its data; "
            raise DataError(msg + "expected one: remove one, or call it REF_" + name)


def _frame(row: Any, path: Path, units: FrameUnits) -> Frame:
    """Return a row as a frame."""
    where, labels = f"row {row.id} of {path}", {**_own(row), **_facts(row)}
    energy, forces = labels_in(family_of(labels, labels, where), labels, labels)
    return Frame(
        where=where,
        numbers=np.asarray(row.numbers),
        positions=np.asarray(row.positions, dtype=np.float64).reshape(-1, 3),
        cell=np.asarray(row.cell, dtype=np.float64).reshape(3, 3),
        pbc=np.asarray(row.pbc, dtype=bool).reshape(3),
        energy=energy,
        forces=forces,
        units=units,
    )
