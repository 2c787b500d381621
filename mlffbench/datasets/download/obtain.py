"""A dataset onto the disk: fetched or imported, checked, noted, unpacked."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from filelock import FileLock as Mutex
from filelock import Timeout

from mlffbench.core.errors import DataError, ManyFaultsError, StoreError
from mlffbench.core.files import make_folder
from mlffbench.core.guards.plain import without_credentials
from mlffbench.datasets.download.archive import check_members, unpack
from mlffbench.datasets.download.claims import RemoteFile, total_in_words
from mlffbench.datasets.download.digests import fault_inside, fault_of
from mlffbench.datasets.download.fetch import Patience, fetch
from mlffbench.datasets.download.local import data_files
from mlffbench.datasets.download.lockfile import (
    NAME,
    DatasetLock,
    FileLock,
    read_lock,
    write_lock,
)
from mlffbench.datasets.download.partial import Origin, PartialFile, require_space
from mlffbench.datasets.download.replies import HEAD, fault_of_head
from mlffbench.datasets.download.table import Target
from mlffbench.datasets.download.watcher import Watcher

FIRST_COPY = "the first copy seen; nobody published a checksum"
STAND_IN = "a stand-in of the user's, not the published file"
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How the user wants a dataset to be had.

    Attributes:
        accept_unknown_hash: Trust the first copy of a file without published checksum.
        origin: A file or folder to import from; nothing is downloaded then.
        stand_in: Import files that are not the published ones, and note that.
        patience: How long to bear with servers.
    """

    accept_unknown_hash: bool = False
    origin: Path | None = None
    stand_in: bool = False
    patience: Patience = field(default_factory=Patience)


def obtain(
    target: Target, folder: Path, wishes: Wishes, watcher: Watcher
) -> tuple[Path, ...]:
    """Return the data files of a target, after getting what is missing of them.

    What is here and was verified is left alone; what is partly here is continued. Two
    processes that want the same take turns.

    Args:
        target: What to get.
        folder: The folder of the dataset.
        wishes: How.
        watcher: Who is told.

    Raises:
        DataError: A file cannot be had, or is not the one it has to be.
        StoreError: The folder cannot be written, or the disk is full.
    """
    make_folder(folder)
    with _turn(folder, watcher):
        lock = _show_licence(target, folder, watcher)
        missing = [f for f in target.files if data_files(f, target, folder, lock) is None]
        if wishes.origin is None:
            _require_space(folder, missing, target.key)
        lacking = []
        for file in target.files:
            if file not in missing:
                watcher.note(f"{file.name} is here, {lock.files[file.name].trusted}")
            elif wishes.origin and not (source := _find(wishes.origin, file, target)):
                lacking.append(file.name)
            else:
                origin = source if wishes.origin else None
                lock = _get(file, folder, lock, replace(wishes, origin=origin), watcher)
    if lacking:
        msg = (
            f"{wishes.origin} does not hold {', '.join(lacking)}; files are imported by "
            f"name: give the one it is to be, or ask for one part of {target.key}"
        )
        raise DataError(msg)
    paths = [data_files(file, target, folder, lock) or [] for file in target.files]
    return tuple(path for some in paths for path in some)


def verify(target: Target, folder: Path, watcher: Watcher) -> None:
    """Check every byte that is here against what was published or noted.

    Raises:
        ManyFaultsError: Files are missing or not what they have to be; all are named.
    """
    lock = read_lock(folder)
    faults: list[str] = []
    for file in target.files:
        path, noted = folder / file.name, lock.files.get(file.name)
        found = _faults_here(path, file, noted, watcher)
        faults += found
        if not found and noted is not None:
            watcher.note(f"{file.name}: {noted.trusted}, on {noted.date}")
    if faults:
        msg = (
            f"{'; '.join(faults)}; delete what is damaged, then type: mlffbench download "
            f"{target.name}"
        )
        raise ManyFaultsError(msg)


