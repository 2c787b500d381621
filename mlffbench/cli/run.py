"""``run``: models on a suite, scored and printed."""

from typing import Annotated

import typer

from mlffbench.cli.plan import print_plan, request_of, tell_trial
from mlffbench.cli.report import leave_report
from mlffbench.cli.score import score_and_print
from mlffbench.cli.shared.asked import Asked, Helped, Kept, Share, spread
from mlffbench.cli.shared.console import echo, make_console, print_warnings, resumable
from mlffbench.cli.shared.endings import end, tell_left_out, tell_where
from mlffbench.cli.shared.helpers import (
    check_helped,
    helped_by,
    slurm_script,
    submit_campaign,
)
from mlffbench.cli.shared.options import EngineKind, WideOption
from mlffbench.cli.shared.progress import ProgressBar
from mlffbench.core.guards.collector import uncollected

CORRECT = (
    "correct these files, or state energy_unit and length_unit of their splits in the "
    "suite; all numbers below are made with the labels as they are"
)
"""What to do about labels that look like other ones."""


@spread
def run(
    *,
    asked: Asked,
    share: Share,
    kept: Kept,
    helped: Helped,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="The same as mlffbench plan; with --engine slurm its script.",
        ),
    ] = False,
    diagnose: Annotated[
        bool,
        typer.Option(help="Also measure how far every split is from training."),
    ] = True,
    wide: WideOption = False,
) -> None:
    """Run models on a suite, score them and print the table.

    Stopped or killed, the same command goes on where it was.
    """
    check_helped(helped)
    request = request_of(asked, share, kept, diagnose=diagnose)
    with uncollected():
        from mlffbench.run.evaluate.data_check import check_data
        from mlffbench.run.loop import run_campaign
        from mlffbench.run.request import resolve

    console = make_console()
    campaign = resolve(request)
    print_warnings(campaign.warnings)
    if dry_run:
        if helped.engine is EngineKind.slurm:
            echo(slurm_script(helped, campaign))
        else:
            print_plan(console, campaign)
        return
    tell_trial(console, campaign)
    suspicions = check_data(campaign.splits)
    if any("look like" in suspicion for suspicion in suspicions):
        suspicions = (*suspicions, CORRECT)
    print_warnings(suspicions)
    if helped.engine is EngineKind.slurm:
        for sentence in submit_campaign(helped, campaign):
            echo(sentence)
        return
    with (
        resumable(),
        helped_by(helped, campaign) as (led, ended),
        ProgressBar(console) as progress,
    ):
        done = run_campaign(led, progress)
    print_warnings(ended)
    tell_left_out(console, done.notes)
    printed = score_and_print(console, done.folders, kept.units, wide=wide)
    faults = [*done.faults, *printed]
    tell_where(console, done.folders)
    if done.folders:
        leave_report(console, kept.out, done.folders)
    end(faults)
