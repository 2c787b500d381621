"""``run``: models on a suite, scored and printed."""

from typing import TYPE_CHECKING, Annotated

import typer

from mlffbench.cli.plan import print_plan
from mlffbench.cli.report import RUNS, leave_report
from mlffbench.cli.score import score_and_print
from mlffbench.cli.shared.console import (
    RunProgress,
    make_console,
    print_error,
    print_warning,
    resumable,
)
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
    OutOption,
    OverwriteOption,
    SeedOption,
    SettingsOption,
    SuiteOption,
    TrustOption,
    Units,
    UnitsOption,
)

if TYPE_CHECKING:
    pass


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
    from mlffbench.cli.shared.resolving import mode_settings, names, resolve_device
    from mlffbench.run.campaign import Request, prepare, run_campaign
    from mlffbench.run.evaluate.data_check import check_data

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
        out=out,
        overwrite=overwrite,
        trust=trust,
        diagnose=diagnose,
    )
    console = make_console()
    campaign = prepare(request)
    if dry_run:
        print_plan(console, campaign)
        return
    suspicions = check_data(campaign.splits)
    for suspicion in suspicions:
        print_warning(suspicion)
    if any("look like" in suspicion for suspicion in suspicions):
        print_warning(
            "correct these files, or state energy_unit and length_unit of their splits "
            "in the suite; all numbers below are made with the labels as they are"
        )
    with resumable(), RunProgress(console) as progress:
        done = run_campaign(campaign, progress)
    for note in done.notes:
        console.print(f"left out: {note}", style="dim", markup=False)
    faults = [*done.faults, *score_and_print(console, done.folders, units)]
    if done.folders:
        leave_report(console, out, done.folders)
    for fault in faults:
        print_error(fault)
    if faults:
        raise typer.Exit(1)
