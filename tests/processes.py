"""Python in a process of its own, ``mlffbench`` in this one, and what they said."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from mlffbench.cli.app import main


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
    """Run a command in this process, which saves the seconds to start another."""
    told, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mlffbench", *words])
        patch.chdir(cwd or Path.cwd())
        for name, value in environment().items():
            patch.setenv(name, value)
        with redirect_stdout(told), redirect_stderr(errors):
            try:
                main()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
    return subprocess.CompletedProcess(words, code, told.getvalue(), errors.getvalue())
