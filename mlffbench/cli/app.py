"""The command line: what may be typed, and how mistakes are told."""

import logging
import os
import sys

import typer
from rich.console import Console

from mlffbench import __version__
from mlffbench.cli.diagnose import diagnose
from mlffbench.cli.download import download
from mlffbench.cli.export import export
from mlffbench.cli.finetune_curve import finetune_curve
from mlffbench.cli.info import info
from mlffbench.cli.label import label
from mlffbench.cli.leakcheck import leakcheck
from mlffbench.cli.list import list_rows
from mlffbench.cli.machines.doctor import doctor
from mlffbench.cli.machines.env import env
from mlffbench.cli.machines.worker import worker
from mlffbench.cli.molecules.predict import predict
from mlffbench.cli.molecules.refine import refine
from mlffbench.cli.molecules.screen import screen
from mlffbench.cli.plan import plan
from mlffbench.cli.report import report
from mlffbench.cli.run import run
from mlffbench.cli.score import score
from mlffbench.cli.shared.console import print_error
from mlffbench.cli.shared.debugging import show_tracebacks
from mlffbench.cli.simulate import simulate
from mlffbench.cli.train import train
from mlffbench.cli.validate import validate
from mlffbench.core.errors import BenchError
from mlffbench.core.guards.allocator import keep_freed_memory
from mlffbench.core.guards.children import VARIABLE
from mlffbench.core.guards.output import guard_output, shortage
from mlffbench.core.guards.plain import sentence

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
    debug: bool = typer.Option(
        False,
        "--debug",
        help="Before the command: print the traceback behind every error.",
    ),
) -> None:
    del version
    if debug:
        show_tracebacks()
    # One thread per process: more only spins on small molecules. Set before torch loads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Tensors of the next batch take the memory of the last one's.
    keep_freed_memory()
    # No child of ours imports from the current folder, whoever starts it.
    os.environ[VARIABLE] = "1"


app.command("list")(list_rows)
app.command()(info)
app.command()(download)
app.command()(plan)
app.command()(run)
app.command()(worker)
app.command()(score)
app.command()(report)
app.command()(export)
app.command()(diagnose)
app.command()(screen)
app.command()(predict)
app.command()(refine)
app.command()(label)
app.command()(train)
app.command()(simulate)
app.command("finetune-curve")(finetune_curve)
app.command()(leakcheck)
app.command()(validate)
app.command()(doctor)
app.add_typer(env, name="env")


def main() -> None:
    """Run the command line; a user's mistake is one sentence and exit code 1."""
    guard_output()
    _tell_warnings()
    try:
        _run()
    except BenchError as error:
        logging.getLogger("mlffbench").debug("the whole of it:", exc_info=True)
        print_error(str(error))
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        told = shortage(error)
        if not told:
            raise
        print_error(told)
    else:
        return
    sys.exit(1)


def _run() -> None:
    """Run the command line, until all it prints is handed over."""
    try:
        app()
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()


class _Plain(logging.Formatter):
    """What a library warns of may quote a hostile name."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record on one line."""
        return sentence(super().format(record))


def _tell_warnings() -> None:
    """Let the warnings of all libraries go to the error stream, as plain text."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_Plain())
    logging.lastResort = handler
