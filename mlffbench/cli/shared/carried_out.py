"""Carrying out what a command was asked for, with a bar that shows how far it is."""

from typing import TYPE_CHECKING

from rich.console import Console

from mlffbench.cli.shared.console import print_warnings, resumable
from mlffbench.cli.shared.progress import ProgressBar, Unit

if TYPE_CHECKING:
    from mlffbench.run.loop import Done
    from mlffbench.run.request import AnyRequest


def carried_out(request: "AnyRequest", console: Console, counted: Unit) -> "Done":
    """Resolve a request, warn, run its jobs, and return what was done.

    Args:
        request: What was asked for.
        console: Where the progress is shown.
        counted: What the bar counts.
    """
    from mlffbench.run.loop import run_campaign
    from mlffbench.run.request import resolve

    with resumable(), ProgressBar(console, counted) as progress:
        campaign = resolve(request)
        print_warnings(campaign.warnings)
        return run_campaign(campaign, progress)
