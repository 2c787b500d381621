"""Claims: which process computes which shard, agreed on in the file system alone.

A claim is a file beside the parts that only one process can create. Its owner touches it
every `HEARTBEAT_S` seconds. Whoever finds it untouched for `EXPIRY_S` seconds *of the own
clock* takes it away, so clocks that differ are of no consequence; an owner on the same
machine that is no longer alive is found out at once. Two processes that compute one shard
all the same, as when an owner was stopped and goes on, write the same file: claims save
work, the parts decide.
"""

import errno
import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlffbench.core.errors import StoreError
from mlffbench.core.files import temporary_of, told_if_full

HEARTBEAT_S = 10.0
EXPIRY_S = 60.0
MOST_LOST = 10
"""Times that a shard is taken up again after its owner died."""


class Claims:
    """The claims of one process on the shards in a folder; a context that keeps them.

    Args:
        folder: Where they lie; it must exist.
        expiry_s: Seconds without a sign of life after which an owner is dead.
        heartbeat_s: Seconds between signs of life.
    """

    def __init__(
        self,
        folder: Path,
        *,
        expiry_s: float = EXPIRY_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._folder, self._expiry_s, self._heartbeat_s = folder, expiry_s, heartbeat_s
        self._seen: dict[Path, tuple[tuple[int, int], float]] = {}
        self._held: Path | None = None
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._heart.join()

    @contextmanager
    def held(self, number: int) -> Iterator[bool]:
        """Hold the claim on a shard for the length of a block, where it can be had.

        Yields:
            Whether it is ours. It is given back however the block ends, but for a kill.

        Raises:
            StoreError: The folder cannot be written.
        """
        path = self._path(number)
        ours = self._take(path)
        if not ours:
            yield False
            return
        self._held = path
        try:
            yield True
        finally:
            self._held = None
            with suppress(OSError):  # gone: taken away, or the disk with it
                path.unlink()

    def lost(self, number: int) -> int:
        """Return how many owners of a shard have died."""
        return len(_lost(self._folder, number))

    def forgive(self, number: int) -> None:
        """Forget the owners of a shard that have died."""
        forgive(self._folder, number)

    def alive(self) -> bool:
        """Return whether some claim has a living owner, as far as is known by now."""
        claims = [name for name in listed(self._folder) if name.endswith(".claim")]
        return any(not self._expired(self._folder / name) for name in claims)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.claim"

    def _take(self, path: Path) -> bool:
        content = json.dumps(_own_identity()).encode()
        if not path.exists():
            return create_only(path, content)
        if not self._expired(path):
            return False
        lost = path.with_suffix(f".lost-{secrets.token_hex(4)}")
        try:
            path.rename(lost)  # of two who try, one finds nothing there
        except FileNotFoundError:
            return False
        except OSError as error:
            msg = (
                f"cannot write to {self._folder}: {error.strerror}; mend it, then repeat "
            )
            raise StoreError(msg + "the command") from error
        return create_only(path, content)

    def _expired(self, path: Path) -> bool:
        """Return whether the owner of a claim is dead, or silent for too long."""
        try:
            status = path.stat()
        except OSError:
            return False  # given back meanwhile, or out of reach for now
        try:
            owner = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False  # given back meanwhile
        except (OSError, ValueError):
            owner = {}
        if isinstance(owner, dict) and _is_dead(owner):
            return True
        sign, now = (status.st_mtime_ns, status.st_ino), time.monotonic()
        known = self._seen.get(path)
        if known is None or known[0] != sign:
            self._seen[path] = (sign, now)
            return False
        return now - known[1] > self._expiry_s

    def _beat(self) -> None:
        while not self._ended.wait(self._heartbeat_s):
            path = self._held
            if path is not None:
                with suppress(OSError):  # taken away; the part is written all the same
                    os.utime(path)


def forgive(folder: Path, number: int) -> None:
    """Forget the owners of a shard that have died, since it got on all the same."""
    for name in _lost(folder, number):
        (folder / name).unlink(missing_ok=True)


def listed(folder: Path) -> list[str]:
    """Return the names in a folder; none where it is gone, as when its run has ended.

    A pattern would not do: its folder may go between two looks at it.

    Raises:
        OSError: It cannot be read.
    """
    try:
        return os.listdir(folder)  # noqa: PTH208 - a pattern may find it gone
    except FileNotFoundError:
        return []


def _lost(folder: Path, number: int) -> list[str]:
    return [name for name in listed(folder) if name.startswith(f"{number:06d}.lost-")]


def create_only(path: Path, content: bytes) -> bool:
    """Create a file with its content in one step; return False where it is there.

    Raises:
        StoreError: The folder cannot be written.
    """
    temporary = temporary_of(path)
    with told_if_full(path):
        temporary.write_bytes(content)
        try:
            os.link(temporary, path)  # atomic on network file systems, too
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}:
                raise
            return _create_exclusively(path, content)
        finally:
            temporary.unlink(missing_ok=True)
    return True


def _create_exclusively(path: Path, content: bytes) -> bool:
    """Create a file where there are no hard links."""
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def _own_identity() -> dict[str, Any]:
    pid = os.getpid()
    return {"machine": _machine(), "pid": pid, "began": _began(pid)}


def _is_dead(owner: dict[str, Any]) -> bool:
    """Return whether the owner of a claim is a process of this machine that is gone."""
    pid = owner.get("pid")
    if owner.get("machine") != _machine() or not isinstance(pid, int):
        return False
    return _began(pid) != owner.get("began")


def _machine() -> str:
    """Return what tells machines, and what sees other processes on them, apart."""
    parts = [platform.node()]
    for path in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        try:
            parts.append(
                str(path.readlink()) if path.is_symlink() else path.read_text().strip()
            )
        except OSError:
            continue
    return "/".join(parts)


def _began(pid: int) -> str:
    """Return when a process of this machine began; empty where it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "" if Path("/proc/self/stat").exists() else _is_there(pid)
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]


def _is_there(pid: int) -> str:
    """Return the same where there is no /proc: only whether it is alive."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        return "there"
    return "there"
