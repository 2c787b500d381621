"""Downloaded datasets on this disk: where they are and what was verified."""

import os
import shlex
from pathlib import Path
from typing import Literal

from mlffbench.core.errors import DataError
from mlffbench.datasets.download.archive import folder_of, members_of
from mlffbench.datasets.download.claims import RemoteFile, total_in_words
from mlffbench.datasets.download.lockfile import DatasetLock, read_lock
from mlffbench.datasets.download.table import Target, target_of
from mlffbench.datasets.download.xyz_header import atoms_of_first_frame

DATA_VARIABLE = "MLFFBENCH_DATA"
"""Environment variable that names the folder of downloaded datasets."""


def data_folder(data_dir: Path | None = None) -> Path:
    """Return the folder of downloads: ``$MLFFBENCH_DATA``, else ``data`` right here."""
    if data_dir is not None:
        return data_dir
    named = os.environ.get(DATA_VARIABLE)
    return Path(named).expanduser() if named else Path("data")


def files_of(key: str, data_dir: Path | None = None) -> tuple[Path, ...]:
    """Return the verified files of a download, archives unpacked, in the row's order.

    Args:
        key: A row of the table of downloads, e.g. ``"spice-1"``, or one part of a row of
            several files: ``"md17/aspirin"``.
        data_dir: Folder of downloads; left out: `data_folder`.

    Raises:
        DataError: It is not downloaded (the message is the command to type), or not what
            was verified.
        UnknownNameError: There is no such row.
    """
    target = target_of(key)
    folder = data_folder(data_dir) / target.key
    lock = read_lock(folder)
    files = target.files or noted_files(folder)
    found: list[Path] = []
    for file in files:
        paths = data_files(file, target, folder, lock)
        if paths is None:
            raise DataError(_how_to_get(key, target, folder, data_dir))
        found += paths
    if target.download.repository:  # anything may be in it
        found = [path for path in found if atoms_of_first_frame(path) is not None]
    if not found:
        raise DataError(_how_to_get(key, target, folder, data_dir))
    return tuple(found)


def state_of(key: str, data_dir: Path | None = None) -> Literal["yes", "partly", "no"]:
    """Return whether the files of a download are here and were verified.

    Raises:
        DataError: The note of what was verified is damaged.
    """
    target = target_of(key)
    folder = data_folder(data_dir) / target.key
    lock = read_lock(folder)
    files = target.files or noted_files(folder)
    here = [data_files(file, target, folder, lock) is not None for file in files]
    if here and all(here):
        return "yes"
    return "partly" if any(here) else "no"


def data_files(
    file: RemoteFile, target: Target, folder: Path, lock: DatasetLock
) -> list[Path] | None:
    """Return the files with structures of one published file; None if it is not here.

    An archive may be deleted once it is unpacked.
    """
    noted = lock.files.get(file.name)
    if noted is None:
        return None
    path = folder / file.name
    if file.is_archive:
        members = members_of(path)
        if members is None:
            return None
        names = sorted(name for name in members if target.download.is_data(name))
        return [folder_of(path) / name for name in names]
    whole = path.is_file() and path.stat().st_size == noted.size
    return [path] if whole else None


def noted_files(folder: Path) -> tuple[RemoteFile, ...]:
    """Return the files that were chosen from a repository, by what is noted."""
    names = sorted(read_lock(folder).files)
    return tuple(RemoteFile(name=name, urls=()) for name in names)


def _how_to_get(key: str, target: Target, folder: Path, data_dir: Path | None) -> str:
    command = f"mlffbench download {key}"
    if data_dir is not None:
        command += f" --data-dir {shlex.quote(str(data_dir))}"
    if target.download.repository:
        command += " --file PATTERN"
    return (
        f"{key} ({total_in_words(target.files)}) is not in {folder}; type: {command} "
        "(for a copy that is elsewhere, add --from PATH)"
    )
