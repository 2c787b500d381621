"""Files that are either whole or not there."""

import hashlib
import os
import secrets
from pathlib import Path

from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.guards.sizes import size_of

_CHUNK = 1 << 20


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half-written, whatever happens.

    Args:
        path: Where to; its folder must exist.
        content: All of it.

    Raises:
        StoreError: The disk is full, the folder read-only or missing; nothing is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror}; free some space or choose another "
        raise StoreError(msg + "folder, then repeat the command") from error


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