def _faults_here(
    path: Path, file: RemoteFile, noted: FileLock | None, watcher: Watcher
) -> list[str]:
    """Return what is wrong with one file and with what was unpacked from it."""
    members_only = file.is_archive and noted is not None
    if not path.exists() and not members_only:
        return [f"{file.name} is not here"]
    faults = []
    if path.exists():
        claims = file
        if noted is not None:  # the sha256 of what was verified says it all
            claims = replace(
                file,
                size=noted.size,
                checksum=f"sha256:{noted.sha256}",
                claim=f"as noted on {noted.date}",
            )
        fault, _ = fault_of(path, claims, noted, watcher)
        faults += [f"{path} {fault}"] if fault else []
        if not fault and noted is None:
            faults.append(f"{path} was never downloaded or imported here")
    if file.is_archive:
        faults += check_members(path, watcher)
    return faults


@contextmanager
def _turn(folder: Path, watcher: Watcher) -> Iterator[None]:
    """Wait for another process that gets the same dataset."""
    mutex = Mutex(folder / ".lock")
    try:
        try:
            mutex.acquire(timeout=0)
        except Timeout:
            watcher.note(f"another download into {folder} is running; waiting for it")
            mutex.acquire()
    except OSError as error:
        msg = f"cannot write {folder}: {error.strerror}; choose another folder with "
        raise StoreError(msg + "--data-dir") from error
    try:
        yield
    finally:
        mutex.release()


def _show_licence(target: Target, folder: Path, watcher: Watcher) -> DatasetLock:
    """Say once under what licence the data are; return what is noted."""
    lock = read_lock(folder)
    line = f"{target.key}: licence {target.download.licence}"
    if lock.licence_shown != line:
        watcher.note(f"{line}; please cite {target.download.citation}")
        lock = lock.model_copy(update={"licence_shown": line})
        write_lock(folder, lock)
    return lock


def _require_space(folder: Path, files: list[RemoteFile], key: str) -> None:
    wanted = sum(
        (file.expected or 0) - PartialFile(folder / file.name).size
        for file in files
        if not (folder / file.name).exists()
    )
    require_space(folder, max(wanted, 0), f"{key} ({total_in_words(tuple(files))})")


def _get(
    file: RemoteFile,
    folder: Path,
    lock: DatasetLock,
    wishes: Wishes,
    watcher: Watcher,
) -> DatasetLock:
    """Get one file, note it, unpack it; return what is noted then."""
    path, noted = folder / file.name, lock.files.get(file.name)
    if noted is not None and noted.trusted == STAND_IN:
        noted = None  # a stand-in says nothing of the published file
    if not (file.checksum or noted or wishes.accept_unknown_hash or wishes.stand_in):
        msg = (
            f"nobody published a checksum of {file.name}; add --accept-unknown-hash to "
            f"trust the first copy: its sha256 is noted in {folder / NAME}, and later "
            "copies must match"
        )
        raise DataError(msg)
    make_folder(path.parent)
    found = None
    if path.exists():
        found = _adopt(path, file, noted, watcher)
    if found is None:
        found = (
            _import_from(wishes, path, file, noted, watcher)
            if wishes.origin
            else _download(path, file, noted, wishes.patience, watcher)
        )
    if found.trusted == FIRST_COPY and noted is None:
        _open_first(path, file, found, watcher)  # or what is broken would be believed
    lock = lock.model_copy(update={"files": {**lock.files, file.name: found}})
    write_lock(folder, lock)
    if file.is_archive:
        unpack(path, watcher, sha256=found.sha256)
    watcher.note(f"{file.name} is here, {found.trusted}")
    return lock


def _open_first(path: Path, file: RemoteFile, found: FileLock, watcher: Watcher) -> None:
    """Open the first copy of a file that nobody published a checksum of.

    Raises:
        DataError: It cannot be opened; it is removed.
    """
    try:
        if file.is_archive:
            unpack(path, watcher, sha256=found.sha256)
            return
        fault = fault_inside(path)
        if fault:
            msg = f"{file.name} from {found.origin} {fault}"
            raise DataError(msg)
    except DataError as error:
        path.unlink(missing_ok=True)
        msg = f"{error}; it was removed and is not trusted: repeat the command, or name "
        raise DataError(msg + "another address with --mirror") from error


def _adopt(
    path: Path, file: RemoteFile, noted: FileLock | None, watcher: Watcher
) -> FileLock | None:
    """Return what a file in place is; None if it was verified once and is damaged now.

    Raises:
        DataError: It was put there by somebody else and is not the file it has to be.
    """
    fault, found = fault_of(path, file, noted, watcher)
    if not fault and noted is not None and not file.checksum:
        return noted
    if not fault:
        return _sealed(found, file, str(path))
    if noted is None:
        msg = f"{path} {fault}; move it away and repeat the command"
        raise DataError(msg)
    watcher.note(f"{path} {fault}; getting it anew")
    return None


