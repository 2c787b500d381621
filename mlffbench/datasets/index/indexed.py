"""A source with its index read from disk instead of found out anew."""

import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlffbench.core.card import elements
from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.files import sha256_of, write_atomic
from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows, Source
from mlffbench.core.structures import Structures
from mlffbench.datasets.files.grouped import GroupedFile
from mlffbench.datasets.files.open import open_source
from mlffbench.datasets.files.spice_layout import SpiceFile
from mlffbench.datasets.index.annotations import WORDS
from mlffbench.datasets.index.index import (
    Counter,
    build_index,
    cache_of_indexes,
    digest_of,
    made_from,
)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Table:
    """An index in memory: facts per record, and per structure.

    Attributes:
        index: The same as every source has; the molecule key is the canonical SMILES
            where there is one.
        canonical: Canonical SMILES of each record, empty where unknown.
        formula: Hill formula of each record.
        geometry: Shape (n_structures,), int64 hashes of the geometries.
        mean_force: Shape (n_structures,), mean atomic |F| in eV/Å; NaN where not known.
        usable: Shape (n_structures,), bool: labels are finite and no component of a force
            is beyond SPICE's filter of 1 hartree/bohr.
    """

    index: Index
    canonical: tuple[str, ...]
    formula: tuple[str, ...]
    geometry: NDArray[np.int64]
    mean_force: NDArray[np.float64]
    usable: NDArray[np.bool_]

    @classmethod
    def read(cls, path: Path) -> "Table":
        """Return the table of an index file.

        Raises:
            DataError: The file is damaged.
        """
        try:
            columns = [name for name in pq.read_schema(path).names if name != "id"]
            table = pq.read_table(path, columns=columns, read_dictionary=list(WORDS))
        except (OSError, pa.ArrowInvalid) as error:
            reason = str(error).splitlines()[0]
            msg = f"the index {path} cannot be read ({reason}); delete it, then repeat "
            raise DataError(msg + "the command") from error
        table = table.unify_dictionaries().combine_chunks()
        record = table["record"].to_numpy().astype(np.int64)
        first = np.flatnonzero(np.diff(record, prepend=-1))
        one = table.take(pa.array(first))
        words = {name: tuple(one[name].to_pylist()) for name in WORDS}
        known = {word: elements(word) for word in set(words["elements"])}
        index = Index(
            keys=words["key"],
            groups=words["molecule"],
            smiles=words["smiles"],
            subsets=words["subset"],
            elements=tuple(known[word] for word in words["elements"]),
            n_atoms=one["n_atoms"].to_numpy().astype(np.int64),
            charge=one["charge"].to_numpy().astype(np.int64),
            multiplicity=one["multiplicity"].to_numpy().astype(np.int64),
            periodic=np.asarray(one["periodic"].to_pylist(), dtype=np.bool_),
            record=np.repeat(
                np.arange(len(first)), np.diff(first, append=len(record))
            ).astype(np.int64),
            conformer=table["conformer"].to_numpy().astype(np.int64),
        )
        passes, finite = (
            table[name].to_numpy() for name in ("gradient_passes", "energy_finite")
        )
        return cls(
            index=index,
            canonical=words["canonical"],
            formula=words["formula"],
            geometry=table["geometry"].to_numpy(),
            mean_force=table["mean_force"].to_numpy(),
            usable=np.asarray(passes & finite, dtype=np.bool_),
        )


class IndexedFile:
    """A file whose index was made once and is kept; a `Source` like any other.

    The index lies beside the file, or in the cache where that folder is read-only. It is
    made again when the file changes.

    Args:
        path: The file.
        workers: Processes that index.
        counter: Told how far indexing is.
        options: Passed to `mlffbench.datasets.files.open.open_source`.

    Raises:
        DataError: The file is missing or damaged.
        StoreError: There is nowhere to keep the index.
    """

    def __init__(
        self,
        path: Path,
        *,
        workers: int = 1,
        counter: Counter | None = None,
        **options: Any,
    ) -> None:
        self.path = path
        self._plain = open_source(path, **options)
        self._options = json.dumps(options, sort_keys=True, default=str)
        self.level_of_theory = self._plain.level_of_theory
        self.index_path = build_index(
            self._plain,
            path,
            _index_path(path),
            workers=workers,
            counter=counter,
            options=self._options,
        )
        self._table: Table | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the table behind: whoever unpickles reads it anew."""
        state = {k: v for k, v in self.__dict__.items() if k != "_source"}
        return {**state, "_table": None}

    @property
    def table(self) -> Table:
        """Everything the index says."""
        if self._table is None:
            self._table = Table.read(self.index_path)
        return self._table

    @property
    def index(self) -> Index:
        """What the file holds."""
        return self.table.index

    @property
    def made_from(self) -> str:
        """What the index was made from: it changes when the file does."""
        return made_from(self._plain, self.path, self._options)

    @property
    def sha256(self) -> str:
        """Checksum of the file, computed once and kept beside the index."""
        status = self.path.stat()
        facts = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
        note = self.index_path.with_name(self.index_path.name + ".sha256.json")
        try:
            kept = json.loads(note.read_text(encoding="utf-8"))
            if {name: kept[name] for name in facts} == facts:
                return str(kept["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            kept = None  # not there, or not ours: computed again
        digest = sha256_of(self.path)
        try:
            write_atomic(note, json.dumps({**facts, "sha256": digest}).encode())
        except StoreError:
            return digest  # a read-only folder only costs the time to compute it
        return digest

    def structures(self, rows: Rows) -> Structures:
        """Return structures by row of the index, float64, in Å.

        Raises:
            DataError: The file is damaged, or a position is not finite.
        """
        found = self._source.structures(rows)
        groups = self.index.groups
        names = tuple(groups[record] for record in self.index.record[rows].tolist())
        return replace(found, group=names)

    def labels(self, rows: Rows) -> Labels:
        """Return reference labels by row of the index, float64, in eV and eV/Å.

        Raises:
            DataError: The file is damaged.
        """
        return self._source.labels(rows)

    @cached_property
    def _source(self) -> Source:
        """The plain source; where that saves a walk over the file, with our index."""
        if isinstance(self._plain, SpiceFile | GroupedFile):
            return self._plain.with_index(self.index)
        return self._plain


def _index_path(path: Path) -> Path:
    name = f"{path.name}.index.parquet"
    beside = path.with_name(name)
    if beside.exists() or os.access(path.parent, os.W_OK):
        return beside
    return cache_of_indexes() / f"{digest_of(str(path.resolve()))}-{name}"
