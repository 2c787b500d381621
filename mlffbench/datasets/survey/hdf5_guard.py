"""HDF5 files from outside are looked through by a child before they are read.

The child is started once per process and asked again for each further file; what it has
let through is not asked twice while size and time of the file stay the same; of large
files the user's cache keeps a note. The files of the package itself are not asked for.
"""

import atexit
import hashlib
import json
import logging
import os
import select
import subprocess
import threading
from pathlib import Path
from typing import IO, NamedTuple

import pooch

from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.files import make_folder, write_atomic
from mlffbench.core.guards import caps
from mlffbench.core.guards.children import PYTHON
from mlffbench.core.guards.sizes import shown

_PACKAGE = Path(__file__).resolve().parents[2]
_COMMAND = (*PYTHON, "-m", "mlffbench.datasets.survey.hdf5_survey")
_AGE = 1
"""Raised by one whenever a survey refuses more than before."""
_SMALL = 1 << 20
_LOG = logging.getLogger(__name__)


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
        self._child: subprocess.Popen[bytes] | None = None
        self._heard = b""
        self._pid = 0
        self._passed: set[_Version] = set()

    def check(self, path: Path) -> None:
        version = _version_of(path)
        with self._lock:
            if version in self._passed or _is_noted(version):
                return
            fault = self._ask(version)
            if not fault:
                self._passed.add(version)
                _note(version)
                return
        msg = f"{path} cannot be opened as HDF5 ({shown_fault(fault)}); expected a "
        msg += "complete, undamaged file that holds its own data: fetch or copy it again"
        raise DataError(msg)

    def _ask(self, version: _Version) -> str:
        child = self._running()
        question = json.dumps(version.path).encode() + b"\n"
        try:
            os.write(_pipe(child.stdin), question)
        except OSError:
            return self._given_up("the HDF5 library crashes on it")
        while True:
            line = self._line(child, caps.SURVEY_S)
            if line is None:
                fault = f"the HDF5 library finds no end within {caps.SURVEY_S:g} s"
                return self._given_up(fault)
            if not line:
                return self._given_up("the HDF5 library crashes on it")
            answer = json.loads(line)
            if answer is not None:
                return str(answer)

    def _line(self, child: subprocess.Popen[bytes], seconds: float) -> bytes | None:
        """Return what the child says next, None if nothing, empty if it has died."""
        while b"\n" not in self._heard:
            ready, _, _ = select.select([_pipe(child.stdout)], [], [], seconds)
            if not ready:
                return None
            more = os.read(_pipe(child.stdout), 1 << 16)
            if not more:
                return b""
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def _given_up(self, fault: str) -> str:
        self.stop()
        return fault

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._pid == os.getpid():
            return self._child
        # one of the process this was forked from is left to it
        pipe = subprocess.PIPE
        try:
            child = subprocess.Popen(
                _COMMAND, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0
            )
        except OSError as error:
            msg = f"no process can be started to look through an HDF5 file: {error}; "
            raise DataError(msg + "free some memory or close other programs") from error
        self._child, self._pid, self._heard = child, os.getpid(), b""
        # it imports first: a busy machine is not a slow file
        if not self._line(child, caps.START_S):
            self.stop()
            msg = "the process that looks through HDF5 files did not start; free some "
            raise DataError(msg + "memory, or run `mlffbench doctor`")
        return child

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


def _pipe(pipe: IO[bytes] | None) -> int:
    """Return the number of one of a child's pipes."""
    if pipe is None:
        raise OSError("the child has no pipe")
    return pipe.fileno()


def _note_of(version: _Version) -> Path:
    named = os.environ.get("MLFFBENCH_CACHE")
    root = Path(named).expanduser() if named else Path(pooch.os_cache("mlffbench"))
    text = json.dumps([_AGE, *version])
    return root / "surveys" / hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _is_noted(version: _Version) -> bool:
    return version.size > _SMALL and _note_of(version).exists()


def _note(version: _Version) -> None:
    """Note for other processes that a file was let through; small ones are quick."""
    if version.size <= _SMALL:
        return
    note = _note_of(version)
    try:
        make_folder(note.parent)
        write_atomic(note, b"")
    except StoreError as error:
        _LOG.info("the file will be looked through again next time: %s", error)


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
