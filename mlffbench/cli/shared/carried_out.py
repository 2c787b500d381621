"""Carrying out what a command was asked for, with a bar that shows how far it is."""

from typing import TYPE_CHECKING

from rich.console import Console

from mlffbench.cli.shared.asked import Helped
from mlffbench.cli.shared.console import echo, print_warnings, resumable
from mlffbench.cli.shared.helpers import check_helped, helped_by, submit_campaign
from mlffbench.cli.shared.options import EngineKind
from mlffbench.cli.shared.progress import ProgressBar, Unit

if TYPE_CHECKING:
    from mlffbench.run.loop import Done
    from mlffbench.run.request import AnyRequest


def carried_out(
    request: "AnyRequest", console: Console, counted: Unit, helped: Helped
) -> "Done | None":
    """Resolve a request, warn, run its jobs, and return what was done.

    Args:
        request: What was asked for.
        console: Where the progress is shown.
        counted: What the bar counts.
        helped: Who computes.

    Returns:
        None where all of it is left to SLURM, as was printed.
    """
    check_helped(helped)
    from mlffbench.run.loop import run_campaign
    from mlffbench.run.request import resolve

    with resumable(), ProgressBar(console, counted) as progress:
        campaign = resolve(request)
        print_warnings(campaign.warnings)
        if helped.engine is not EngineKind.slurm:
            with helped_by(helped, campaign) as (led, ended):
                done = run_campaign(led, progress)
            print_warnings(ended)
            return done
    for sentence in submit_campaign(helped, campaign):
        echo(sentence)
    return None
