"""Runs that are stopped or killed before they are done."""

import time
from pathlib import Path

from processes import Started, environment, mlffbench

from mlffbench.run.work import Silent


def pause(seconds: float) -> str:
    """Return a line of a model's code: it takes its time where it shall be killed."""
    asked = "__import__('os').environ.get('PAUSED')"
    return f"{asked} and __import__('time').sleep({seconds})"


class StopsAfter(Silent):
    """Interrupts a run after some batches, as Ctrl-C would."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def advance(self, n_structures: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def kill_again_and_again(words: list[str], out: Path, times: int) -> None:
    """Start ``mlffbench`` so many times, and kill it as soon as it has stored a part.

    A model with a ``pause`` in its code leaves the time for that.
    """
    parts: set[Path] = set()
    env = {**environment(), "PAUSED": "yes"}
    for _ in range(times):
        process = Started("-m", "mlffbench", *words, "--out", str(out), env=env)
        deadline = time.monotonic() + 60
        while set(out.rglob("parts/*.npz")) <= parts and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        grown = set(out.rglob("parts/*.npz"))
        assert grown > parts
        parts = grown


def complete(words: list[str], out: Path) -> None:
    """Run ``mlffbench`` to its end, in this process."""
    done = mlffbench(*words, "--out", str(out))
    assert done.returncode == 0, done.stderr


def with_full_disk(words: list[str], limit: int) -> str:
    """Run ``mlffbench`` where no file grows beyond so many bytes; return its errors."""
    full = Started("-m", "mlffbench", *words, file_limit=limit).wait()
    assert full.returncode == 1
    assert "Traceback" not in full.stderr + full.stdout
    assert "cannot write" in full.stderr
    return full.stderr
