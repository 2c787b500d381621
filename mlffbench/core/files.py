"""Files: whole or not there when they are written, checked when they are read."""

import hashlib
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mlffbench.core.errors import BenchError, DataError, StoreError
from mlffbench.core.guards.sizes import size_of

_CHUNK = 1 << 20


def write_atomic(path: Path, content: bytes, *, lasting: bool = True) -> None:
    """Write a file so that it is never seen half-written, whatever happens.

    A link stays one: what it points at is written. A device or a pipe is written into,
    and stays what it is.

    Args:
        path: Where to; its folder must exist.
        content: All of it.
        lasting: Whether it is waited for until a power cut cannot take it.

    Raises:
        StoreError: The disk is full, the folder read-only or missing; nothing is left.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            _write_into(path, content)
            return
        path = path.resolve() if path.is_symlink() else path
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself
        reason = getattr(error, "strerror", None) or "it is a link to itself"
        msg = f"cannot write {path}: {reason}; choose another file"
        raise StoreError(msg) from error
    with whole_file(path, lasting=lasting) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path, *, lasting: bool = True) -> Iterator[BinaryIO]:
    """Open a file to be written piece by piece; it gets its name when it is whole.

    Args:
        path: Where to; its folder must exist.
        lasting: Whether it is waited for until a power cut cannot take it.

    Raises:
        StoreError: The disk is full, the folder read-only or missing; nothing is left.
    """
    temporary = temporary_of(path)
    with told_if_full(path):
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                if lasting:
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def temporary_of(path: Path) -> Path:
    """Return a hidden name beside a file that nobody else writes to."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")


@contextmanager
def told_if_full(path: Path) -> Iterator[None]:
    """Say in one sentence that a file cannot be written.

    Args:
        path: The file.

    Raises:
        StoreError: The disk is full, or the folder read-only or missing.
    """
    try:
        yield
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror}; free some space or choose another "
        raise StoreError(msg + "folder, then repeat the command") from error


def _write_into(path: Path, content: bytes) -> None:
    """Write into a device or pipe.

    Raises:
        StoreError: It is a disk, or a socket.
        OSError: Nobody reads the pipe, or it cannot be written.
    """
    if not (path.is_fifo() or path.is_char_device()):
        msg = f"{path} is a disk or a socket and no file; choose another file"
        raise StoreError(msg)
    # without O_NONBLOCK, a pipe that nobody reads would hold the program for ever
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)


def make_folder(path: Path) -> None:
    """Create a folder and its parents.

    Raises:
        StoreError: It cannot be created, or something else stands in its place.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"cannot create the folder {path}: {error.strerror}; choose another folder"
        raise StoreError(msg) from error


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, read in pieces.

    Raises:
        DataError: It is no regular file, or cannot be read.
    """
    size_of(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise DataError(msg) from error
    return digest.hexdigest()


def run_tool(arguments: list[str], usage: str, work: Callable[[Path, Path], str]) -> int:
    """Make one file of another, as a module that is run does; return the exit code.

    Args:
        arguments: The command line, without the module.
        usage: How it is called.
        work: Takes the paths, and returns the line to print.
    """
    if len(arguments) != 2:  # noqa: PLR2004
        sys.stderr.write(f"usage: {usage}\n")
        return 2
    try:
        line = work(Path(arguments[0]), Path(arguments[1]))
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{line}\n")
    return 0


def require_file(path: Path | str) -> Path:
    """Return the path of a file that is there.

    Raises:
        DataError: Nothing is there, or it is not a file.

    Example:
        >>> require_file("nowhere.xyz")
        Traceback (most recent call last):
        ...
        mlffbench.core.errors.DataError: nowhere.xyz does not exist; check the path
    """
    path = Path(path)
    size_of(path)
    return path
