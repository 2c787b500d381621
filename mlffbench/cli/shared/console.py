"""What the commands print with: a console, tables and progress."""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from mlffbench.core.guards.plain import plain, plain_lines, sentence, without_credentials

if TYPE_CHECKING:
    from mlffbench.report.tables.error_matrix import Matrix
    from mlffbench.report.tables.record_tables import TextTable

_UNBROKEN = 100_000
"""Characters per line of a file, which is as wide as its lines are."""


class _PlainConsole(Console):
    """A console on which text is only text: no markup, and no character acts."""

    def __init__(self, **given: Any) -> None:
        super().__init__(highlight=False, emoji=False, markup=False, **given)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield what is printed, piece by piece."""
        for piece in super().render(renderable, options):
            text = piece.text if piece.control else plain_lines(piece.text)
            yield piece if text == piece.text else Segment(text, piece.style)


def make_console() -> Console:
    """Return a console as wide as the terminal, or as COLUMNS says.

    Lines that go to a file or a pipe are not broken where COLUMNS says nothing.
    """
    console = _PlainConsole()
    if console.is_terminal or os.environ.get("COLUMNS", "").isdigit():
        return console
    return _PlainConsole(width=_UNBROKEN)


def echo(text: str) -> None:
    """Print lines as they are, never wrapped, in which no character acts."""
    typer.echo(plain_lines(text))


def print_warnings(texts: Iterable[str]) -> None:
    """Print what a user should know before anything runs, to the error stream."""
    console = _PlainConsole(stderr=True, soft_wrap=True)
    for text in texts:
        line = " ".join(f"warning: {sentence(text)}".split())
        console.print(line, style="yellow")


def print_note(text: str) -> None:
    """Print what nobody needs to mend to the error stream, on one line."""
    console = _PlainConsole(stderr=True, soft_wrap=True)
    console.print(" ".join(text.split()))


def print_error(text: str) -> None:
    """Print one sentence to the error stream."""
    console = _PlainConsole(stderr=True, soft_wrap=True)
    console.print(" ".join(f"error: {sentence(text)}".split()), style="red")


@contextmanager
def resumable() -> Iterator[None]:
    """Turn Ctrl-C into the command that continues, and exit code 1."""
    try:
        yield
    except KeyboardInterrupt:
        again = without_credentials(shlex.join(["mlffbench", *sys.argv[1:]]))
        typer.echo(plain(f"stopped; to continue, type: {again}"), err=True)
        raise typer.Exit(1) from None


def print_table(console: Console, table: "TextTable") -> None:
    """Print a table and its notes."""
    from mlffbench.report.tables.render import to_rich

    for place, part in enumerate(to_rich(table, console.width)):
        if place:
            console.print()
        console.print(part)
    print_notes(console, table.notes)


def print_matrix(console: Console, matrix: "Matrix") -> None:
    """Print a matrix of errors and its notes."""
    from mlffbench.report.tables.matrix_lines import matrix_lines

    for line in matrix_lines(matrix, console.width):
        console.print(line, soft_wrap=True)
    print_notes(console, matrix.notes)


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """Print the sentences below a table, and an empty line."""
    for note in notes:
        console.print(f"· {note}", markup=False, style="dim")
    console.print()
