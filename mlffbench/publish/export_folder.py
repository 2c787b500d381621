"""An export: a folder of results that others verify and merge.

::

    DIR/
      README.md       what it is, under which licences, how to verify it
      export.json     the runs in it, with sizes and licences
      report.md       their tables
      sha256sums      the checksum of every file, which ``sha256sum -c`` reads too
      runs/<suite>/<model>/<mode>/   a run folder, its arrays packed; below it the
                                     simulations of that mode, under dynamics/
      runs/<suite>/<model>/finetune-curve/

A folder from elsewhere is hostile until it has been looked through: `open_export` follows
no link, reads no file that is not named, and unpacks nothing that claims too much.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mlffbench.core.errors import BenchError, DataError, StoreError, first_fault
from mlffbench.core.files import sha256_of
from mlffbench.core.guards.sizes import read_text
from mlffbench.publish.received_further import (
    CURVES,
    SIMULATIONS,
    FurtherKind,
    check_further,
)
from mlffbench.publish.received_run import (
    as_received,
    check_keys,
    check_run,
    damaged,
    files_of_run,
)
from mlffbench.run.checksums import checksums_in
from mlffbench.run.folder import RunFolder

MANIFEST, SUMS, README, REPORT = "export.json", "sha256sums", "README.md", "report.md"
RUNS = "runs"
SCHEMA = 1
MOST_FILES = 20_000
"""Files of an export."""
Kind = Literal["run", "simulation", "curve"]
RUN = "run.json"
FURTHER: Mapping[Kind, FurtherKind] = {"simulation": SIMULATIONS, "curve": CURVES}
MANIFEST_OF: Mapping[Kind, str] = {
    "run": RUN,
    **{kind: one.manifest_name for kind, one in FURTHER.items()},
}
KINDS: Mapping[str, Kind] = {name: kind for kind, name in MANIFEST_OF.items()}


class ExportedRun(BaseModel):
    """What an export says of a run, a simulation or a fine-tuning curve.

    Attributes:
        kind: Which of them.
        folder: Below the export, with slashes.
        suite: Name of the suite, with its ``suite_version``.
        model: The model.
        mode: The mode.
        half: ``test``, or ``val``, the half that tunes.
        limit: Structures per split at most, of a trial; None is all.
        predictions: Whether that is there from which its numbers can be computed again.
        bytes: Of its files.
        model_licence: As the model's card says.
        data_licences: Data set -> licence, as its card says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Kind = "run"
    folder: str
    suite: str
    suite_version: int
    model: str
    mode: str
    half: str
    limit: int | None
    predictions: bool
    bytes: int
    model_licence: str
    data_licences: dict[str, str]


