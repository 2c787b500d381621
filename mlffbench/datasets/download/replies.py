"""What a server answers: how large the file is, or why it is not to be had."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests

from mlffbench.core.errors import DataError
from mlffbench.core.guards.plain import plain, without_credentials
from mlffbench.datasets.download.claims import RemoteFile
from mlffbench.datasets.download.partial import Origin

OK, PARTIAL, TOO_FAR = 200, 206, 416
HEAD = 512
"""Bytes at the start of a file that are looked at."""
_RETRIED = {408, 425, 429, 500, 502, 503, 504}
_MAGIC: dict[str, tuple[bytes, ...]] = {
    ".hdf5": (b"\x89HDF\r\n\x1a\n",),
    ".h5": (b"\x89HDF\r\n\x1a\n",),
    ".npz": (b"PK\x03\x04",),
}
_ARCHIVE_MAGIC = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")


class AddressError(DataError):
    """An address that will not give the file, however often it is asked."""


class TransferError(DataError):
    """A transfer that failed but may succeed when repeated.

    Args:
        message: What happened.
        wait_s: How long the server asked to wait, if it did.
    """

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Reply:
    """What an answer says of the file.

    Attributes:
        origin: Size and validators.
        start: Where its bytes begin.
    """

    origin: Origin
    start: int


def host_of(url: str) -> str:
    """Return the host of an address, for messages."""
    shown = without_credentials(url)
    return urlsplit(shown).netloc or shown


def reply_of(response: requests.Response, url: str, file: RemoteFile) -> Reply:
    """Return what the headers say.

    Raises:
        TransferError: The server asks to come again.
        AddressError: It refuses, or has a file of another size.
    """
    status = response.status_code
    if status in _RETRIED:
        msg = f"{host_of(url)} answers {status} {response.reason}"
        raise TransferError(msg, _retry_after(response.headers.get("Retry-After", "")))
    if status not in {OK, PARTIAL}:
        msg = f"{host_of(url)} answers {status} {response.reason} for {url}"
        raise AddressError(msg)
    start, total = 0, None
    if status == PARTIAL:
        content_range = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range.strip())
        if not found:
            msg = f"{host_of(url)} sends a range without saying which ({content_range!r})"
            raise AddressError(msg)
        start = int(found[1])
        total = None if found[2] == "*" else int(found[2])
    elif _is_number(length := response.headers.get("Content-Length", "")):
        total = int(length)
    if _is_page(response):
        msg = f"{host_of(url)} sends a web page{_title(response)} instead of {file.name}"
        raise AddressError(msg)
    if None not in {total, file.size} and total != file.size:
        msg = (
            f"{host_of(url)} offers {total:,} bytes as {file.name}, but {file.size:,} "
            f"were published ({file.claim})"
        )
        raise AddressError(msg)
    return Reply(
        Origin(
            url=without_credentials(url),
            size=total,
            etag=response.headers.get("ETag", ""),
            modified=response.headers.get("Last-Modified", ""),
        ),
        start,
    )


def _is_number(value: str) -> bool:
    return value.strip().isascii() and value.strip().isdigit()


def _retry_after(value: str) -> float | None:
    """Return seconds from a Retry-After header: a number, or a date."""
    if _is_number(value):
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max((until - datetime.now(UTC)).total_seconds(), 0.0)


def _is_page(response: requests.Response) -> bool:
    kind = response.headers.get("Content-Type", "")
    return kind.lower().startswith(("text/html", "application/xhtml"))


def _title(response: requests.Response) -> str:
    """Return the title of a web page in brackets; empty if it has none."""
    head = gather(response.raw.stream(HEAD, decode_content=True), 8 * HEAD)
    found = re.search(rb"<title[^>]*>([^<]{1,80})", head, re.IGNORECASE)
    return f" ({plain(found[1].decode(errors='replace')).strip()!r})" if found else ""


def gather(pieces: Iterator[bytes], n_bytes: int) -> bytes:
    """Return at least so many bytes, or all there are."""
    gathered = b""
    while len(gathered) < n_bytes:
        piece = next(pieces, None)
        if piece is None:
            break
        gathered += piece
    return gathered


def fault_of_head(head: bytes, name: str) -> str:
    """Return what the first bytes of a file show it to be instead; empty if nothing.

    Args:
        head: The first bytes.
        name: The name of the file it should be.

    Example:
        >>> fault_of_head(b"<!DOCTYPE html><html>", "train.xyz")
        'a web page'
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml")):
        return "a web page"
    suffix = name[name.rfind(".") :]
    magic = _MAGIC.get(suffix)
    if suffix in {".gz", ".tgz", ".bz2", ".xz", ".zip"}:
        magic = _ARCHIVE_MAGIC
    if magic and not head.startswith(magic):
        return f"something that is no {suffix} file"
    return ""
