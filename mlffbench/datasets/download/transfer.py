"""One request for a file, or for the rest of it, over HTTP."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from typing import NoReturn

import requests
import urllib3

from mlffbench import __version__
from mlffbench.core.guards.plain import without_credentials
from mlffbench.datasets.download.claims import RemoteFile, bytes_in_words
from mlffbench.datasets.download.partial import Origin, PartialFile, require_space
from mlffbench.datasets.download.replies import (
    HEAD,
    PARTIAL,
    TOO_FAR,
    AddressError,
    TransferError,
    fault_of_head,
    gather,
    host_of,
    reply_of,
)
from mlffbench.datasets.download.watcher import Watcher

CHUNK = 1 << 18
"""Bytes read at a time."""
OVERLAP = 1 << 16
"""Bytes at the end of a part that are asked for again and compared."""
MARGIN = 3
"""Times the size that is roughly known."""
UNSTATED = 20_000_000_000
"""Bytes taken of a file of which nobody says how large it is."""
_CONNECT_S = 15.0


def transfer(
    url: str, file: RemoteFile, part: PartialFile, *, timeout_s: float, watcher: Watcher
) -> None:
    """Fetch what is missing of a part, in one request.

    The end of the part is asked for again and compared. A server that does not know
    ranges, or whose file has changed, has the part begun anew.

    Raises:
        AddressError: The address gives something else than the file.
        TransferError: The connection failed, or the server asks to come again.
        StoreError: The disk is full.
    """
    known, shown = part.origin(), without_credentials(url)
    have = part.size if known and (known.url == shown or file.checksum) else 0
    overlap = min(have, OVERLAP)
    headers = {"Accept-Encoding": "identity", "User-Agent": f"mlffbench/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have - overlap}-"
    with _connection_faults(url), closing(_get(url, headers, timeout_s)) as response:
        if response.status_code == TOO_FAR:
            _differ(part, url, "has fewer bytes than are here")
        reply = reply_of(response, url, file)
        pieces = response.raw.stream(CHUNK, decode_content=False)  # a .gz file stays one
        if response.status_code == PARTIAL:
            if known is None or known.contradicts(reply.origin):
                _differ(part, url, "has another file by now")
            if reply.start != have - overlap:
                msg = f"{host_of(url)} sends another range than the one asked for"
                raise AddressError(msg)
            pieces = _after_overlap(pieces, part, overlap, url)
        else:
            pieces = _after_check(pieces, file, url)
            _begin_anew(part, reply.origin, file, have, watcher)
        total = reply.origin.size
        if total is not None:
            require_space(part.path.parent, total - part.size, file.name)
        watcher.begin(file.name, total or file.expected, part.size)
        most = most_bytes(file) if total is None else total
        for n_bytes in part.append(pieces):
            watcher.advance(n_bytes)
            if part.size > most:
                part.discard()
                msg = (
                    f"{host_of(url)} does not say how large {file.name} is, and sends "
                    f"more than {bytes_in_words(most)}"
                )
                raise AddressError(msg)
    if total is not None and part.size < total:
        msg = f"the connection to {host_of(url)} ended early"
        raise TransferError(msg)


def most_bytes(file: RemoteFile) -> int:
    """Return how many bytes are taken of a file whose server does not say how many."""
    if file.size is not None:
        return file.size
    return MARGIN * file.about if file.about else UNSTATED


@contextmanager
def _connection_faults(url: str) -> Iterator[None]:
    """Turn what the network raises into one sentence."""
    try:
        yield
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        msg = f"{host_of(url)} does not answer"
        raise TransferError(msg) from error
    except urllib3.exceptions.HTTPError as error:
        msg = f"the connection to {host_of(url)} was cut"
        raise TransferError(msg) from error
    except requests.RequestException as error:
        msg = f"no connection to {host_of(url)}"
        raise TransferError(msg) from error


def _get(url: str, headers: dict[str, str], timeout_s: float) -> requests.Response:
    try:
        return requests.get(
            url, headers=headers, stream=True, timeout=(_CONNECT_S, timeout_s)
        )
    except (
        requests.TooManyRedirects,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
    ) as error:
        msg = f"{url} is not an address that can be fetched ({error})"
        raise AddressError(msg) from error


def _differ(part: PartialFile, url: str, how: str) -> NoReturn:
    """Give up a part that is no longer that of the file it came from.

    Raises:
        TransferError: The part was from this address, and is gone.
        AddressError: The part is from another address, and is kept for that.
    """
    origin = part.origin()
    if origin is not None and origin.url != without_credentials(url):
        msg = f"{host_of(url)} {how}, which came from {host_of(origin.url)}"
        raise AddressError(msg)
    part.discard()
    msg = f"{host_of(url)} {how}; starting over"
    raise TransferError(msg, wait_s=0.0)


def _begin_anew(
    part: PartialFile, origin: Origin, file: RemoteFile, have: int, watcher: Watcher
) -> None:
    """Start the part again, unless that would lose what another address gave.

    Raises:
        AddressError: It would.
    """
    before = part.origin()
    if have and before is not None and before.url != origin.url:
        msg = (
            f"{host_of(origin.url)} cannot go on from the middle of {file.name}, of "
            f"which {bytes_in_words(have)} are here"
        )
        raise AddressError(msg)
    if part.size:
        watcher.note(
            f"{host_of(origin.url)} sends all of {file.name} instead of the rest that is "
            "missing; starting over"
        )
    part.start(origin)


def _after_overlap(
    pieces: Iterator[bytes], part: PartialFile, overlap: int, url: str
) -> Iterator[bytes]:
    """Return what comes after the overlap, once that is what is already there."""
    head = gather(pieces, overlap)
    if len(head) < overlap:
        msg = f"the connection to {host_of(url)} ended early"
        raise TransferError(msg)
    if head[:overlap] != part.tail(overlap):
        _differ(part, url, "has other bytes than the part that is here")
    return chain([head[overlap:]], pieces)


def _after_check(pieces: Iterator[bytes], file: RemoteFile, url: str) -> Iterator[bytes]:
    """Return everything, once the first bytes are not those of something else."""
    head = gather(pieces, HEAD)
    fault = fault_of_head(head, file.name)
    if fault:
        msg = f"{host_of(url)} sends {fault} instead of {file.name}"
        raise AddressError(msg)
    return chain([head], pieces)
