"""Weights: files of published models, downloaded once and verified ever after."""

import logging
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
from filelock import FileLock

from mlffbench.core.errors import DataError, ModelError
from mlffbench.core.files import make_folder, sha256_of, write_atomic
from mlffbench.core.guards.archives import ARCHIVE_FAULTS, damaged_member
from mlffbench.core.guards.sizes import check_packing, size_of

CACHE_VARIABLE = "MLFFBENCH_CACHE"
"""Environment variable that names the folder for downloaded weights."""

MOST_BYTES = 4_000_000_000
"""Of a file of weights; what sends more is no such file."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A published file.

    Attributes:
        file: Its name in the cache.
        url: Where it comes from.
        sha256: Its published checksum; None where none was published.
    """

    file: str
    url: str
    sha256: str | None = None

    @property
    def path(self) -> Path:
        """Where the file is, or has to be put by hand."""
        return cache_folder() / self.file


def cache_folder() -> Path:
    """Return the folder of downloads: ``$MLFFBENCH_CACHE``, else the system's cache."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser() if named else Path(pooch.os_cache("mlffbench"))


def fetch(weights: Weights) -> Path:
    """Return the path of a verified file, downloading it unless it is there.

    A file without a published checksum must match the one that `trust` kept.

    Raises:
        ModelError: The file cannot be fetched, or is not the one it has to be.
        StoreError: The cache folder cannot be written.
    """
    if not weights.path.exists():
        _download(weights)
    found = sha256_of(weights.path)
    expected = weights.sha256 or _kept(weights) or found
    if found != expected:
        msg = (
            f"{weights.path} has sha256 {found}, expected {expected}: the file is "
            "damaged or another one; delete it, and it is downloaded again from "
            f"{weights.url}"
        )
        raise ModelError(msg)
    return weights.path


def _download(weights: Weights) -> None:
    make_folder(weights.path.parent)
    try:
        with _alone(weights):
            if not weights.path.exists():  # else: another process has just fetched it
                pooch.retrieve(
                    weights.url,
                    known_hash=weights.sha256,
                    fname=weights.file,
                    path=weights.path.parent,
                    downloader=_download_at_most,
                )
    except OSError as error:  # requests' errors are OSErrors too
        msg = (
            f"cannot download {weights.file} ({type(error).__name__}); fetch "
            f"{weights.url} where there is a network and put it at {weights.path}"
        )
        raise ModelError(msg) from error
    except ValueError as error:  # pooch: wrong hash; it has removed the file
        msg = (
            f"the download from {weights.url} is not the file it has to be (sha256 "
            f"{weights.sha256}) and was removed; try again, or put the right file at "
            f"{weights.path}"
        )
        raise ModelError(msg) from error


@contextmanager
def _alone(weights: Weights) -> Iterator[None]:
    """Have the workers of a run wait while one process downloads for all of them."""
    path = weights.path.with_name(f".{weights.file}.lock")
    try:
        with FileLock(path):
            yield
    finally:
        path.unlink(missing_ok=True)


def _download_at_most(url: str, target: str, _pooch: object) -> None:
    """Write what an address sends to a file, unless it is more than weights ever are.

    Raises:
        OSError: There is no connection, or it sends too much.
    """
    with requests.get(url, stream=True, timeout=30) as response:
        response.raise_for_status()
        n_bytes = 0
        with Path(target).open("wb") as file:
            for chunk in response.iter_content(1 << 20):
                n_bytes += file.write(chunk)
                if n_bytes > MOST_BYTES:
                    msg = f"{url} sends more than {MOST_BYTES:,} bytes"
                    raise OSError(msg)


def _lock(weights: Weights) -> Path:
    return weights.path.with_name(f"{weights.file}.sha256")


def _kept(weights: Weights) -> str:
    """Return the checksum kept at first use; empty before that."""
    lock = _lock(weights)
    return lock.read_text(encoding="utf-8").strip() if lock.exists() else ""


def trust(weights: Weights) -> None:
    """Keep the checksum of a file that nobody published one of, once it was opened.

    It is kept in ``FILE.sha256`` beside it, and the file must match from then on.

    Raises:
        StoreError: The cache folder cannot be written.
    """
    if weights.sha256 is not None or _kept(weights):
        return
    found, lock = sha256_of(weights.path), _lock(weights)
    write_atomic(lock, f"{found}\n".encode())
    _LOG.warning(
        "no checksum of %s was ever published: trusting this copy (sha256 %s) from now "
        "on, as noted in %s",
        weights.file,
        found,
        lock,
    )


def check_archive(file: Path) -> None:
    """Check every byte of a zip archive, as files of torch and numpy are.

    Torch itself compares no checksum: a flipped bit would be another weight.

    Raises:
        ModelError: The archive is damaged, or little of it unpacks into much.
    """
    try:
        damaged = ""
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as opened:
                n_bytes = sum(member.file_size for member in opened.infolist())
            check_packing(n_bytes, file.stat().st_size, str(file))
            damaged = damaged_member(file)
    except DataError as error:
        raise ModelError(str(error)) from error
    except ARCHIVE_FAULTS as error:
        damaged = str(error).partition("\n")[0] or type(error).__name__
    if damaged:
        msg = f"{file} is damaged ({damaged}); fetch or copy it again"
        raise ModelError(msg)


def read_file(file: Path, what: str) -> bytes:
    """Return the content of a file.

    Args:
        file: The file.
        what: What a message calls it, e.g. ``"checkpoint"``.

    Raises:
        ModelError: It cannot be read.
    """
    try:
        if file.exists():
            size_of(file)
        return file.read_bytes()
    except DataError as error:
        msg = f"cannot read the {what} {error}"
        raise ModelError(msg) from error
    except OSError as error:
        msg = f"cannot read the {what} {file}: {error.strerror}"
        raise ModelError(msg) from error
