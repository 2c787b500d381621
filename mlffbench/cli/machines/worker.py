"""``worker``: one more process for runs that are in progress."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mlffbench.cli.shared.console import make_console, print_error, resumable
from mlffbench.cli.shared.options import TrustOption
from mlffbench.cli.shared.progress import STEPS, STRUCTURES, TUNINGS, ProgressBar, Unit
from mlffbench.core.guards.collector import uncollected

_LOOK_S = 0.5
"""Seconds between two looks at whether a leader is there."""


def worker(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Run folders, e.g. runs/mini-ood/mini-mace/ttt."),
    ],
    *,
    trust: TrustOption = False,
    own: Annotated[
        bool,
        typer.Option("--own", help="The runs are yours: load the code files they name."),
    ] = False,
    led_by: Annotated[int | None, typer.Option("--led-by", hidden=True)] = None,
    tied: Annotated[bool, typer.Option("--tied", hidden=True)] = False,
    expects: Annotated[str | None, typer.Option("--expects", hidden=True)] = None,
) -> None:
    """Compute what is left of runs that somebody has started, together with them.

    Any number of workers, on any machine that sees the folder, gives the same bytes.
    """
    with uncollected():
        from mlffbench.run.elsewhere.crew_member import CrewMember

    if tied:
        threading.Thread(target=_end_with_input, daemon=True).start()
    console = make_console()
    paths = [path.absolute() for path in folders]
    with resumable(), ProgressBar(console, _counted(paths)) as progress:
        member = CrewMember(trust=trust, own=own, progress=progress)
        led = None if led_by is None else lambda: os.getppid() == led_by
        if expects is not None and led is not None:
            with _ending_unless(led):
                member.expect(*expects.split(" ", 2))
        n_faults = member.join_all(paths, is_led=led, tell=print_error)
    if n_faults:
        raise typer.Exit(1)


def _counted(paths: list[Path]) -> Unit:
    """Return what the bar counts: what the first folder is of."""
    from mlffbench.run.elsewhere.request_file import folder_at
    from mlffbench.run.folder import CURVE, SIMULATION

    units = {SIMULATION: STEPS, CURVE: TUNINGS}
    return units.get(folder_at(paths[0]).manifest_name, STRUCTURES)


@contextmanager
def _ending_unless(is_led: Callable[[], bool]) -> Iterator[None]:
    """End this process if its leader goes within a block in which it holds nothing."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_S):
            if not is_led():
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _end_with_input() -> None:
    """End this process, as a kill would, when whoever holds its input is gone."""
    from mlffbench.core.guards.children import await_end_of_input

    await_end_of_input()
    os._exit(1)
