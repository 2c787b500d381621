"""Archives, unpacked member by member: nothing leaves its folder, nothing explodes."""

import gzip
import hashlib
import json
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.files import write_atomic
from mlffbench.datasets.archive_files import Limits, Readable, packed_files
from mlffbench.datasets.watcher import Watcher

MANIFEST = ".unpacked.json"
_CHUNK = 1 << 20
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    gzip.BadGzipFile,
    NotImplementedError,
)


class Member(NamedTuple):
    """One unpacked file: bytes and sha256."""

    size: int
    sha256: str


def folder_of(archive: Path) -> Path:
    """Return the folder an archive is unpacked to."""
    return archive.with_name(f"{archive.name}.unpacked")


def members_of(archive: Path) -> dict[str, Member] | None:
    """Return the files an archive was unpacked to; None if that is not done, or undone.

    Sizes are compared with those noted; `check_members` compares the bytes.
    """
    folder = folder_of(archive)
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        members = {name: Member(*values) for name, values in content["members"].items()}
        whole = all(
            (folder / name).stat().st_size == member.size
            for name, member in members.items()
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # not unpacked, or only partly there: it is unpacked again
    return members if whole else None


def unpack(
    archive: Path, watcher: Watcher, *, sha256: str, limits: Limits | None = None
) -> dict[str, Member]:
    """Return the files of an archive, unpacked into the folder beside it.

    They go to a temporary folder that gets its name when all of them are there, so that
    the folder is whole or not there. One that is there, of these bytes, is kept.

    Args:
        archive: A verified file: tar, tar.gz, tar.bz2, tar.xz, zip, gz or bz2.
        watcher: Who is told how far it is.
        sha256: Of the archive.
        limits: What it may grow to.

    Raises:
        DataError: It is damaged, holds a link or device, a name that leads outside, or
            more than ``limits`` allow; nothing of it is kept.
        StoreError: The disk is full; the archive is kept.
    """
    folder = folder_of(archive)
    members = members_of(archive)
    if members is not None and _origin(folder) == sha256:
        return members
    if folder.exists() and not (folder / MANIFEST).exists():
        msg = f"{folder} was not unpacked by mlffbench; move it away and repeat the "
        raise DataError(msg + "command")
    temporary = folder.with_name(f".{folder.name}.tmp")
    limits = limits or Limits()
    with _faults(archive, temporary):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        watcher.begin(f"unpacking {archive.name}", None, 0)
        members = _unpack_into(temporary, archive, limits, watcher)
        manifest = {"sha256": sha256, "members": members}
        write_atomic(temporary / MANIFEST, json.dumps(manifest, indent=1).encode())
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    return members


def check_members(archive: Path, watcher: Watcher) -> list[str]:
    """Return a sentence for each unpacked file that is not what was unpacked."""
    members = members_of(archive)
    if members is None:
        return [f"{folder_of(archive)} is not complete"]
    faults = []
    for name, member in members.items():
        path = folder_of(archive) / name
        watcher.begin(f"checking {name}", member.size, 0)
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                watcher.advance(len(chunk))
        if digest.hexdigest() != member.sha256:
            faults.append(f"{path} was changed after it was unpacked")
    return faults


def _origin(folder: Path) -> str:
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return str(content.get("sha256", ""))


@contextmanager
def _faults(archive: Path, temporary: Path) -> Iterator[None]:
    """Turn every way an archive can fail into one sentence, and leave nothing behind."""
    try:
        yield
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, _BROKEN):
            msg = f"{archive} is damaged ({error}); delete it and download it again"
            raise DataError(msg) from error
        if isinstance(error, OSError):
            if error.strerror is None or error.errno is None:  # bz2: invalid data
                msg = f"{archive} is damaged ({error}); delete it and download it again"
                raise DataError(msg) from error
            msg = (
                f"cannot unpack {archive}: {error.strerror}; the archive is kept: put "
                "that right and repeat the command"
            )
            raise StoreError(msg) from error
        raise


def _unpack_into(
    folder: Path, archive: Path, limits: Limits, watcher: Watcher
) -> dict[str, Member]:
    members: dict[str, Member] = {}
    for name, content in packed_files(archive, limits):
        if name in members or name == MANIFEST:
            msg = f"{archive} holds {name!r} twice; it is not unpacked"
            raise DataError(msg)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        members[name] = _write(path, content, watcher)
    return members


def _write(path: Path, stream: Readable, watcher: Watcher) -> Member:
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += file.write(chunk)
            watcher.advance(len(chunk))
    return Member(size, digest.hexdigest())
