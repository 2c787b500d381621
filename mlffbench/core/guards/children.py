"""Child processes: fresh interpreters that import nothing from the current folder.

Python puts the current folder first on the path of ``python -c``, with which worker
processes are started too: a ``signal.py`` beside the data would be run by all of them.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

PYTHON = (sys.executable, "-P")
"""How a command line of a child begins."""
VARIABLE = "PYTHONSAFEPATH"
_PATIENCE_S = 10.0
"""How long a child that is told to end may take."""

P = ParamSpec("P")
T = TypeVar("T")


class FreshPool(ProcessPoolExecutor):
    """A pool of spawned processes; it is as safe as its parent's own path.

    Args:
        n_workers: Number of processes.
        initializer: Called in each of them when it starts.
        initargs: With these.
    """

    def __init__(
        self,
        n_workers: int,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        # fork after OpenMP was used deadlocks
        context = multiprocessing.get_context("spawn")
        with _safe_path():  # its queues start a process that watches them
            super().__init__(
                n_workers, context, initializer=initializer, initargs=initargs
            )

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Have a call carried out; worker processes start here."""
        with _safe_path():
            return super().submit(fn, *args, **kwargs)


def fault_of_import(
    names: str,
    *,
    patience_s: float,
    python: Sequence[str] = PYTHON,
    variables: Mapping[str, str] | None = None,
) -> str:
    """Return why modules cannot be imported by a child, on one line; empty if they can.

    Args:
        names: Import names, separated by commas.
        patience_s: How long it may take.
        python: How the command line of the child begins.
        variables: Its environment variables; None for those of this process.
    """
    code = (
        "import sys\n"
        f"try: import {names}\n"
        "except BaseException as error:\n"
        "    text = str(error).strip().splitlines() or ['no reason given']\n"
        "    sys.exit(f'{type(error).__name__}: {text[0]}')\n"
    )
    try:
        done = subprocess.run(
            [*python, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=patience_s,
            env=variables,
        )
    except subprocess.TimeoutExpired:
        return f"importing {names} takes more than {patience_s:.0f} s"
    except OSError as error:
        return f"{python[0]} cannot be started: {error.strerror}"
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"importing {names} ends Python with signal {-done.returncode}"
    return (done.stderr.strip().splitlines() or ["no reason given"])[-1]


def await_end(child: "subprocess.Popen[bytes]") -> None:
    """Wait for a child that was told to end; one that does not listen is killed."""
    try:
        child.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def await_end_of_input() -> None:
    """Wait until whoever holds the input of this process is gone.

    The input is read past its buffer: a thread that waits in there has the interpreter
    abort when it ends.
    """
    while os.read(0, 1 << 16):
        pass


@contextmanager
def _safe_path() -> Iterator[None]:
    """Start children without the current folder on their path, meanwhile."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
