"""Standard output and what a machine may run short of: each failure is a sentence."""

import contextlib
import errno
import os
import sys
from typing import Any, TextIO, cast

from mlffbench.core.errors import StoreError

_SHORT = {
    errno.EMFILE: "too many files are open; raise the limit with: ulimit -n 4096",
    errno.ENFILE: "too many files are open on this machine; close other programs",
    errno.ENOMEM: "there is not enough memory; free some, or raise ulimit -v",
    errno.EAGAIN: "no further process can be started; raise the limit of ulimit -u",
}
_NO_MEMORY = ("can't allocate memory", "not enough memory", "cannot allocate memory",
              "failed to map segment", "out of memory", "unable to allocate")  # fmt: skip
_NO_THREAD = ("can't start new thread", "thread creation failed")


class Guarded:
    """A stream of text whose failures are sentences.

    Args:
        stream: Where to write.
        name: What messages call it.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    def write(self, text: str) -> int:
        """Write text."""
        try:
            return self._stream.write(text)
        except OSError as error:
            raise self._failed(error) from error

    def flush(self) -> None:
        """Hand over what is written."""
        try:
            self._stream.flush()
        except OSError as error:
            raise self._failed(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _failed(self, error: OSError) -> StoreError:
        # what is left to write goes nowhere, or Python complains when it ends
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        return StoreError(
            f"cannot write to the {self._name}: {error.strerror}; what was computed is "
            "kept in its files, repeat the command to print it"
        )


def guard_output() -> None:
    """Let nothing be lost to an encoding, and tell a failing standard output."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    # None where it was closed before the program began
    if sys.stdout is not None and not isinstance(sys.stdout, Guarded):
        sys.stdout = cast("TextIO", Guarded(sys.stdout, "standard output"))


def shortage(error: BaseException) -> str:
    """Return what the machine ran short of, and what to do; empty for other errors."""
    if isinstance(error, MemoryError):
        return _SHORT[errno.ENOMEM]
    if isinstance(error, OSError) and error.errno in _SHORT:
        return _SHORT[error.errno]
    said = str(error).lower()
    if isinstance(error, RuntimeError | ImportError | OSError):
        if any(words in said for words in _NO_MEMORY):
            return _SHORT[errno.ENOMEM]
        if any(words in said for words in _NO_THREAD):
            return _SHORT[errno.EAGAIN]
    return ""
