"""The datasets that can be downloaded, one row each; listing them imports nothing."""

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import NamedTuple

from mlffbench.core.errors import DataError, UnknownNameError
from mlffbench.core.registry import Entry
from mlffbench.datasets.download.claims import Download, RemoteFile
from mlffbench.datasets.download.rows_molecules import MOLECULES
from mlffbench.datasets.download.rows_sets import SETS

DOWNLOADS: dict[str, Download] = {**SETS, **MOLECULES}
"""Key -> what is published. Sizes and checksums are claims, checked on every download."""


def download_rows() -> dict[str, Entry]:
    """Return the table as catalogue rows."""
    target = f"{__name__}:DOWNLOADS"
    return {
        key: Entry(target, download.summary, card=download)
        for key, download in DOWNLOADS.items()
    }


class Target(NamedTuple):
    """Something to fetch: a download, whole or in part.

    Attributes:
        key: Its row, also the folder it is put in.
        download: The row.
        files: The files that are wanted.
    """

    key: str
    download: Download
    files: tuple[RemoteFile, ...]

    @property
    def name(self) -> str:
        """What to type for it."""
        one = self.files[0].part if len(self.files) == 1 else ""
        return f"{self.key}/{one}" if one else self.key


def target_of(name: str) -> Target:
    """Return what a name asks for: ``"md17"`` is every file, ``"md17/aspirin"`` one.

    Raises:
        UnknownNameError: No row, or no part of the row, has that name.
    """
    key, _, part = name.partition("/")
    if key not in DOWNLOADS:
        raise UnknownNameError("download", key, DOWNLOADS)
    download = DOWNLOADS[key]
    if not part:
        return Target(key, download, download.files)
    files = tuple(file for file in download.files if file.part == part)
    if not files:
        known = (f"{key}/{file.part}" for file in download.files if file.part)
        raise UnknownNameError("download", name, list(known) or DOWNLOADS)
    return Target(key, download, files)


def only(target: Target, patterns: list[str]) -> Target:
    """Return the files of a target whose name or part matches one of some patterns.

    Raises:
        DataError: None does.
    """
    files = tuple(
        file
        for file in target.files
        for name in (file.name, file.part)
        if name and any(fnmatchcase(name, pattern) for pattern in patterns)
    )
    if not files:
        names = ", ".join(file.name for file in target.files)
        asked = " or ".join(map(repr, patterns))
        msg = f"no file of {target.key} matches {asked}; there are: {names}"
        raise DataError(msg)
    return target._replace(files=tuple(dict.fromkeys(files)))


def from_mirrors(target: Target, mirrors: tuple[str, ...]) -> Target:
    """Return a target whose files come from mirrors instead of the published addresses.

    Args:
        target: The target.
        mirrors: Addresses of folders that hold the files under their names, or of the
            one file itself.
    """
    if not mirrors:
        return target

    def at(mirror: str, name: str) -> str:
        return mirror if mirror.endswith(f"/{name}") else f"{mirror.rstrip('/')}/{name}"

    return target._replace(
        files=tuple(
            replace(file, urls=tuple(at(mirror, file.name) for mirror in mirrors))
            for file in target.files
        )
    )