def _download(
    path: Path,
    file: RemoteFile,
    noted: FileLock | None,
    patience: Patience,
    watcher: Watcher,
) -> FileLock:
    """Fetch a file, from the next address if the bytes of one are wrong."""
    left = file
    while True:
        part = fetch(left, path, patience=patience, watcher=watcher)
        origin = part.origin() or Origin(url="")
        fault, found = fault_of(part.path, file, noted, watcher)
        if not fault:
            part.finish()
            return _sealed(found, file, origin.url)
        part.discard()
        others = _urls_after(origin.url, left)
        if not others:
            msg = (
                f"{file.name} from {origin.url} {fault}; it was removed: repeat the "
                "command, or name another address with --mirror"
            )
            raise DataError(msg)
        watcher.note(f"{file.name} from {origin.url} {fault}; trying the next address")
        left = replace(left, urls=others)


def _urls_after(url: str, file: RemoteFile) -> tuple[str, ...]:
    """Return the addresses after one; all, if the part was begun from elsewhere."""
    if not url:
        return ()
    shown = [without_credentials(one) for one in file.urls]
    return file.urls[shown.index(url) + 1 :] if url in shown else file.urls


def _find(origin: Path, file: RemoteFile, target: Target) -> Path | None:
    """Return the file of the user's that is to be imported, by its name.

    Raises:
        DataError: Nothing is there.
    """
    name = PurePosixPath(file.name).name
    if not origin.exists():
        msg = f"{origin} does not exist; check the path after --from"
        raise DataError(msg)
    if origin.is_file():
        return origin if origin.name == name or len(target.files) == 1 else None
    for path in (origin / file.name, origin / target.key / file.name):
        if path.is_file():
            return path
    return next((path for path in sorted(origin.rglob(name)) if path.is_file()), None)


def _import_from(
    wishes: Wishes,
    path: Path,
    file: RemoteFile,
    noted: FileLock | None,
    watcher: Watcher,
) -> FileLock:
    """Link or copy a file of the user's, after the checks a download passes."""
    source = (wishes.origin or path).resolve()
    try:
        with source.open("rb") as stream:
            wrong = fault_of_head(stream.read(HEAD), file.name)
    except OSError as error:
        msg = f"cannot read {source}: {error.strerror}"
        raise DataError(msg) from error
    if wishes.stand_in:
        file, noted = replace(file, size=None, checksum=None), None
    fault, found = fault_of(source, file, noted, watcher)
    if wrong or fault:
        fault = f"is {wrong}" if wrong else fault
        msg = f"{source} {fault}; it was not imported as {file.name}"
        raise DataError(msg)
    _link_or_copy(source, path, file, found, watcher)
    sealed = _sealed(found, file, str(source))
    return sealed.model_copy(update={"trusted": STAND_IN}) if wishes.stand_in else sealed


def _link_or_copy(
    source: Path, path: Path, file: RemoteFile, found: FileLock, watcher: Watcher
) -> None:
    part = PartialFile(path)
    if part.path.exists() and part.path.samefile(source):  # the user names our own part
        part.finish()
        return
    part.discard()
    try:
        os.link(source, part.path)
    except OSError:  # another disk, or one without hard links
        require_space(path.parent, found.size, file.name)
        part.start(Origin(url=str(source)))
        watcher.begin(f"copying {file.name}", found.size, 0)
        with source.open("rb") as stream:
            for n_bytes in part.append(iter(lambda: stream.read(_CHUNK), b"")):
                watcher.advance(n_bytes)
        claims = replace(file, size=found.size, checksum=f"sha256:{found.sha256}")
        fault, _ = fault_of(part.path, claims, None, watcher)
        if fault:
            part.discard()
            msg = f"{source} changed while it was copied: the copy {fault}; try again"
            raise DataError(msg) from None
    part.finish()


def _sealed(found: FileLock, file: RemoteFile, origin: str) -> FileLock:
    """Return the note of a verified file."""
    trusted = f"verified: {file.checksum}" if file.checksum else FIRST_COPY
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return found.model_copy(update={"trusted": trusted, "origin": origin, "date": date})
