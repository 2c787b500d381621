"""Prior labels: computed once per structure and prior, then read from disk.

One SQLite file per prior: a chunk of labels is in it or not, also after ``kill -9`` and
with several processes writing. A label is found again by a checksum of everything the
prior may look at: exact positions, numbers, cell, charge, multiplicity and bonds.
"""

import hashlib
import importlib.metadata
import math
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pooch
import torch

import mlffbench
from mlffbench.core.assembly import NOT_FINITE, from_outcomes, singles
from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.files import make_folder
from mlffbench.core.forcefield import ForceField
from mlffbench.core.guards.sizes import size_of
from mlffbench.core.labels import Labels
from mlffbench.core.single import Computed, Outcome, Single
from mlffbench.core.structures import Structures

CHUNK = 128
"""Structures computed between two writes to the disk."""
PATIENCE_S = 60.0
"""How long a process waits for another one that is writing."""
TRANSIENT = "worker died"
"""Start of a reason that the machine may be to blame for: not stored, so tried again."""
_PACKAGES = {
    "gfn2-xtb": "tblite",
    "gfn1-xtb": "tblite",
    "mmff94": "rdkit",
    "uff": "rdkit",
    "emt": "ase",
}
_KEYS_PER_QUERY = 500
_TABLE = (
    "CREATE TABLE IF NOT EXISTS labels"
    " (key BLOB PRIMARY KEY, energy REAL, forces BLOB, reason TEXT)"
)
_QUERY = "SELECT key, energy, forces, reason FROM labels WHERE key IN"
_INSERT = "INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?)"


@runtime_checkable
class HasVersion(Protocol):
    """A force field that names the program and version its numbers come from.

    Attributes:
        version: e.g. ``"tblite 0.8.0"``.
    """

    version: str


def version_of(prior: ForceField) -> str:
    """Return what a prior's numbers depend on beside its name, in words.

    Its own ``version`` if it states one, else the version of the library behind it.

    Example:
        >>> from mlffbench.core.model_options import ModelOptions
        >>> from mlffbench.models.physics.xtb import load_gfn2
        >>> version_of(load_gfn2(ModelOptions())).split()[0]
        'tblite'
    """
    if isinstance(prior, HasVersion):
        return prior.version
    package = _PACKAGES.get(prior.name)
    if package is not None:
        return f"{package} {importlib.metadata.version(package)}"
    return f"mlffbench {mlffbench.__version__}"


def cache_folder(kind: str = "labels") -> Path:
    """Return ``$MLFFBENCH_CACHE/KIND``, else in the user's cache; creates nothing."""
    named = os.environ.get("MLFFBENCH_CACHE")
    root = Path(named).expanduser() if named else Path(pooch.os_cache("mlffbench"))
    return root / kind


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCache:
    """Labels of one prior on disk.

    Attributes:
        folder: Folder of all caches; created on the first write.
        prior: Name of the prior.
        version: What its numbers depend on beside the name; another version is another
            cache.
    """

    folder: Path
    prior: str
    version: str

    @classmethod
    def of(cls, prior: ForceField, folder: Path | None = None) -> "LabelCache":
        """Return the cache of a prior in a folder, by default that of the user."""
        return cls(
            folder=folder or cache_folder(), prior=prior.name, version=version_of(prior)
        )

    @property
    def path(self) -> Path:
        """The file of this prior and version."""
        words = f"{self.prior} {self.version}"
        plain = "".join(c if c.isalnum() or c in ".-" else "-" for c in self.prior)[:40]
        return self.folder / f"{plain}-{_checksum(words.encode()).hex()[:12]}.sqlite"

    def count(self) -> int:
        """Return how many structures are stored.

        Raises:
            StoreError: The file is broken or cannot be read.
        """
        if not self.path.exists():
            return 0
        with self._open() as connection:
            connection.execute(_TABLE)
            (count,) = connection.execute("SELECT COUNT(*) FROM labels").fetchone()
        return int(count)

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Outcome]:
        """Return what is stored under some keys.

        Raises:
            StoreError: The file is broken or cannot be read.
        """
        found: dict[bytes, Outcome] = {}
        if not self.path.exists():
            return found
        with self._open() as connection:
            connection.execute(_TABLE)
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                part = keys[start : start + _KEYS_PER_QUERY]
                query = f"{_QUERY} ({','.join('?' * len(part))})"
                for key, energy, forces, reason in connection.execute(query, part):
                    found[key] = self._outcome(energy, forces, reason)
        return found

    def write(self, outcomes: Mapping[bytes, Outcome]) -> None:
        """Store what became of some structures: all of them or, if killed, none.

        Raises:
            StoreError: The file is broken or cannot be written.
        """
        make_folder(self.folder)
        rows = [
            (key, *_columns(outcome))
            for key, outcome in outcomes.items()
            if not (isinstance(outcome, str) and outcome.startswith(TRANSIENT))
        ]
        with self._open() as connection:
            connection.execute(_TABLE)
            with connection:
                connection.executemany(_INSERT, rows)

    def _outcome(self, energy: object, forces: object, reason: object) -> Outcome:
        """Return what a row says; SQLite holds any type in any column."""
        if isinstance(reason, str):
            return reason
        row = 3 * np.dtype(np.float64).itemsize
        if (
            reason is None
            and isinstance(energy, float)
            and isinstance(forces, bytes)
            and len(forces) % row == 0
        ):
            return Computed(energy, np.frombuffer(forces, dtype="<f8").reshape(-1, 3))
        raise self._broken("a row is not a label")

    def _broken(self, reason: object) -> StoreError:
        return StoreError(
            f"the label cache {self.path} cannot be used ({reason}); delete it, its "
            "labels are then computed again"
        )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if self.path.exists():
                size_of(self.path)
            with closing(sqlite3.connect(self.path, timeout=PATIENCE_S)) as connection:
                yield connection
        except (sqlite3.Error, UnicodeDecodeError, DataError) as error:
            raise self._broken(error) from error


