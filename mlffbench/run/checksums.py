"""Checksums of a run folder: ``sha256sums``, which ``sha256sum -c`` reads too.

A file that is not what was written, damaged or edited, is noticed by whoever reads the
folder next. The checksum of a file is written before the file: killed between the two,
the command that wrote it writes it again.
"""

import hashlib
import logging
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.files import sha256_of, write_atomic
from mlffbench.core.guards.plain import plain
from mlffbench.core.guards.sizes import read_text

NAME = "sha256sums"
SCORES = ("records.jsonl", "alignment.json", "survival.csv", "labels_saved.csv")
"""What ``mlffbench score`` writes anew."""
DIAGNOSES = ("diagnostics.json", "diagnostics.parquet")
LATER = (*SCORES, *DIAGNOSES)
"""What is written beside the results of a run that is complete."""
_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)")
_LOG = logging.getLogger(__name__)


def seal(folder: Path, manifest_name: str, manifest: bytes) -> None:
    """Write the checksums of a run that is complete.

    Args:
        folder: Its folder; the results are there.
        manifest_name: Of the file that says that it is complete, not yet written.
        manifest: Its content.

    Raises:
        StoreError: The folder cannot be written.
    """
    results = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in {".npz", ".parquet"} and path.name not in LATER
    ]
    digests = {path.name: sha256_of(path) for path in results}
    _write(folder, {manifest_name: _digest(manifest), **digests})


def note(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Note what is about to be written, where a folder has checksums.

    Args:
        folder: The folder.
        contents: Name of each file -> what will be in it.

    Raises:
        StoreError: The folder cannot be written, or its checksums are damaged.
    """
    known = read_checksums(folder)
    if known is not None:
        new = {name: _digest(content) for name, content in contents.items()}
        _write(folder, {**known, **new})


def forget(folder: Path) -> None:
    """Remove the checksums of a folder whose run starts anew."""
    (folder / NAME).unlink(missing_ok=True)


def read_checksums(folder: Path) -> dict[str, str] | None:
    """Return name -> sha256 of the files of a run; None where it has no checksums.

    Raises:
        StoreError: They are damaged.
    """
    path = folder / NAME
    try:
        text = read_text(path) if os.path.lexists(path) else None
    except DataError as error:
        msg = f"{path} cannot be read; repeat the run with --overwrite"
        raise StoreError(msg) from error
    if text is None:
        return None
    found = checksums_in(text)
    if found is None or any(Path(name).name != name for name in found):
        msg = f"{path} is damaged: expected a checksum and a name on every line; repeat "
        raise StoreError(msg + "the run with --overwrite")
    return found


def checksums_in(text: str) -> dict[str, str] | None:
    """Return name -> sha256 of the lines that ``sha256sum`` writes, each name once.

    Returns:
        None where a line is another one, or a name stands there twice.
    """
    lines = [_LINE.fullmatch(line) for line in text.splitlines()]
    found = {line[2]: line[1] for line in lines if line is not None}
    return found if len(found) == len(lines) else None


def verify(folder: Path, *, passing: Collection[str] = ()) -> bool:
    """Return whether the files of a run are as written; False where nothing tells.

    Args:
        folder: The folder of a run that is complete.
        passing: Names that are passed over, since they are about to be written anew.

    Raises:
        StoreError: A file is missing or not the one that was written.
    """
    known = read_checksums(folder)
    for name, expected in (known or {}).items():
        if name in passing:
            continue
        path = folder / name
        if name in DIAGNOSES and not path.exists():
            continue  # it is made anew when it is missing
        do = "repeat the run with --overwrite"
        if name in SCORES:
            do = f"run: mlffbench score {folder}"
        try:
            found = sha256_of(path)
        except DataError as error:
            msg = f"{path} is missing or cannot be read; {do}"
            raise StoreError(msg) from error
        if found != expected:
            msg = f"{path} is not what was written there, so it was damaged or altered ("
            msg += f"sha256 {found[:12]}…, expected {expected[:12]}…); {do}"
            raise StoreError(msg)
    return known is not None


def say_unverified(folders: Iterable[Path]) -> None:
    """Warn once of those of some folders whose files nothing vouches for."""
    names = [plain(one) for one in folders if not os.path.lexists(one / NAME)]
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        _LOG.warning(
            "%s%s: written without checksums, so whether these files were altered is not "
            "verifiable",
            names[0],
            more,
        )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(folder: Path, digests: Mapping[str, str]) -> None:
    text = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    write_atomic(folder / NAME, text.encode())
