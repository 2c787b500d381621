"""Weights: files of published models, downloaded once and verified ever after."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import pooch

from mlffbench.core.errors import DataError, ModelError
from mlffbench.core.files import make_folder, sha256_of, write_atomic
from mlffbench.core.guards.sizes import size_of

CACHE_VARIABLE = "MLFFBENCH_CACHE"
"""Environment variable that names the folder for downloaded weights."""

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

    A file without a published checksum is trusted on first use: its checksum is kept in
    ``FILE.sha256`` beside it, and the file must match from then on.

    Raises:
        ModelError: The file cannot be fetched, or is not the one it has to be.
        StoreError: The cache folder cannot be written.
    """
    if not weights.path.exists():
        _download(weights)
    found = sha256_of(weights.path)
    expected = weights.sha256 or _first_seen(weights, found)
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
        pooch.retrieve(
            weights.url,
            known_hash=weights.sha256,
            fname=weights.file,
            path=weights.path.parent,
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


def _first_seen(weights: Weights, found: str) -> str:
    """Return the checksum kept at first use; this is the first use if there is none."""
    lock = weights.path.with_name(f"{weights.file}.sha256")
    if lock.exists():
        return lock.read_text(encoding="utf-8").strip()
    write_atomic(lock, f"{found}\n".encode())
    _LOG.warning(
        "no checksum of %s was ever published: trusting this copy (sha256 %s) from now "
        "on, as noted in %s",
        weights.file,
        found,
        lock,
    )
    return found


def read_file(file: Path, what: str) -> bytes:
    """Return the content of a file.

    Args:
        file: The file.
        what: What a message calls it, e.g. ``"checkpoint"``.

    Raises:
        ModelError: It cannot be read.
    """
    try:
        size_of(file)
        return file.read_bytes()
    except DataError as error:
        msg = f"cannot read the {what}: {error}"
        raise ModelError(msg) from error
    except OSError as error:
        msg = f"cannot read the {what} {file}: {error.strerror}"
        raise ModelError(msg) from error
