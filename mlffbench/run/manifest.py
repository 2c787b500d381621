"""The manifest of a run: what decides its numbers, who made them, whether it is done."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mlffbench.core.errors import StoreError
from mlffbench.core.files import make_folder
from mlffbench.run.checksums import forget
from mlffbench.run.folder import RunFolder
from mlffbench.run.provenance import command_line, git_state, hardware, versions


def manifest_of(
    decides: Mapping[str, Any], about: Mapping[str, Any], *, device: str
) -> dict[str, Any]:
    """Return the manifest of a run that is about to begin.

    Args:
        decides: Everything that decides the numbers, versions apart.
        about: What else it tells.
        device: ``cpu`` or ``cuda``.
    """
    return {
        "fingerprint": run_fingerprint(decides),
        **decides,
        "versions": versions(),
        **about,
        "git": git_state(),
        "hardware": hardware(device),
        "command": command_line(),
        "started": now(),
    }


def run_fingerprint(decides: Mapping[str, Any]) -> str:
    """Return the fingerprint that the manifest of a run has here."""
    return fingerprint_of({**decides, "versions": versions()})


def fingerprint_of(decides: Mapping[str, Any]) -> str:
    """Return the checksum of all that decides the numbers of a run."""
    text = json.dumps(dict(decides), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def is_finished(
    folder: RunFolder, manifest: Mapping[str, Any], *, overwrite: bool
) -> bool:
    """Return whether this run is complete; make way for it where it is to start.

    Args:
        folder: Where it belongs; held by the caller.
        manifest: Its ``fingerprint`` decides whether what is there is the same run.
        overwrite: Delete finished, broken or other results instead of keeping or
            refusing.

    Raises:
        StoreError: The folder holds another run, or a broken one.
    """
    try:
        stored = folder.read_manifest() if folder.manifest_path.exists() else {}
    except StoreError:
        if not overwrite:
            raise
        stored = {}
    same = stored.get("fingerprint") == manifest["fingerprint"]
    complete = same and stored.get("status") == "complete"
    if stored and not same and not overwrite:
        msg = f"{folder.path} holds a run with other settings ("
        msg += f"{difference(stored, manifest)}); choose another --out, or "
        raise StoreError(msg + "delete it with --overwrite")
    if not same or (complete and overwrite):
        # parts first: without the manifest nobody could tell whose they are
        shutil.rmtree(folder.parts, ignore_errors=True)
        folder.manifest_path.unlink(missing_ok=True)
        forget(folder.path)
        return False
    if complete:
        tidy(folder)  # killed before it could
    return complete


def begin(folder: RunFolder, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a run that computes, unless it has begun before.

    Raises:
        StoreError: The folder cannot be written.
    """
    make_folder(folder.parts)
    if not folder.manifest_path.exists():
        folder.write_manifest({**manifest, "status": "running"})


def finish(
    folder: RunFolder, manifest: Mapping[str, Any], costs: Mapping[str, Any]
) -> None:
    """Mark a run complete, then drop what only a run in progress needs.

    Raises:
        StoreError: The folder cannot be written.
    """
    folder.complete({**manifest, **costs, "finished": now()})
    tidy(folder)


def tidy(folder: RunFolder) -> None:
    """Drop what only a run in progress needs; held by the caller."""
    shutil.rmtree(folder.parts, ignore_errors=True)
    folder.request_path.unlink(missing_ok=True)


def now() -> str:
    """Return the time as manifests tell it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def difference(stored: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """Return the first resolved value that differs, in words.

    Args:
        stored: Manifest of a run that is there.
        manifest: Of one that is to be.
    """
    for part in ("job", "mode", "model", "versions", "splits"):
        old, new = stored.get(part), manifest[part]
        if old == new:
            continue
        if not (isinstance(old, dict) and isinstance(new, dict)):
            return f"{part} differ"
        for key in sorted({*old, *new}):
            before, after = old.get(key), new.get(key)
            if isinstance(before, dict) and isinstance(after, dict) and before != after:
                names = {*before, *after}
                one = min(n for n in names if before.get(n) != after.get(n))
                return f"{part}, {key}: {one} is another"
            if before != after:
                return f"{part}, {key}: {before} there, {after} now"
    return "nothing that is stored tells which"
