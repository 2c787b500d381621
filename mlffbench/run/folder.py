"""The run folder: parts while it runs, whole files when it is done.

::

    runs/<suite>/<model>/<mode>/          runs/<suite>--limit-<N>/… of a trial
      run.json             what was run, where, with what; ``status`` running | complete
      predictions.parquet  one row per structure
      forces.npz           predicted forces, atoms laid end to end, rows in order
      reference.npz        reference energies and forces, the same order
      structures.npz       positions, numbers and cells, the same order
      records.jsonl        the metrics
      alignment.json       the per-element shifts of the aligned energies
      sha256sums           the checksum of each of these
      request.json         what was asked for, for workers, while it runs
"""

import errno
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from pydantic import ValidationError

from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.files import make_folder, write_atomic
from mlffbench.core.guards.archives import ARCHIVE_FAULTS, check_members
from mlffbench.core.guards.output import shortage
from mlffbench.core.guards.sizes import size_of
from mlffbench.core.record import SCHEMA_VERSION, Record
from mlffbench.run.checksums import LATER, note, seal, verify

Arrays = dict[str, NDArray[Any]]
SIMULATION, CURVE = "dynamics.json", "curve.json"
"""What stands in place of ``run.json`` in the folder of a simulation or of a curve."""


class HeldError(StoreError):
    """A run folder that another process holds."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's folder.

    Attributes:
        path: Where it lies.
        manifest_name: Its file of manifest; another kind of run has another name for it.
    """

    path: Path
    manifest_name: str = "run.json"

    @property
    def manifest_path(self) -> Path:
        """File of what was run, where and with what."""
        return self.path / self.manifest_name

    @property
    def request_path(self) -> Path:
        """File of what was asked for, for workers, while it runs."""
        return self.path / "request.json"

    @property
    def parts(self) -> Path:
        """Folder of what was computed so far."""
        return self.path / "parts"

    def part(self, number: int) -> Path:
        """Return the file of a batch."""
        return self.parts / f"{number:06d}.npz"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against other processes.

        Raises:
            HeldError: Another process holds it.
            StoreError: It cannot be written.
        """
        make_folder(self.path)
        path = self.path / ".lock"
        lock = FileLock(path, timeout=0)
        try:
            path.touch()
            before = _inode_of(path)
            lock.acquire()
            if before is None or _inode_of(path) != before:
                lock.release()  # of a file that another process has just removed
                raise Timeout(str(path))
        except Timeout as error:
            msg = (
                f"another mlffbench is writing to {self.path}; wait for it or give --out"
            )
            raise HeldError(msg) from error
        except OSError as error:
            msg = f"cannot write to {self.path}: {error.strerror}; choose another with "
            raise StoreError(msg + "--out") from error
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no file that is open
                path.unlink()
            lock.release()

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write ``run.json``."""
        write_atomic(self.manifest_path, _as_json(manifest))

    def complete(self, manifest: Mapping[str, Any]) -> None:
        """Write the checksums of the results, then the ``run.json`` of what is done.

        Raises:
            StoreError: The folder cannot be written.
        """
        content = _as_json({**manifest, "status": "complete"})
        seal(self.path, self.manifest_name, content)
        write_atomic(self.manifest_path, content)

    def write_scores(self, contents: Mapping[str, bytes]) -> None:
        """Write files that come after the results, their checksums first.

        Raises:
            StoreError: The folder cannot be written.
        """
        note(self.path, contents)
        for name, content in contents.items():
            write_atomic(self.path / name, content)

    def read_manifest(self) -> dict[str, Any]:
        """Return ``run.json``.

        Raises:
            StoreError: There is none, or it is broken or of another schema.
        """
        path = self.manifest_path
        try:
            size_of(path)
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except (DataError, OSError, ValueError, RecursionError) as error:
            raise unreadable(
                path, error, "run the suite again with --overwrite"
            ) from error
        version = manifest.get("schema_version") if isinstance(manifest, dict) else None
        if version != SCHEMA_VERSION:
            msg = f"{path} has schema version {version}, this mlffbench reads "
            raise StoreError(
                msg + f"{SCHEMA_VERSION}; run the suite again with --overwrite"
            )
        return dict(manifest)

    def read_finished(self, what: str) -> dict[str, Any]:
        """Return ``run.json`` of what is complete; its results are what was written.

        Args:
            what: What a message calls it, e.g. ``"run"``.

        Raises:
            StoreError: It has not finished, or a file is missing, broken or altered.
        """
        manifest = self.read_manifest()
        if manifest.get("status") != "complete":
            msg = f"the {what} in {self.path} has not finished; repeat its command to "
            raise StoreError(msg + f"continue: {manifest.get('command')}")
        verify(self.path, passing=LATER)
        return manifest

    def write_part(self, number: int, arrays: Arrays) -> None:
        """Store one finished batch."""
        write_arrays(self.part(number), arrays)

    def read_part(self, number: int, rows: NDArray[np.int64]) -> Arrays | None:
        """Return a stored batch, or None when it has yet to be computed.

        A part that is broken or holds other rows counts as not computed.
        """
        arrays = self.read_any_part(number)
        if arrays is None or "rows" not in arrays:
            return None
        return arrays if np.array_equal(arrays["rows"], rows) else None

    def read_any_part(self, number: int) -> Arrays | None:
        """Return a stored batch whatever it holds, or None when none is there."""
        try:
            return read_arrays(self.part(number))
        except StoreError:
            return None

    def read_table(
        self,
        name: str = "predictions.parquet",
        what: str = "run",
        columns: list[str] | None = None,
    ) -> pd.DataFrame:
        """Return a table, with a row per structure unless another is named.

        Args:
            name: Of the file.
            what: What a message calls that which wrote it.
            columns: Those to read; None is all.

        Raises:
            StoreError: It is missing or broken.
        """
        path = self.path / name
        try:
            size_of(path)
            with path.open("rb") as file:  # its name need not be UTF-8
                return pd.read_parquet(file, columns=columns)
        except (DataError, *ARCHIVE_FAULTS, AttributeError, pa.ArrowException) as error:
            raise unreadable(
                path, error, f"repeat the {what} with --overwrite"
            ) from error

    def write_alignment(self, shifts: Mapping[str, Any] | None) -> None:
        """Write ``alignment.json``: the per-element shifts of the aligned energies."""
        text = json.dumps(shifts, indent=2) + "\n"
        self.write_scores({"alignment.json": text.encode()})

    def write_records(self, records: list[Record]) -> None:
        """Write ``records.jsonl``."""
        lines = "".join(record.model_dump_json() + "\n" for record in records)
        self.write_scores({"records.jsonl": lines.encode()})

    def read_records(self) -> list[Record]:
        """Return ``records.jsonl``.

        Raises:
            StoreError: It is missing or broken.
        """
        path = self.path / "records.jsonl"
        try:
            size_of(path)
            lines = path.read_text(encoding="utf-8").splitlines()
            return [Record.model_validate_json(line) for line in lines]
        except (DataError, OSError, ValidationError, UnicodeDecodeError) as error:
            raise unreadable(path, error, f"run: mlffbench score {self.path}") from error


