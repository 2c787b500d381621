"""What is known of published files before they are fetched: names, addresses, claims."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from mlffbench.core.errors import DataError

NOT_STATED = "not stated; see the source page"
"""Licence of data whose authors name none."""
EV_XYZ: dict[str, Any] = {"units": "Å, eV, eV/Å", "layout": "xyz"}
"""What the rows of most xyz files share."""
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".gz", ".bz2")
_STEP = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One published file. Size and checksum are claims until it was fetched.

    Attributes:
        name: Its name on disk, with ``/`` between folders.
        urls: Addresses, the first one first.
        size: Bytes, where somebody published them.
        about: Bytes, roughly, where only that is known; for the check of free space.
        checksum: ``algorithm:hex``, where somebody published one.
        claim: Who says so.
        part: Short name by which it can be asked for alone, as in ``md17/aspirin``.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    about: int | None = None
    checksum: str | None = None
    claim: str = "nobody published a size or checksum"
    part: str = ""

    @property
    def is_archive(self) -> bool:
        """Whether it has to be unpacked (an npz file is read as it is)."""
        return self.name.endswith(_ARCHIVES)

    @property
    def expected(self) -> int | None:
        """Bytes to expect, exactly or roughly."""
        return self.size if self.size is not None else self.about

    @property
    def size_in_words(self) -> str:
        """Its size for people, e.g. ``"16.1 GB"`` or ``"about 1.6 GB"``."""
        if self.size is not None:
            return bytes_in_words(self.size)
        return f"about {bytes_in_words(self.about)}" if self.about else "not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One dataset that can be fetched, as its authors published it.

    Attributes:
        summary: One line for people.
        files: What it consists of; empty for a repository, whose files are listed.
        source: Page that describes it.
        licence: Licence of the data.
        citation: Where it was published.
        level_of_theory: Of the labels.
        units: Units in the files, in words.
        layout: Which reader its files are for.
        elements: Symbols that occur, in words.
        charges: Total charges that occur, in words.
        keep: Patterns of the names of data files in its archives.
        repository: Name of a dataset repository on Hugging Face.
        notes: Anything a user must know.
    """

    summary: str
    files: tuple[RemoteFile, ...]
    source: str
    licence: str
    citation: str
    level_of_theory: str
    units: str
    layout: str
    elements: str
    charges: str = "0"
    keep: tuple[str, ...] = ("*",)
    repository: str = ""
    notes: tuple[str, ...] = ()

    @property
    def size_in_words(self) -> str:
        """Size of all files for people."""
        return total_in_words(self.files)

    def is_data(self, name: str) -> bool:
        """Return whether a file of an archive holds structures, by its name."""
        base = PurePosixPath(name).name
        return any(fnmatchcase(base, pattern) for pattern in self.keep)

    def rows(self) -> list[tuple[str, str]]:
        """Return (fact, value) pairs for people."""
        return [
            ("level of theory", self.level_of_theory),
            ("elements", self.elements),
            ("charges", self.charges),
            ("size", self.size_in_words),
            ("units in the file", self.units),
            ("layout", self.layout),
            ("licence", self.licence),
            ("citation", self.citation),
            ("source", self.source),
            *(("note", note) for note in self.notes),
            *self._file_rows(),
        ]

    def _file_rows(self) -> Iterator[tuple[str, str]]:
        for file in self.files:
            proof = f", {file.checksum}" if file.checksum else ""
            yield (
                f"file {file.part or file.name}",
                f"{file.size_in_words}{proof} ({file.claim}): {', '.join(file.urls)}",
            )


def bytes_in_words(n_bytes: float) -> str:
    """Return a number of bytes for people, in decimal units.

    Example:
        >>> bytes_in_words(16_058_156_944)
        '16.1 GB'
    """
    if n_bytes < _STEP:
        return f"{n_bytes:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        n_bytes /= _STEP
        if n_bytes < _STEP:
            return f"{n_bytes:.1f} {unit}"
    return f"{n_bytes / _STEP:.1f} TB"


def total_in_words(files: tuple[RemoteFile, ...]) -> str:
    """Return the size of some files together for people."""
    sizes = [file.expected for file in files]
    known = sum(size for size in sizes if size is not None)
    if not known:
        return "size not known"
    words = bytes_in_words(known)
    if None in sizes:
        return f"more than {words}"
    exact = all(file.size is not None for file in files)
    return words if exact else f"about {words}"


def safe_parts(name: str) -> tuple[str, ...]:
    """Return the folders and the file of a relative name that stays where it is put.

    Raises:
        DataError: The name is absolute, climbs with ``..``, or has no sensible parts.

    Example:
        >>> safe_parts("rmd17/npz_data/rmd17_aspirin.npz")
        ('rmd17', 'npz_data', 'rmd17_aspirin.npz')
    """
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    bad = (
        name.startswith("/")
        or not parts
        or ".." in parts
        or any(character in name for character in "\\\0:")
        or not name.isprintable()
    )
    if bad:
        msg = f"{name!r} is not a name below the folder it would be written to"
        raise DataError(msg)
    return parts
