"""What the commands print with: a console, tables and progress."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_WIDTH_OF_A_FILE = 160


def make_console() -> Console:
    """Return a console; written to a file or a pipe, its lines are not cut at 80."""
    console = Console(highlight=False, emoji=False)
    return (
        console
        if console.is_terminal
        else Console(width=_WIDTH_OF_A_FILE, highlight=False, emoji=False)
    )


def print_error(text: str) -> None:
    """Print one sentence to the error stream, exactly as it is."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
    console.print(" ".join(f"error: {text}".split()), style="red", markup=False)


def print_warning(text: str) -> None:
    """Print one sentence that may change what a number means to the error stream."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
    console.print(" ".join(f"warning: {text}".split()), style="yellow", markup=False)


@contextmanager
def resumable() -> Iterator[None]:
    """Turn Ctrl-C into the command that continues, and exit code 1."""
    try:
        yield
    except KeyboardInterrupt:
        again = shlex.join(["mlffbench", *sys.argv[1:]])
        typer.echo(f"stopped; to continue, type: {again}", err=True)
        raise typer.Exit(1) from None


class RunProgress:
    """A bar on a terminal, a line per tenth elsewhere.

    Args:
        console: Where to print.
        unit: What is counted.
    """

    def __init__(self, console: Console, unit: str = "structures") -> None:
        self._console, self._unit = console, unit
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None
        self._title, self._done, self._total, self._said = "", 0, 0, 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, title: str, n_structures: int) -> None:
        """Start counting a job."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=n_structures)
        self._title, self._done, self._total, self._said = title, 0, n_structures, 0

    def advance(self, n_structures: int) -> None:
        """Count finished structures."""
        self._done += n_structures
        if self._task is not None:
            self._bar.advance(self._task, n_structures)
        tenth = 10 * self._done // max(self._total, 1)
        if not self._console.is_terminal and tenth > self._said:
            self._said = tenth
            self._console.print(
                f"{self._title}: {self._done} of {self._total} {self._unit}"
            )
