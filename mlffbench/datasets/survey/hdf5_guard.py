"""HDF5 files from outside are looked through by a child before they are read.

The child is started once per process and asked again for each further file; what it has
let through is not asked twice while size and time of the file stay the same. The files of
the package itself are not asked for.
"""

import atexit
import json
import os
import select
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

from mlffbench.core.errors import DataError
from mlffbench.core.guards import caps
from mlffbench.core.guards.children import PYTHON
from mlffbench.core.guards.sizes import shown

_PACKAGE = Path(__file__).resolve().parents[2]
_COMMAND = (*PYTHON, "-m", "mlffbench.datasets.survey.hdf5_survey")


class _Version(NamedTuple):
    """What makes two files the same without reading them."""

    path: str
    device: int
    inode: int
    size: int
    time: int


class _Guard:
    """The child of this process, and what it has let through."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._pid = 0
        self._passed: set[_Version] = set()

    def check(self, path: Path) -> None:
        version = _version_of(path)
        with self._lock:
            if version in self._passed:
                return
            fault = self._ask(version)
            if not fault:
                self._passed.add(version)
                return
        msg = f"{path} cannot be opened as HDF5 ({shown_fault(fault)}); expected a "
        msg += "complete, undamaged file that holds its own data: fetch or copy it again"
        raise DataError(msg)

    def _ask(self, version: _Version) -> str:
        child = self._running()
        assert child.stdin is not None and child.stdout is not None  # noqa: PT018
        try:
            child.stdin.write(json.dumps(version.path) + "\n")
            child.stdin.flush()
            seconds = caps.SURVEY_S + version.size * caps.SURVEY_S_PER_BYTE
            ready, _, _ = select.select([child.stdout], [], [], seconds)
            line = child.stdout.readline() if ready else ""
        except OSError:  # it has died
            line, ready = "", [child.stdout]
        if line:
            return str(json.loads(line))
        self.stop()
        if ready:
            return "the HDF5 library crashes on it"
        return f"the HDF5 library finds no end within {seconds:.0f} s"

    def _running(self) -> subprocess.Popen[str]:
        if self._child is not None and self._pid != os.getpid():
            self._child = None  # that of the process this one was forked from
        if self._child is None:
            try:
                self._child = subprocess.Popen(
                    _COMMAND,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    encoding="utf-8",
                )
            except OSError as error:
                msg = f"no process can be started to look through an HDF5 file: {error}; "
                raise DataError(
                    msg + "free some memory or close other programs"
                ) from error
            self._pid = os.getpid()
            self._wait_until_ready(self._child)
        return self._child

    def _wait_until_ready(self, child: subprocess.Popen[str]) -> None:
        """Let it import what it needs, so that a busy machine is not a slow file."""
        assert child.stdout is not None
        ready, _, _ = select.select([child.stdout], [], [], caps.START_S)
        if not ready or not child.stdout.readline():
            self.stop()
            msg = "the process that looks through HDF5 files did not start; free some "
            raise DataError(msg + "memory, or run `mlffbench doctor`")

    def stop(self) -> None:
        """End the child, unless it is another process's."""
        child, self._child = self._child, None
        if child is None or self._pid != os.getpid():
            return
        child.kill()
        child.communicate()


_GUARD = _Guard()
atexit.register(_GUARD.stop)


def check_hdf5(path: Path) -> None:
    """Have a file looked through, unless that was done or it is the package's own.

    Raises:
        DataError: It links to other files, claims more than it holds, or the HDF5 library
            cannot cope with it; nothing of it was read in this process.
    """
    resolved = path.resolve()
    if not resolved.is_relative_to(_PACKAGE):
        _GUARD.check(resolved)


def _version_of(path: Path) -> _Version:
    try:
        found = path.stat()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}; check the path"
        raise DataError(msg) from error
    size, time = found.st_size, found.st_mtime_ns
    return _Version(str(path), found.st_dev, found.st_ino, size, time)


def shown_fault(fault: str) -> str:
    """Return the middle of a sentence, short enough for one."""
    return fault if len(fault) <= 3 * caps.SHOWN else shown(fault)
