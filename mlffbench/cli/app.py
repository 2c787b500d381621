"""The command line: what may be typed, and how mistakes are told."""

import os
import sys

import typer
from rich.console import Console

from mlffbench import __version__
from mlffbench.cli import (
    checking,
    curving,
    diagnosing,
    downloading,
    labelling,
    leakchecking,
    looking,
    reporting,
    running,
    simulating,
    training,
)
from mlffbench.cli.console import print_error
from mlffbench.core.errors import BenchError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="How machine-learning force fields hold up when the chemistry changes, and how "
    "far test-time refinement repairs them.\n\n"
    "Start with: [bold]mlffbench run --suite mini-ood[/bold]",
)


def _version(wanted: bool) -> None:
    if wanted:
        Console().print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    del version
    # One thread per process: more only spins on small molecules. Set before torch loads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


app.command("list")(looking.list_rows)
app.command()(looking.info)
app.command()(downloading.download)
app.command()(running.plan)
app.command()(running.run)
app.command()(running.score)
app.command()(reporting.report)
app.command()(diagnosing.diagnose)
app.command()(labelling.label)
app.command()(training.train)
app.command()(simulating.simulate)
app.command("finetune-curve")(curving.finetune_curve)
app.command()(leakchecking.leakcheck)
app.command()(checking.validate)
app.command()(checking.doctor)


def main() -> None:
    """Run the command line; a user's mistake is one sentence and exit code 1."""
    try:
        app()
    except BenchError as error:
        print_error(str(error))
        sys.exit(1)
