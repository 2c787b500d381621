"""Python in a process of its own, ``mlffbench`` in this one, and what they said.

A process is forked off a server that has imported the libraries, but nothing of ours:
it starts in a moment instead of seconds, as clean as a new one.
"""

import io
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Final

import pytest
from forked import work

from mlffbench.cli.app import main

SERVER: Final = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    """
    torch._dynamo pandas scipy.stats h5py pyarrow.parquet ase.io matplotlib.figure
    plotly.graph_objects rdkit.Chem sklearn.neighbors torch_geometric.utils pydantic
    typer rich.progress safetensors.torch
    """.split()
)


def environment() -> dict[str, str]:
    """Return that of this process, for plain output on wide lines."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "dumb", "COLUMNS": "200"}


class Started:
    """Python with its words, in a process of its own.

    Args:
        words: ``-c`` and code, ``-m`` and a module, or a script; then its arguments.
        cwd: The folder it works in.
        env: Its environment.
        file_limit: No file that it writes grows beyond so many bytes.
    """

    def __init__(
        self,
        *words: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        file_limit: int | None = None,
    ) -> None:
        self.words = words
        self._folder = Path(tempfile.mkdtemp())
        self._said = [self._folder / name for name in ("out", "err")]
        arguments = (words, cwd, dict(env or environment()), file_limit, self._said)
        self._process = SERVER.Process(target=work, args=arguments)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OMP_NUM_THREADS", "1")  # the server inherits it
            self._process.start()
        self.pid = self._process.pid or 0

    def told(self) -> str:
        """Return what it has printed by now."""
        return self._said[0].read_text("utf-8") if self._said[0].exists() else ""

    def interrupt(self) -> None:
        """Stop it as Ctrl-C does."""
        os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """End it with ``kill -9``."""
        self._process.kill()
        self._process.join()
        shutil.rmtree(self._folder)

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Return how it ended and what it said, within a minute or two."""
        self._process.join(timeout=120)
        code = self._process.exitcode
        if code is None:
            self.kill()
            pytest.fail(f"{self.words} hangs")
        told, errors = (path.read_text("utf-8") for path in self._said)
        shutil.rmtree(self._folder)
        return subprocess.CompletedProcess(self.words, code, told, errors)


def python(
    *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    return Started(*words, cwd=cwd, env=env).wait()


def new_python(
    *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python in a process that has imported nothing yet."""
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**(env or environment())},
    )


def mlffbench(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which saves the moment to start another."""
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
