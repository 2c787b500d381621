"""What the commands print with: a console, tables and progress."""

import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console

if TYPE_CHECKING:
    from mlffbench.report.tables.record_tables import TextTable

_WIDTH_OF_A_FILE = 160


def make_console() -> Console:
    """Return a console; written to a file or a pipe, its lines are not cut at 80."""
    console = Console(highlight=False, emoji=False)
    return (
        console
        if console.is_terminal
        else Console(width=_WIDTH_OF_A_FILE, highlight=False, emoji=False)
    )


def print_warnings(texts: Iterable[str]) -> None:
    """Print what a user should know before anything runs, to the error stream."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
    for text in texts:
        line = " ".join(f"warning: {text}".split())
        console.print(line, style="yellow", markup=False)


def print_note(text: str) -> None:
    """Print what nobody needs to mend to the error stream, on one line."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
    console.print(" ".join(text.split()), markup=False)


def print_error(text: str) -> None:
    """Print one sentence to the error stream, exactly as it is."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
    console.print(" ".join(f"error: {text}".split()), style="red", markup=False)


@contextmanager
def resumable() -> Iterator[None]:
    """Turn Ctrl-C into the command that continues, and exit code 1."""
    try:
        yield
    except KeyboardInterrupt:
        again = shlex.join(["mlffbench", *sys.argv[1:]])
        typer.echo(f"stopped; to continue, type: {again}", err=True)
        raise typer.Exit(1) from None


def print_table(console: Console, table: "TextTable") -> None:
    """Print a table and its notes."""
    from mlffbench.report.tables.render import to_rich

    console.print(to_rich(table))
    for note in table.notes:
        console.print(f"· {note}", markup=False, style="dim")
    console.print()
