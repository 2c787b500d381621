"""``plan``, ``run`` and ``score``: from a suite to a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlffbench.cli.console import RunProgress, make_console, print_error, resumable
from mlffbench.cli.options import (
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
    OutOption,
    OverwriteOption,
    SeedOption,
    SettingsOption,
    SuiteOption,
    TrustOption,
    Units,
    UnitsOption,
)
from mlffbench.cli.reporting import RUNS, leave_report
from mlffbench.core.errors import BenchError

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.run.campaign import Campaign
    from mlffbench.run.store import RunFolder


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
    from mlffbench.cli.resolving import mode_settings
    from mlffbench.run.campaign import Request, prepare

    request = Request(
        suite=suite,
        models=_names(model),
        modes=_names(mode),
        settings=mode_settings(settings),
        half=half.value,
        device=_device(device),
        dtype=None if dtype is Dtype.auto else dtype.value,
        seed=seed,
        limit=limit,
        batch_atoms=batch_atoms,
    )
    _print_plan(make_console(), prepare(request))


def run(
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
    out: OutOption = RUNS,
    overwrite: OverwriteOption = False,
    trust: TrustOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only plan.")] = False,
    diagnose: Annotated[
        bool,
        typer.Option(help="Also measure how far every split is from training."),
    ] = True,
    units: UnitsOption = Units.mev,
) -> None:
    """Run models on a suite, score them and print the table.

    Stopped or killed, the same command goes on where it was.
    """
    from mlffbench.cli.resolving import mode_settings
    from mlffbench.run.campaign import Request, prepare, run_campaign

    request = Request(
        suite=suite,
        models=_names(model),
        modes=_names(mode),
        settings=mode_settings(settings),
        half=half.value,
        device=_device(device),
        dtype=None if dtype is Dtype.auto else dtype.value,
        seed=seed,
        limit=limit,
        batch_atoms=batch_atoms,
        out=out,
        overwrite=overwrite,
        trust=trust,
        diagnose=diagnose,
    )
    console = make_console()
    campaign = prepare(request)
    if dry_run:
        _print_plan(console, campaign)
        return
    with resumable(), RunProgress(console) as progress:
        done = run_campaign(campaign, progress)
    for note in done.notes:
        console.print(f"left out: {note}", style="dim", markup=False)
    faults = [*done.faults, *_score_and_print(console, done.folders, units)]
    if done.folders:
        leave_report(console, out, done.folders)
    for fault in faults:
        print_error(fault)
    if faults:
        raise typer.Exit(1)


def score(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders; left out: all under runs/.")
    ] = None,
    units: UnitsOption = Units.mev,
) -> None:
    """Recompute the metrics from stored predictions; no model is needed."""
    from mlffbench.run.store import find_runs

    faults = _score_and_print(make_console(), find_runs(runs or [RUNS]), units)
    for fault in faults:
        print_error(fault)
    if faults:
        raise typer.Exit(1)


def _names(values: list[str] | None) -> tuple[str, ...]:
    from mlffbench.cli.resolving import split_commas

    names = tuple(split_commas(values))
    if values and not names:
        raise BenchError("an empty name was given for --model or --mode; leave it out")
    return names


def _device(device: Device) -> str:
    from mlffbench.cli.resolving import resolve_device

    return resolve_device(device)


def _print_plan(console: "Console", campaign: "Campaign") -> None:
    from rich.table import Table

    from mlffbench.run.plan import choose_rows

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


def _score_and_print(
    console: "Console", folders: "list[RunFolder]", units: Units
) -> list[str]:
    """Score runs and print their tables; return a sentence for each without a number."""
    from mlffbench.report.document import records_by_suite
    from mlffbench.report.render import to_rich
    from mlffbench.report.tables import energy_table, force_table, radius_table
    from mlffbench.run.score import score_run

    faults, scored = [], []
    for folder in folders:
        try:
            records, shifts = score_run(folder)
        except BenchError as error:
            faults.append(str(error))
            continue
        folder.write_records(records)
        folder.write_alignment(shifts)
        scored.append(folder)
        failed = [r for r in records if r.status == "failed"]
        for record in failed[:1]:
            reason = next(iter(record.counts.reasons), "no reason")
            who = f"{record.model} {record.mode}"
            faults.append(f"{who} has no number for split {record.split!r}: {reason}")
    for records in records_by_suite(scored).values():
        made_of = [force_table, energy_table]
        if any(record.radius for record in records):
            made_of.insert(1, radius_table)
        for table in made_of:
            made = table(records, units.value)
            console.print(to_rich(made))
            for note in made.notes:
                console.print(f"· {note}", markup=False, style="dim")
            console.print()
    return faults
