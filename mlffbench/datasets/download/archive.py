"""Archives, unpacked member by member: nothing leaves its folder, nothing explodes."""

import bz2
import gzip
import hashlib
import json
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, Protocol, cast

from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.files import write_atomic
from mlffbench.datasets.download.claims import bytes_in_words, safe_parts
from mlffbench.datasets.download.watcher import Watcher

_TAR_BLOCK = 512
_ENCRYPTED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an archive may grow to; more is taken for a bomb.

    Attributes:
        ratio: Unpacked bytes per packed byte.
        least_bytes: Bytes that are allowed however small the archive is.
        members: Files in it.
    """

    ratio: float = 200.0
    least_bytes: int = 64 << 20
    members: int = 100_000

    def bytes_of(self, archive: Path) -> int:
        """Return how many bytes an archive may unpack to."""
        return max(int(self.ratio * archive.stat().st_size), self.least_bytes)


class Readable(Protocol):
    """Anything bytes can be read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most so many bytes; none at the end."""
        ...


class _Budget:
    """How many bytes an archive may still unpack to."""

    def __init__(self, allowed: int, archive: Path) -> None:
        self._allowed, self._left, self._archive = allowed, allowed, archive

    def read(self, stream: Readable, size: int) -> bytes:
        """Return bytes of a stream, or refuse when they are more than are left."""
        wanted = self._left + 1 if size < 0 else min(size, self._left + 1)
        found = stream.read(wanted)
        self._left -= len(found)
        if self._left < 0:
            msg = (
                f"{self._archive} unpacks to more than {bytes_in_words(self._allowed)}, "
                "far more than data does; it is not unpacked: check where it comes from"
            )
            raise DataError(msg)
        return found


class _Counted:
    """A stream that draws on a budget, after bytes that were looked at already."""

    def __init__(self, stream: Readable, budget: _Budget, head: bytes = b"") -> None:
        self._stream, self._budget, self._head = stream, budget, head

    def read(self, size: int = -1, /) -> bytes:
        """Return at most so many bytes."""
        if not self._head:
            return self._budget.read(self._stream, size)
        if size < 0:
            size = len(self._head)
        found, self._head = self._head[:size], self._head[size:]
        if len(found) < size:
            found += self._budget.read(self._stream, size - len(found))
        return found


def packed_files(archive: Path, limits: Limits) -> Iterator[tuple[str, Readable]]:
    """Yield the name and content of every file of an archive, by its first bytes.

    Names are relative, without ``..``. Each content must be read before the next.

    Raises:
        DataError: A name leads outside, a member is no plain file, there are too many,
            or they grow beyond the limits.
    """
    budget = _Budget(limits.bytes_of(archive), archive)
    unchecked = _zip_files if zipfile.is_zipfile(archive) else _stream_files
    for n_files, (name, content) in enumerate(unchecked(archive, budget), start=1):
        if n_files > limits.members:
            msg = (
                f"{archive} holds more than {limits.members:,} files; it is not unpacked"
            )
            raise DataError(msg)
        yield "/".join(_checked_name(name, archive)), content


def _zip_files(archive: Path, budget: _Budget) -> Iterator[tuple[str, Readable]]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            mode = info.external_attr >> 16
            if info.flag_bits & _ENCRYPTED:
                msg = f"{archive} is encrypted; it is not unpacked"
                raise DataError(msg)
            if info.is_dir():
                _checked_name(info.filename, archive)
                continue
            if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
                raise _unusual(archive, info.filename)
            with packed.open(info) as stream:
                yield info.filename, _Counted(stream, budget)


def _stream_files(archive: Path, budget: _Budget) -> Iterator[tuple[str, Readable]]:
    """Yield the files of a tar, compressed or not, or the one file of a gz, bz2 or xz."""
    with archive.open("rb") as packed:
        stream = _decompressed(packed)
        block = budget.read(stream, _TAR_BLOCK)
        counted = _Counted(stream, budget, block)
        if _is_tar(block, archive):
            yield from _tar_files(archive, counted)
        elif stream is packed:
            msg = f"{archive} is no archive that is known (tar, zip, gz, bz2, xz)"
            raise DataError(msg)
        else:
            yield archive.name.rpartition(".")[0], counted


def _tar_files(archive: Path, counted: _Counted) -> Iterator[tuple[str, Readable]]:
    source = cast("IO[bytes]", counted)  # tarfile only reads
    with tarfile.open(fileobj=source, mode="r|") as tar:
        for member in tar:
            if member.isdir():
                _checked_name(member.name, archive)
                continue
            content = tar.extractfile(member) if member.isreg() else None
            if content is None or member.issparse():
                raise _unusual(archive, member.name)
            yield member.name, content


def _unusual(archive: Path, name: str) -> DataError:
    return DataError(
        f"{archive} holds {name!r}, which is a link or a device and no file; it is not "
        "unpacked; check where it comes from"
    )


def _is_tar(block: bytes, archive: Path) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return not any(block) and ".tar" in archive.suffixes  # an empty one
    return True


def _decompressed(packed: BinaryIO) -> Readable:
    head = packed.read(6)
    packed.seek(0)
    openers: dict[bytes, Callable[[BinaryIO], Readable]] = {
        b"\x1f\x8b": gzip.open,
        b"BZh": bz2.open,
        b"\xfd7zXZ\x00": lzma.open,
    }
    for magic, opener in openers.items():
        if head.startswith(magic):
            return opener(packed)
    return packed


def _checked_name(name: str, archive: Path) -> tuple[str, ...]:
    try:
        return safe_parts(name)
    except DataError as error:
        msg = f"{archive} holds {name!r}, which leads outside of its folder; it is not "
        raise DataError(msg + "unpacked; check where it comes from") from error


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
