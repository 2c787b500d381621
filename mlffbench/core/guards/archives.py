"""Zip archives, npz files among them: every byte is checked against its checksum.

Whoever maps a member, or reads no further than an array's shape asks for, never gets to
the end of it, where Python compares; torch does not compare at all.
"""

import lzma
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

ARCHIVE_FAULTS = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError),
    *(RuntimeError, SyntaxError, tokenize.TokenError),
)
"""Everything that Python and numpy raise for a damaged or hostile archive."""


def damaged_member(archive: Path | IO[bytes]) -> str:
    """Return the first member whose bytes are not those that were stored; empty for none.

    What is no zip archive has no members.

    Raises:
        ARCHIVE_FAULTS: The archive is damaged in another way.
    """
    if not zipfile.is_zipfile(archive):
        return ""
    with zipfile.ZipFile(archive) as opened:
        return opened.testzip() or ""


def check_members(archive: IO[bytes]) -> None:
    """Check every byte of an open archive, and leave it at its start.

    Raises:
        ARCHIVE_FAULTS: It is damaged; a ValueError names the member.
    """
    damaged = damaged_member(archive)
    if damaged:
        raise ValueError(damaged)
    archive.seek(0)
