"""``checksums.lock.json``: what was verified of a dataset, beside its files."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlffbench.core.errors import DataError
from mlffbench.core.files import write_atomic

NAME = "checksums.lock.json"


class FileLock(BaseModel):
    """What one file was when it was verified.

    Attributes:
        size: Bytes.
        sha256: Of those bytes.
        trusted: Why: a published checksum, or that it was the first copy seen.
        origin: The address or path it came from.
        date: When, ISO 8601.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    sha256: str
    trusted: str
    origin: str
    date: str


class DatasetLock(BaseModel):
    """Everything noted of one dataset.

    Attributes:
        licence_shown: The licence line that was shown, so that it is shown once.
        files: Name -> what was verified.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = 1
    licence_shown: str = ""
    files: dict[str, FileLock] = Field(default_factory=dict)


def read_lock(folder: Path) -> DatasetLock:
    """Return what is noted of a dataset; nothing, where nothing was downloaded.

    Raises:
        DataError: The note is damaged.
    """
    path = folder / NAME
    try:
        return DatasetLock.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return DatasetLock()
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise DataError(msg) from error
    except ValidationError as error:
        msg = (
            f"{path} is damaged ({error.errors()[0]['msg']}); delete it and repeat the "
            "download, which checks the files that are there"
        )
        raise DataError(msg) from error


def write_lock(folder: Path, lock: DatasetLock) -> None:
    """Write what is noted of a dataset.

    Raises:
        StoreError: The folder cannot be written.
    """
    write_atomic(folder / NAME, lock.model_dump_json(indent=1).encode() + b"\n")
