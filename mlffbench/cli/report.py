"""``report``: what stored runs say, as one file."""

import webbrowser
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlffbench.cli.shared.console import make_console, print_error, print_note
from mlffbench.cli.shared.options import Units, UnitsOption
from mlffbench.core.errors import BenchError

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.run.folder import RunFolder

RUNS = Path("runs")
PAGE = Path("report.html")
"""Name of the page, also of the one that ``run`` leaves beside its runs."""


class Format(StrEnum):
    """Formats of a report."""

    html = "html"
    md = "md"
    csv = "csv"
    json = "json"


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders; left out: all under runs/.")
    ] = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format", help="html and md for people, csv and json for programs."
        ),
    ] = Format.html,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="A file; left out: report.html, other formats printed."
        ),
    ] = None,
    open_it: Annotated[
        bool, typer.Option("--open", help="Show the file in the browser.")
    ] = False,
    units: UnitsOption = Units.mev,
) -> None:
    """Write what stored runs say, without loading any model."""
    from mlffbench.publish.export_folder import exports_among, open_export
    from mlffbench.report.document import compose, write_report

    folders = runs or [RUNS]
    for path in exports_among(folders):
        open_export(path)
    target = out or (PAGE if form is Format.html else None)
    if target is None:
        if open_it:
            raise BenchError("--open needs a file; give --out FILE or --format html")
        made = compose(folders, form.value, units.value)
        typer.echo(made.text, nl=False)
    else:
        made = write_report(folders, target, form.value, units.value)
        _tell(make_console(), target)
    for run in made.left_out:
        if run.is_unfinished:
            print_note(f"{run.path}: {run.reason}")
        else:
            print_error(f"left out {run.path}: {run.reason}")
    if target and open_it:
        webbrowser.open(target.resolve().as_uri())


def leave_report(console: "Console", out: Path, done: "Sequence[RunFolder]") -> None:
    """Write the report of all runs beside them; print what it says of some of them.

    A report that cannot be written is told of and makes no run fail.
    """
    from mlffbench.report.document import write_report

    try:
        made = write_report([out], out / PAGE)
    except BenchError as error:
        console.print(f"no report: {error}", style="dim", markup=False)
        return
    paths = {str(folder.path) for folder in done}
    for board in made.boards:
        if paths & {row.run for row in board.rows}:
            for sentence in board.sentences:
                console.print(sentence, markup=False, soft_wrap=True)
    _tell(console, out / PAGE)


def _tell(console: "Console", path: Path) -> None:
    console.print(f"wrote {path}", markup=False, soft_wrap=True)
