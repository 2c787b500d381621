"""``plan``: every job and every resolved value; nothing runs."""

from typing import TYPE_CHECKING

from mlffbench.cli.shared.asked import Asked, Kept, Share, checked_values, spread
from mlffbench.cli.shared.console import make_console, print_warnings

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.run.evaluate.evaluation_job import Job
    from mlffbench.run.request import Campaign, Request


@spread
def plan(*, asked: Asked, share: Share) -> None:
    """Print every job and every resolved value; nothing runs."""
    request = request_of(asked, share, Kept(), diagnose=False)
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


def tell_trial(console: "Console", campaign: "Campaign[Job]") -> None:
    """Print what a trial cuts down, if it is one."""
    told = trial_in_words(campaign)
    if told:
        console.print(told, style="dim", markup=False)


def trial_in_words(campaign: "Campaign[Job]") -> str:
    """Return what ``--limit`` cuts down and where its runs go; empty for a whole run."""
    from mlffbench.run.evaluate.evaluation_job import rows_of_job

    job = campaign.jobs[0]
    if job.limit is None:
        return ""
    counts = [
        (len(rows_of_job(split, job)), len(split.rows))
        for split in campaign.splits
        if split.role == "train"
    ]
    used, there = (sum(pair[place] for pair in counts) for place in (0, 1))
    cut = f" ({used} of {there} of train, which energies are aligned on)"
    where = campaign.folder(job).path.parent.parent
    n = "1 structure" if job.limit == 1 else f"{job.limit} structures"
    return (
        f"a trial of {n} per split{cut if used < there else ''}: its "
        f"runs go to {where}, apart from whole ones"
    )


def print_plan(console: "Console", campaign: "Campaign[Job]") -> None:
    """Print the splits, the jobs and the folders of a campaign."""
    from rich.table import Table

    from mlffbench.run.evaluate.evaluation_job import rows_of_job

    suite, first = campaign.suite, campaign.jobs[0]
    tell_trial(console, campaign)
    console.print(f"suite {suite.name} v{suite.version}: {suite.summary}", markup=False)
    splits = Table(title="splits", title_justify="left", box=None, pad_edge=False)
    for column in ("split", "role", "shift", "structures", "molecules", "rule"):
        splits.add_column(column, overflow="fold")
    for split in campaign.splits:
        rows = rows_of_job(split, first)
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