def label(
    structures: Structures,
    prior: ForceField,
    cache: LabelCache,
    advance: Callable[[int], None] | None = None,
) -> Labels:
    """Return a prior's labels of structures; what the cache holds is not computed.

    Args:
        structures: Any batch.
        prior: Computes what is missing, `CHUNK` structures at a time.
        cache: Read first, and written after each chunk: a killed run goes on there.
        advance: Told the number of structures whenever some are done.

    Returns:
        float64 labels on the device of the structures. What the prior could not compute
        is NaN and named with its reason in ``failures``: leave it out of every loss.

    Raises:
        StoreError: The cache is broken or cannot be written.
    """
    everything = singles(structures)
    outcomes: list[Outcome] = []
    for start in range(0, len(everything), CHUNK):
        part = everything[start : start + CHUNK]
        keys = [key_of(single) for single in part]
        # Read as late as possible: another process may have labelled the chunk meanwhile.
        known = cache.read(keys)
        # Each structure once, however often it occurs.
        missing = {key: i for i, key in enumerate(keys) if key not in known}
        if missing:
            places = list(missing.values())
            labels = prior.predict(structures.select([start + i for i in places]))
            computed = outcomes_of(labels, [len(part[i].numbers) for i in places])
            fresh = dict(zip(missing, computed, strict=True))
            cache.write(fresh)
            known = {**known, **fresh}
        outcomes += [known[key] for key in keys]
        if advance is not None:
            advance(len(part))
    return from_outcomes(structures, outcomes, f"{cache.prior}, {cache.version}")


def outcomes_of(labels: Labels, sizes: Sequence[int]) -> list[Outcome]:
    """Return labels structure by structure.

    Args:
        labels: Of a batch.
        sizes: Atoms of each structure.
    """
    energies = labels.energy.detach().double().cpu().tolist()
    forces = torch.split(labels.forces.detach().double().cpu(), list(sizes))
    outcomes: list[Outcome] = []
    for index, (energy, mine) in enumerate(zip(energies, forces, strict=True)):
        if index in labels.failures:
            outcomes.append(labels.failures[index])
        elif math.isfinite(energy) and bool(mine.isfinite().all()):
            outcomes.append(Computed(energy, mine.numpy()))
        else:
            outcomes.append(NOT_FINITE)
    return outcomes


def count_failures(labels: Labels) -> Mapping[str, int]:
    """Return how many structures failed for each reason, the most frequent first."""
    reasons = list(labels.failures.values())
    return {
        why: reasons.count(why) for why in sorted(set(reasons), key=reasons.count)[::-1]
    }


def key_of(single: Single) -> bytes:
    """Return the checksum of everything a prior may look at, 32 bytes."""
    state = f"{single.charge} {single.multiplicity} {single.smiles}"
    return _checksum(
        np.ascontiguousarray(single.numbers, dtype="<i8").tobytes(),
        np.ascontiguousarray(single.positions, dtype="<f8").tobytes(),
        np.ascontiguousarray(single.cell, dtype="<f8").tobytes(),
        np.ascontiguousarray(single.pbc, dtype=np.uint8).tobytes(),
        state.encode(),
    )


def _checksum(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _columns(outcome: Outcome) -> tuple[float | None, bytes | None, str | None]:
    if isinstance(outcome, str):
        return None, None, outcome
    forces = np.ascontiguousarray(outcome.forces, dtype="<f8")
    return outcome.energy, forces.tobytes(), None
