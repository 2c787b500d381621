"""Python and ``mlffbench`` in a process of their own, and what they said."""

import os
import subprocess
import sys
from pathlib import Path


def environment() -> dict[str, str]:
    """Return that of this process, for plain output on wide lines."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "dumb", "COLUMNS": "200"}


def python(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment(),
    )


def mlffbench(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return python("-m", "mlffbench", *words, cwd=cwd)
