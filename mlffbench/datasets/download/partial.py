"""A file that is not yet all there, and what is known of where it comes from."""

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mlffbench.core.errors import StoreError
from mlffbench.core.files import write_atomic
from mlffbench.datasets.download.claims import bytes_in_words

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a server said of the file when its first byte came.

    Attributes:
        url: Where it comes from.
        size: Bytes of the whole file, if it said.
        etag: Its entity tag, if it has one.
        modified: When it was last changed, if it said.
    """

    url: str
    size: int | None = None
    etag: str = ""
    modified: str = ""

    def contradicts(self, other: "Origin") -> bool:
        """Return whether two answers cannot be about the same bytes."""
        pairs: tuple[tuple[object, object], ...] = ((self.size, other.size),)
        if self.url == other.url:  # another server has tags of its own
            pairs += ((self.etag, other.etag), (self.modified, other.modified))
        return any(one and two and one != two for one, two in pairs)


class PartialFile:
    """``NAME.part`` beside the file to be, and ``NAME.part.json``, its `Origin`.

    The bytes are always the first bytes of the file; a process killed at any moment
    leaves a part that another one continues.

    Args:
        target: The file to be.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def origin(self) -> Origin | None:
        """Return where the part comes from; None if that is not known for certain."""
        try:
            content = json.loads(self._note.read_text(encoding="utf-8"))
            return Origin(**content)
        except (OSError, ValueError, TypeError):
            return None  # no note, or a damaged one: such a part is fetched anew

    def start(self, origin: Origin) -> None:
        """Begin anew with an empty part.

        Raises:
            StoreError: The folder cannot be written.
        """
        with self._writing():
            self._note.unlink(missing_ok=True)  # never an old note with new bytes
            self.path.unlink(missing_ok=True)  # it may be a link to a file of the user's
            self.path.write_bytes(b"")
        write_atomic(self._note, json.dumps(asdict(origin)).encode())

    def append(self, chunks: Iterable[bytes]) -> Iterator[int]:
        """Write chunks at the end and yield the size of each once it is written.

        Raises:
            StoreError: The disk is full or failing; what was written stays.
        """
        with self._writing():
            file = self.path.open("ab", buffering=0)
        with file:
            for chunk in chunks:
                with self._writing():
                    left = memoryview(chunk)
                    while left:
                        left = left[file.write(left) :]
                yield len(chunk)

    def tail(self, n_bytes: int) -> bytes:
        """Return the last bytes that are there."""
        with self.path.open("rb") as file:
            file.seek(self.size - n_bytes)
            return file.read(n_bytes)

    def finish(self) -> None:
        """Give the part its final name; what had that name is replaced.

        Raises:
            StoreError: The folder cannot be written.
        """
        with self._writing():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
            self.path.replace(self.target)
            self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the part."""
        with self._writing():
            self._note.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL:
                msg = (
                    f"cannot write {self.path}: {error.strerror}; choose a folder that "
                    "can be written with --data-dir"
                )
                raise StoreError(msg) from error
            msg = (
                f"the disk of {self.path.parent} is full; {bytes_in_words(self.size)} of "
                f"{self.target.name} are kept: free some space and repeat the command, "
                "which goes on from there"
            )
            raise StoreError(msg) from error


def require_space(folder: Path, n_bytes: int, what: str) -> None:
    """Check that a disk has room before anything is written.

    Raises:
        StoreError: It has not.
    """
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        msg = (
            f"{what} needs {bytes_in_words(n_bytes)} more, but the disk of {folder} has "
            f"only {bytes_in_words(free)} free; free some space or choose another disk "
            "with --data-dir"
        )
        raise StoreError(msg)