def _inode_of(path: Path) -> int | None:
    """Return which file has a name at this moment; None where none has."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def suite_folder(suite: str, *, half: str = "test", limit: int | None = None) -> str:
    """Return the name of the folder of a suite's runs; trials lie apart.

    Args:
        suite: Name of the suite.
        half: The val half lies apart too.
        limit: Structures, or molecules, per split at most; None is all.

    Example:
        >>> suite_folder("mini-ood", limit=6)
        'mini-ood--limit-6'
    """
    plain = suite if half == "test" else f"{suite}-{half}"
    return plain if limit is None else f"{plain}--limit-{limit}"


def limit_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return what a record tells of a trial, how many per split; else nothing."""
    limit = manifest["job"].get("limit")
    return {} if limit is None else {"limit": str(limit)}


def run_folder(out: Path, suite: str, model: str, mode: str) -> RunFolder:
    """Return the folder of a run; names of folders stay legal on every file system."""
    return RunFolder(out / suite / slug(model) / mode)


def slug(name: str) -> str:
    """Return a name as a folder name; a changed name gets a short checksum."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80]
    return plain if plain == name else f"{plain}-{sha256(name.encode()).hexdigest()[:8]}"


def find_runs(folders: list[Path]) -> list[RunFolder]:
    """Return every run under some folders, in the order they were started.

    Raises:
        StoreError: There is none.
    """
    found = {path.parent for folder in folders for path in folder.rglob("run.json")}
    if not found:
        names = ", ".join(str(folder) for folder in folders)
        msg = f"no run under {names}; make one with: mlffbench run --suite mini-ood"
        raise StoreError(msg)
    return sorted((RunFolder(path) for path in sorted(found)), key=_started)


def _started(run: RunFolder) -> str:
    """Return when a run began; empty where its manifest is broken, as scoring tells."""
    try:
        return str(run.read_manifest().get("started", ""))
    except StoreError:
        return ""


def remarks_of(folders: Sequence[RunFolder]) -> list[str]:
    """Return what the checks of some runs found wrong, each sentence once.

    Raises:
        StoreError: A ``run.json`` is missing or broken.
    """
    checks = [folder.read_manifest().get("checks") or {} for folder in folders]
    return list(dict.fromkeys(text for one in checks for text in one.get("remarks", ())))


def find_others(folders: Sequence[Path], manifest_name: str) -> list[RunFolder]:
    """Return every simulation (`SIMULATION`) or curve (`CURVE`) under some folders."""
    found = {path.parent for folder in folders for path in folder.rglob(manifest_name)}
    return [RunFolder(path, manifest_name) for path in sorted(found)]


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as parquet, atomically."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), buffer)
    write_atomic(path, buffer.getvalue())


def write_arrays(
    path: Path, arrays: Arrays, *, packed: bool = False, lasting: bool = True
) -> None:
    """Write named arrays as an npz, uncompressed or packed, atomically; no pickles.

    Args:
        path: The file.
        arrays: By name.
        packed: Whether it is compressed.
        lasting: Whether it is waited for until a power cut cannot take it.
    """
    buffer = io.BytesIO()
    write = np.savez_compressed if packed else np.savez
    write(buffer, allow_pickle=False, **arrays)
    write_atomic(path, buffer.getvalue(), lasting=lasting)


def read_arrays(path: Path) -> Arrays:
    """Return the arrays of an npz.

    Raises:
        StoreError: It is missing or broken.
    """
    try:
        size_of(path)
        with path.open("rb") as content:
            check_members(content)
            with np.load(content, allow_pickle=False) as arrays:
                return dict(arrays)
    except (DataError, *ARCHIVE_FAULTS) as error:
        raise unreadable(path, error, "repeat the run with --overwrite") from error


def _as_json(manifest: Mapping[str, Any]) -> bytes:
    content = {"schema_version": SCHEMA_VERSION, **manifest}
    text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=False) + "\n"
    # a path that is no UTF-8 has lone surrogates, which no file can hold as they are
    return text.encode("utf-8", errors="backslashreplace")


def unreadable(path: Path, error: Exception, what_to_do: str) -> StoreError:
    """Return the sentence for a file that is broken, or that cannot even be opened."""
    if isinstance(error, DataError) and not isinstance(error.__cause__, OSError):
        return StoreError(f"cannot read {error}")  # it is no file
    if isinstance(error.__cause__, OSError):
        error = error.__cause__
    if isinstance(error, OSError) and error.errno not in {None, errno.ENOENT}:
        return StoreError(f"cannot read {path}: {shortage(error) or error.strerror}")
    return StoreError(f"{path} is missing or broken; {what_to_do}")
