"""``plan``: every job and every resolved value; nothing runs."""

from typing import TYPE_CHECKING

from mlffbench.cli.shared.console import make_console
from mlffbench.cli.shared.options import (
    BatchAtomsOption,
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    Half,
    HalfOption,
    LimitOption,
    ModelsOption,
    ModesOption,
    SeedOption,
    SettingsOption,
    SuiteOption,
)

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.run.campaign import Campaign


def plan(
    *,
    suite: SuiteOption,
    model: ModelsOption = None,
    mode: ModesOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.auto,
    limit: LimitOption = None,
    half: HalfOption = Half.test,
    seed: SeedOption = 0,
    batch_atoms: BatchAtomsOption = None,
) -> None:
    """Print every job and every resolved value; nothing runs."""
    from mlffbench.cli.shared.resolving import mode_settings, names, resolve_device
    from mlffbench.run.campaign import Request, prepare

    request = Request(
        suite=suite,
        models=names(model),
        modes=names(mode),
        settings=mode_settings(settings),
        half=half.value,
        device=resolve_device(device),
        dtype=None if dtype is Dtype.auto else dtype.value,
        seed=seed,
        limit=limit,
        batch_atoms=batch_atoms,
    )
    console, campaign = make_console(), prepare(request)
    print_plan(console, campaign)
    print_remarks(console, campaign)


def print_remarks(console: "Console", campaign: "Campaign") -> None:
    """Print what the user should know of the data before anything is computed."""
    from mlffbench.core.split import remarks_on

    for remark in remarks_on(campaign.splits):
        console.print(f"careful: {remark}", style="yellow", markup=False)


def print_plan(console: "Console", campaign: "Campaign") -> None:
    """Print the splits, the jobs and the folders of a campaign."""
    from rich.table import Table

    from mlffbench.run.evaluate.evaluation_job import choose_rows

    suite = campaign.suite
    console.print(f"suite {suite.name} v{suite.version}: {suite.summary}", markup=False)
    splits = Table(title="splits", title_justify="left", box=None, pad_edge=False)
    for column in ("split", "role", "shift", "structures", "molecules", "rule"):
        splits.add_column(column, overflow="fold")
    for split in campaign.splits:
        rows = choose_rows(split, campaign.request.limit, campaign.request.seed)
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
