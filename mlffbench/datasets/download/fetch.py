"""One file from the first of its addresses that gives it, however often they fail."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlffbench.core.errors import DataError
from mlffbench.datasets.download.claims import RemoteFile, bytes_in_words
from mlffbench.datasets.download.partial import PartialFile
from mlffbench.datasets.download.replies import AddressError, TransferError
from mlffbench.datasets.download.transfer import transfer
from mlffbench.datasets.download.watcher import Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server is borne with.

    Attributes:
        tries: Requests in a row that bring nothing before an address is given up.
        first_wait_s: Wait after the first of them; it doubles from one to the next.
        longest_wait_s: The longest wait of our own choice.
        longest_request_s: The longest wait a server may ask for.
        timeout_s: Silence after which a connection counts as cut.
    """

    tries: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    longest_request_s: float = 600.0
    timeout_s: float = 60.0


def fetch(
    file: RemoteFile,
    target: Path,
    *,
    patience: Patience,
    watcher: Watcher,
    sleep: Callable[[float], None] = time.sleep,
) -> PartialFile:
    """Return all of a file as a part, to be checked and then given its name.

    A part that is there is continued. An address that fails for good is followed by the
    next one, which continues the same part where the file has a published checksum.

    Args:
        file: What to fetch.
        target: Where it will be; its folder must exist.
        patience: How long to bear with a server.
        watcher: Who is told.
        sleep: Waits; tests need not.

    Raises:
        DataError: No address gives it; what came is kept.
        StoreError: The disk is full or not writable; what came is kept.
    """
    part = PartialFile(target)
    faults: list[str] = []
    for url in file.urls:
        try:
            _persist(url, file, part, patience=patience, watcher=watcher, sleep=sleep)
        except (AddressError, TransferError) as error:
            faults.append(str(error))
            continue
        return part
    kept = f"; {bytes_in_words(part.size)} are kept" if part.size else ""
    msg = (
        f"cannot download {file.name}: {'; '.join(faults)}{kept}; repeat the command to "
        "go on, name another address with --mirror, or fetch the file elsewhere and "
        "import it with --from"
    )
    raise DataError(msg)


def _persist(
    url: str,
    file: RemoteFile,
    part: PartialFile,
    *,
    patience: Patience,
    watcher: Watcher,
    sleep: Callable[[float], None],
) -> None:
    """Ask one address until the file is whole or too many requests bring nothing new."""
    furthest, failures = part.size, 0
    while True:
        try:
            transfer(url, file, part, timeout_s=patience.timeout_s, watcher=watcher)
        except TransferError as error:
            failures = 1 if part.size > furthest else failures + 1
            furthest = max(furthest, part.size)
            if failures >= patience.tries:
                tries = "1 try" if failures == 1 else f"{failures} tries"
                msg = f"{error} ({tries})"
                raise TransferError(msg) from error
            wait_s = _wait_s(error, failures, patience)
            if wait_s:
                watcher.note(f"{error}; trying again in {wait_s:.0f} s")
            else:
                watcher.note(f"{error}")
            sleep(wait_s)
        else:
            return


def _wait_s(error: TransferError, failures: int, patience: Patience) -> float:
    """Return how long to wait: what the server asked for, else longer every time."""
    if error.wait_s is None:
        wait_s = patience.first_wait_s * 2.0 ** min(failures - 1, 30)
        return min(wait_s, patience.longest_wait_s)
    if error.wait_s > patience.longest_request_s:
        msg = f"{error} and asks to come again in {error.wait_s / 60:.0f} minutes"
        raise AddressError(msg) from error
    return error.wait_s
