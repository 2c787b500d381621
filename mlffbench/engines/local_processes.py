"""Local processes: workers on this machine, one thread each."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from mlffbench.core.errors import StoreError, SuiteError
from mlffbench.core.guards.children import PYTHON, await_end
from mlffbench.core.guards.output import shortage

MOST_PER_CORE = 4
"""Workers that a core can have; each loads all libraries and the model."""


@contextmanager
def local_workers(
    folders: Sequence[Path], n_workers: int, *, trust: bool, expects: str | None = None
) -> Iterator[list[str]]:
    """Run workers beside this process for the length of a block.

    Args:
        folders: Of the runs, in the order in which this process begins them; no worker
            is started where there is none.
        n_workers: How many, this process not among them.
        trust: Whether they load what runs code that was not typed.
        expects: Device, type and name of the model that they load while the first run
            is not yet begun; None: they wait.

    Yields:
        A list that holds, after the block, why workers could not help, if any.

    Raises:
        SuiteError: They are far more than this machine has cores.
        StoreError: The machine has no room for them.
    """
    most = MOST_PER_CORE * (os.cpu_count() or 1)
    if n_workers >= most:
        msg = f"--workers {n_workers + 1} is too much for {os.cpu_count()} cores; give "
        raise SuiteError(msg + f"at most {most}, or --engine slurm")
    paths = [str(path.absolute()) for path in folders]
    words = [*PYTHON, *worker_words(paths, trust=trust, expects=expects)]
    told: list[str] = []
    with ExitStack() as stack:
        started: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
        try:
            for _ in range(n_workers if folders else 0):
                started.append(_started(words, stack))
            yield told
        finally:
            why = [why_ended(*one) for one in started]
            told += dict.fromkeys(reason for reason in why if reason)
            for process, _ in started:
                process.terminate()
            for process, _ in started:
                await_end(process)


def worker_words(
    paths: Sequence[str], *, trust: bool, expects: str | None = None
) -> list[str]:
    """Return the arguments of a Python that works beside this process, and for it."""
    words = ["-m", "mlffbench", "worker", "--own", "--led-by", str(os.getpid())]
    words += ["--trust"] * trust + ([] if expects is None else ["--expects", expects])
    return [*words, "--", *paths]


def _started(
    words: Sequence[str], stack: ExitStack
) -> "tuple[subprocess.Popen[bytes], IO[bytes]]":
    """Start a worker; return it and what it says of errors.

    Raises:
        StoreError: The machine has no room for it.
    """
    try:
        errors = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    except OSError as error:
        why = shortage(error) or error.strerror
        msg = f"no worker can be started: {why}; then repeat the command with fewer "
        raise StoreError(msg + "--workers") from error
    return process, errors


def why_ended(process: "subprocess.Popen[bytes]", errors: IO[bytes]) -> str:
    """Return why a worker ended early, or could not help with a run; else nothing."""
    ended = process.poll()
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    told = [line for line in lines if ended or line.startswith("error: ")]
    if not told and not ended:
        return ""
    why = told[-1].removeprefix("error: ") if told else "it was killed"
    return f"a worker could not help, and the others did its share: {why}"
