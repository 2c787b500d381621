"""Runs that are stopped or killed before they are done."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mlffbench.run.work import Silent

HERE = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "dumb", "COLUMNS": "200"}


class StopsAfter(Silent):
    """Interrupts a run after some batches, as Ctrl-C would."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def advance(self, n_structures: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def kill_again_and_again(words: list[str], out: Path, times: int) -> None:
    """Start ``mlffbench`` so many times, and kill it as soon as it has stored a part."""
    parts: set[Path] = set()
    for _ in range(times):
        process = subprocess.Popen(
            [sys.executable, "-m", "mlffbench", *words, "--out", str(out)],
            env=HERE,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while set(out.rglob("parts/*.npz")) <= parts and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        grown = set(out.rglob("parts/*.npz"))
        assert grown > parts
        parts = grown


def complete(words: list[str], out: Path) -> None:
    """Run ``mlffbench`` to its end."""
    subprocess.run(
        [sys.executable, "-m", "mlffbench", *words, "--out", str(out)],
        env=HERE,
        check=True,
        stdout=subprocess.DEVNULL,
    )