class ExportManifest(BaseModel):
    """What ``export.json`` holds.

    Attributes:
        schema_version: Of this file.
        mlffbench: Version that wrote it.
        written: When, UTC.
        licence: Of the results, as who exported them says.
        runs: What is in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: int = SCHEMA
    mlffbench: str
    written: str
    licence: str
    runs: tuple[ExportedRun, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """An export whose files are what was written.

    Attributes:
        path: Its folder.
        manifest: Its ``export.json``.
        n_files: Files whose checksums were compared.
        n_bytes: Of all of them.
    """

    path: Path
    manifest: ExportManifest
    n_files: int
    n_bytes: int

    @property
    def folders(self) -> tuple[RunFolder, ...]:
        """The runs, in the order of the manifest."""
        return tuple(
            RunFolder(self.path / run.folder, MANIFEST_OF[run.kind])
            for run in self.manifest.runs
        )


def is_export(path: Path) -> bool:
    """Return whether a folder says that it is an export."""
    return os.path.lexists(path / MANIFEST)


def exports_among(folders: list[Path]) -> list[Path]:
    """Return the exports at, around and below some folders, each once.

    Links are not followed. A folder lies in an export when it is below its runs.
    """
    found = [one for one in folders if is_export(one)]
    for one in folders:
        path = one.resolve()
        found += [
            up
            for up in path.parents
            if is_export(up) and path.relative_to(up).parts[0] == RUNS
        ]
    below = {path.parent for one in folders for path in one.rglob(MANIFEST)}
    return [*dict.fromkeys(found), *sorted(below - set(found))]


def refuse_exports(folders: list[Path]) -> None:
    """Check that no export is among folders whose records are to be written.

    Raises:
        StoreError: One is.
    """
    for path in exports_among(folders):
        msg = f"{path} is an export, which nobody changes; check it with: mlffbench "
        raise StoreError(msg + f"score --verify {path}")


def open_export(path: Path) -> Export:
    """Return an export after every file of it was looked at.

    Raises:
        StoreError: It is none, or a file is missing, altered, a link, or not named.
    """
    if not is_export(path):
        msg = f"{path} holds no {MANIFEST}, so it is no export; make one with: "
        raise StoreError(msg + "mlffbench export RUN --out DIR")
    there = dict(_files(path))
    try:
        known = _read_sums(path)
        manifest = _read_manifest(path)
        for name in sorted(known.keys() | there.keys() - {SUMS}):
            _check_file(path, name, known.get(name), there.get(name))
        _check_named(path, manifest, set(known))
        for run in manifest.runs:
            if run.kind == "run":
                check_run(path / run.folder, predictions=run.predictions)
            else:
                check_further(path / run.folder, FURTHER[run.kind])
    except DataError as error:
        raise damaged(str(error)) from error
    except StoreError as error:
        raise as_received(error) from error
    return Export(path, manifest, len(known), sum(there.values()))


def _files(path: Path) -> Iterator[tuple[str, int]]:
    """Yield name and bytes of every file of a folder.

    Raises:
        StoreError: Something is a link or no file, or there are too many.
    """
    waiting, n_seen = [path], 0
    while waiting:
        try:
            entries = sorted(os.scandir(waiting.pop()), key=lambda one: one.name)
        except OSError as error:
            msg = f"{path} cannot be read: {error.strerror}; check the path"
            raise StoreError(msg) from error
        for entry in entries:
            n_seen += 1
            if n_seen > MOST_FILES:
                msg = f"{path} holds more than {MOST_FILES:,} files, which no export does"
                raise damaged(msg)
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                waiting.append(Path(entry.path))
            elif stat.S_ISREG(found.st_mode):
                yield Path(entry.path).relative_to(path).as_posix(), found.st_size
            else:
                msg = f"{entry.path} is a link or no file, which an export never holds"
                raise damaged(msg)


def _read_sums(path: Path) -> dict[str, str]:
    """Return name -> sha256 of every file of an export.

    Raises:
        StoreError: They are missing, damaged, or name a file elsewhere.
        DataError: They cannot be read.
    """
    found = checksums_in(read_text(path / SUMS))
    if not found:
        msg = f"{path / SUMS} is damaged: expected a checksum and a name on every line"
        raise damaged(msg)
    for name in found:
        _inside(path, name)
    return found


def _inside(path: Path, name: str) -> None:
    """Check that a name leads to somewhere in an export.

    Raises:
        StoreError: It leads out of it.
    """
    parts = PurePosixPath(name).parts
    odd = "\\" in name or ":" in name or PurePosixPath(name).as_posix() != name
    if odd or not parts or name.startswith("/") or ".." in parts:
        msg = f"{path} names the file {name!r}, which leads out of the export"
        raise damaged(msg)


def _read_manifest(path: Path) -> ExportManifest:
    """Return ``export.json``.

    Raises:
        StoreError: It is damaged, or of another schema.
        DataError: It cannot be read.
    """
    text = read_text(path / MANIFEST)
    check_keys(path / MANIFEST, text)
    try:
        found = ExportManifest.model_validate_json(text)
    except ValidationError as error:
        msg = f"{path / MANIFEST} is damaged: {first_fault(error)}"
        raise damaged(msg) from error
    if found.schema_version != SCHEMA:
        msg = f"{path / MANIFEST} has schema version {found.schema_version}, this "
        raise StoreError(msg + f"mlffbench reads {SCHEMA}; update the older side")
    return found


def _check_file(path: Path, name: str, known: str | None, size: int | None) -> None:
    """Check a file against its checksum.

    Raises:
        StoreError: It is missing, altered, or no checksum names it.
    """
    file = path / name
    if size is None:
        msg = f"{file} is missing"
    elif known is None:
        msg = f"{file} is not named in {SUMS}, so it was put there later"
    else:
        found = sha256_of(file)
        if found == known:
            return
        msg = f"{file} was damaged or altered (sha256 {found[:12]}…, expected "
        msg += f"{known[:12]}…)"
    raise damaged(msg)


def _check_named(path: Path, manifest: ExportManifest, known: set[str]) -> None:
    """Check that the runs of the manifest are the files that are there.

    Raises:
        StoreError: A run has no files, or a file belongs to no run.
    """
    rest = known - {MANIFEST, README, REPORT}
    for run in manifest.runs:
        _inside(path, run.folder)
        below, depth = run.folder.split("/"), 6 if run.kind == "simulation" else 4
        if len(below) != depth or (depth > 4 and below[4] != "dynamics"):  # noqa: PLR2004 - RUNS/<suite>/<model>/<mode>
            msg = f"{path} has the {run.kind} {run.folder}, where none is written"
            raise damaged(msg)  # what lies beside it may be of no export
        wanted = (
            files_of_run(predictions=run.predictions)
            if run.kind == "run"
            else FURTHER[run.kind].files
        )
        mine = {f"{run.folder}/{name}" for name in wanted}
        if not run.folder.startswith(f"{RUNS}/") or not mine <= rest:
            msg = f"{path} lacks {min(mine - rest, default=run.folder)}"
            raise damaged(msg)
        rest -= mine
    if rest:
        msg = f"{path / min(rest)} belongs to no run of the export"
        raise damaged(msg)


def check_replaceable(path: Path) -> None:
    """Check that nothing is in an export but what was written there.

    Raises:
        StoreError: It is none, or something else is in it, which nobody may delete.
    """
    msg = f"{path} is not replaced: "
    try:
        known = {*_read_sums(path), SUMS}
        _read_manifest(path)
        others = sorted({name for name, _ in _files(path)} - known)
    except BenchError as error:
        msg += f"whether all of it is an export is not known ({error}); choose another "
        raise StoreError(msg + "--out, or remove it yourself") from error
    if others:
        msg += f"{others[0]} in it is not of the export; choose another --out, or move "
        raise StoreError(msg + "it away first")


def manifest_text(manifest: ExportManifest) -> bytes:
    """Return ``export.json``; a run is told as versions do that know no other kind."""
    content: Any = manifest.model_dump(mode="json")
    for run in content["runs"]:
        if run["kind"] == "run":
            del run["kind"]
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
