"""``plan``: every job and every resolved value; nothing runs."""

from typing import TYPE_CHECKING

from mlffbench.cli.shared.asked import Asked, Kept, Share, checked_values, spread
from mlffbench.cli.shared.console import make_console, print_warnings
from mlffbench.cli.shared.options import TrustOption

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.run.evaluate.evaluation_job import Job
    from mlffbench.run.request import Campaign, Request


@spread
def plan(*, asked: Asked, share: Share, trust: TrustOption = False) -> None:
    """Print every job and every resolved value; nothing runs."""
    request = request_of(asked, share, Kept(trust=trust), diagnose=False)
    from mlffbench.run.request import resolve

    campaign = resolve(request)
    print_plan(make_console(), campaign)
    print_warnings(campaign.warnings)


def request_of(asked: Asked, share: Share, kept: Kept, *, diagnose: bool) -> "Request":
    """Return what was typed as a request; names and settings are checked.

    Raises:
        BenchError: One of them is unknown.
    """
    values = checked_values(asked, kept)  # before torch is imported
    from mlffbench.run.request import Request

    return Request(
        **values,
        half=share.half.value,
        limit=share.limit,
        batch_atoms=share.batch_atoms,
        diagnose=diagnose,
    )


def print_plan(console: "Console", campaign: "Campaign[Job]") -> None:
    """Print the splits, the jobs and the folders of a campaign."""
    from rich.table import Table

    from mlffbench.run.evaluate.evaluation_job import choose_rows

    suite, first = campaign.suite, campaign.jobs[0]
    console.print(f"suite {suite.name} v{suite.version}: {suite.summary}", markup=False)
    splits = Table(title="splits", title_justify="left", box=None, pad_edge=False)
    for column in ("split", "role", "shift", "structures", "molecules", "rule"):
        splits.add_column(column, overflow="fold")
    for split in campaign.splits:
        rows = choose_rows(split, first.limit, first.seed)
        groups = {split.source.index.groups[split.source.index.record[r]] for r in rows}
        kind = split.shift.kind if split.shift else "–"
        counts = str(len(rows)), str(len(groups))
        splits.add_row(split.name, split.role, kind, *counts, split.rule)
    console.print(splits)
    jobs = Table(title="jobs", title_justify="left", box=None, pad_edge=False)
    values = [job.as_dict() for job in campaign.jobs]
    for column in values[0]:
        jobs.add_column(column, overflow="fold")
    for row in values:
        jobs.add_row(*(str(value) for value in row.values()))
    console.print(jobs)
    for job in campaign.jobs:
        console.print(f"{campaign.folder(job).path}", markup=False, soft_wrap=True)
