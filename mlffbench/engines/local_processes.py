"""Local processes: workers on this machine, one thread each."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from mlffbench.core.guards.children import PYTHON

_GRACE_S = 10.0


@contextmanager
def local_workers(
    folders: Sequence[Path], n_workers: int, *, trust: bool
) -> Iterator[list[str]]:
    """Run workers beside this process for the length of a block.

    Args:
        folders: Of the runs, in the order in which this process begins them.
        n_workers: How many, this process not among them.
        trust: Whether they load what runs code that was not typed.

    Yields:
        A list that holds, after the block, a sentence for each worker that ended early.
    """
    words = [*PYTHON, "-m", "mlffbench", "worker", "--own", "--led-by", str(os.getpid())]
    words += ["--trust"] * trust + ["--", *(str(path.absolute()) for path in folders)]
    told: list[str] = []
    with ExitStack() as stack:
        started: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
        try:
            for _ in range(n_workers):
                errors = stack.enter_context(tempfile.TemporaryFile())
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                )
                started.append((process, errors))
            yield told
        finally:
            told += [_last_line(errors) for process, errors in started if process.poll()]
            for process, _ in started:
                _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End a worker, which has nothing left to do."""
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    why = lines[-1].removeprefix("error: ") if lines else "it was killed"
    return f"a worker ended early, and the others did its share: {why}"
