"""Indexes: one pass over a file, kept as a parquet table beside it.

A pass over SPICE 2 takes a good while. It is made once, in chunks that are each written
atomically: killed at any moment, the same call goes on with the next chunk.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pooch
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.files import make_folder, write_atomic
from mlffbench.core.guards.children import FreshPool
from mlffbench.core.split import Source
from mlffbench.datasets.files.walk import Rowwise, Walkable, walk_of
from mlffbench.datasets.index.annotations import SCHEMA, facts_of
from mlffbench.datasets.molecules.smiles import has_rdkit

VERSION = 2
"""Raised whenever an index made before would differ."""
GROUPS_PER_CHUNK = 500
ROWS_PER_CHUNK = 5_000
_ROWS_PER_GROUP = 100_000
"""Rows of the final table that are in memory at a time."""
_MADE_FROM = b"mlffbench.made_from"


class Counter(Protocol):
    """Whoever wants to know how far a pass is; a run's progress bar is one."""

    def begin(self, title: str, n_structures: int) -> None:
        """A pass of so many steps starts."""
        ...

    def advance(self, n_structures: int) -> None:
        """Steps were finished."""
        ...


def build_index(
    source: Source,
    path: Path,
    target: Path,
    *,
    workers: int = 1,
    counter: Counter | None = None,
    options: str = "",
) -> Path:
    """Make sure that the index of a file is there and up to date.

    Args:
        source: The source that reads the file.
        path: The file.
        target: Where the index belongs; its folder is created.
        workers: Processes that read.
        counter: Told of every finished chunk.
        options: How the file is read, e.g. in which units, in words.

    Returns:
        ``target``.

    Raises:
        DataError: The file is damaged; what was finished is kept.
        StoreError: The folder cannot be written.
    """
    facts = made_from(source, path, options)
    if is_current(target, facts):
        return target
    make_folder(target.parent)
    with _locked(target):
        if is_current(target, facts):  # another process was faster
            return target
        parts = target.with_name(target.name + ".parts")
        _start(parts, facts)
        walk = walk_of(source)
        chunks = _chunks(walk)
        if counter:
            counter.begin(f"index {path.name}", walk.n_steps)
        for start, stop in _written(walk, chunks, parts, workers):
            if counter:
                counter.advance(stop - start)
        _join(parts, [_part(parts, start) for start, _ in chunks], target, facts)
        shutil.rmtree(parts, ignore_errors=True)
    return target


def is_current(target: Path, facts: str) -> bool:
    """Return whether an index is there, whole, and made from the file as it is now."""
    try:
        metadata = pq.read_schema(target).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return False
    return bool(metadata.get(_MADE_FROM) == facts.encode())


def made_from(source: Source, path: Path, options: str = "") -> str:
    """Return what an index depends on: the file, the reader and the rules."""
    try:
        status = path.stat()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}; check the path"
        raise DataError(msg) from error
    values = {
        "version": VERSION,
        "name": path.name,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "reader": f"{type(source).__name__} {options}".strip(),
        "canonical_smiles": has_rdkit(),
    }
    return json.dumps(values, sort_keys=True)


def _start(parts: Path, facts: str) -> None:
    """Keep the chunks of an interrupted pass over the same file, delete any others."""
    note = parts / "made_from.json"
    try:
        same = note.read_text(encoding="utf-8") == facts
    except (OSError, UnicodeDecodeError):
        same = False
    if not same:
        shutil.rmtree(parts, ignore_errors=True)
        make_folder(parts)
        write_atomic(note, facts.encode())


def _chunks(walk: Walkable) -> list[tuple[int, int]]:
    step = ROWS_PER_CHUNK if isinstance(walk, Rowwise) else GROUPS_PER_CHUNK
    total = walk.n_steps
    return [(start, min(start + step, total)) for start in range(0, total, step)]


def _part(parts: Path, start: int) -> Path:
    return parts / f"{start:09d}.parquet"


def _written(
    walk: Walkable, chunks: list[tuple[int, int]], parts: Path, workers: int
) -> Iterator[tuple[int, int]]:
    """Yield every chunk once it is on disk."""
    missing = []
    for chunk in chunks:
        if _part(parts, chunk[0]).exists():
            yield chunk
        else:
            missing.append(chunk)
    targets = [_part(parts, start) for start, _ in missing]
    if workers <= 1 or len(missing) <= 1:
        for chunk, target in zip(missing, targets, strict=True):
            _write_chunk(walk, chunk, target)
            yield chunk
        return
    with FreshPool(workers, initializer=_take, initargs=(walk,)) as pool:
        try:
            done = pool.map(_write_taken, missing, targets)
            for chunk, _ in zip(missing, done, strict=True):
                yield chunk
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_chunk(walk: Walkable, chunk: tuple[int, int], target: Path) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(facts_of(walk.walk(*chunk)), sink, compression="zstd")
    write_atomic(target, sink.getvalue().to_pybytes())


_TAKEN: list[Walkable] = []


def _take(walk: Walkable) -> None:
    _TAKEN[:] = [walk]


def _write_taken(chunk: tuple[int, int], target: Path) -> None:
    _write_chunk(_TAKEN[0], chunk, target)


def _join(parts: Path, files: list[Path], target: Path, facts: str) -> None:
    """Write the chunks as one table and give it its name when it is whole."""
    whole = parts / "whole.parquet"
    schema = SCHEMA.with_metadata({_MADE_FROM: facts.encode()})
    try:
        with pq.ParquetWriter(whole, schema, compression="zstd") as writer:
            waiting: list[pa.Table] = []
            for number, file in enumerate(files, 1):
                waiting.append(pq.read_table(file, schema=SCHEMA))
                n_rows = sum(len(table) for table in waiting)
                if n_rows >= _ROWS_PER_GROUP or number == len(files):
                    table = pa.concat_tables(waiting).unify_dictionaries()
                    writer.write_table(table.cast(schema))
                    waiting = []
        whole.replace(target)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        msg = f"cannot write {target}: {reason}; free some space, then repeat the command"
        raise StoreError(msg) from error
    except pa.ArrowInvalid as error:
        shutil.rmtree(parts, ignore_errors=True)
        msg = f"{parts} holds a damaged chunk and was deleted; repeat the command"
        raise StoreError(msg) from error


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Let one process at a time build an index; others wait for it."""
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire()
    except OSError as error:
        msg = f"cannot write into {target.parent}: {error.strerror}; make it writable, or"
        raise StoreError(msg + " choose another data folder") from error
    try:
        yield
    finally:
        lock.release()


def cache_of_indexes() -> Path:
    """Return ``$MLFFBENCH_CACHE/indexes``, else in the user's cache; creates nothing."""
    named = os.environ.get("MLFFBENCH_CACHE")
    root = Path(named).expanduser() if named else Path(pooch.os_cache("mlffbench"))
    return root / "indexes"


def digest_of(text: str) -> str:
    """Return a short name for a long text, e.g. of a path."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
