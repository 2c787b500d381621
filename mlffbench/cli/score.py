"""``score``: the metrics again, from stored predictions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlffbench.cli.shared.asked import RUNS
from mlffbench.cli.shared.console import make_console, print_matrix, print_table
from mlffbench.cli.shared.endings import end
from mlffbench.cli.shared.options import Units, UnitsOption, WideOption
from mlffbench.core.errors import BenchError
from mlffbench.core.guards.plain import counted, plain

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.run.folder import RunFolder

MORE = "energies, cosine, radii, priors and times: mlffbench score --wide"
"""Where the numbers are that the matrix has no room for."""


def score(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders; left out: all under runs/.")
    ] = None,
    units: UnitsOption = Units.mev,
    wide: WideOption = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Check exports of others; nothing of them is changed."
        ),
    ] = False,
) -> None:
    """Recompute the metrics from stored predictions; no model is needed."""
    from mlffbench.publish.export_folder import refuse_exports
    from mlffbench.run.checksums import say_unverified
    from mlffbench.run.folder import find_runs

    console = make_console()
    if verify:
        _verify(console, runs or [])
        return
    refuse_exports(runs or [RUNS])
    folders = find_runs(runs or [RUNS])
    say_unverified(one.path for one in folders)
    end(score_and_print(console, folders, units, wide=wide))


def _verify(console: "Console", paths: list[Path]) -> None:
    """Verify exports and say what was and what was not.

    Raises:
        BenchError: None is named, or one is damaged or altered.
    """
    from mlffbench.publish.verification import verify_export

    if not paths:
        raise BenchError("--verify needs a folder; give that of an export")
    for path in paths:
        found = verify_export(path)
        for heading, lines in (("verified", found.verified), ("not", found.open)):
            for line in lines:
                told = plain(f"{heading}: {line}")
                console.print(told, markup=False, soft_wrap=True)
        n_runs = len(found.export.manifest.runs)
        told = f"{path}: {counted(n_runs, 'run')}, nothing was altered"
        console.print(told, markup=False, soft_wrap=True)


def score_and_print(
    console: "Console", folders: "list[RunFolder]", units: Units, *, wide: bool
) -> list[str]:
    """Score runs and print their tables; return a sentence for each without a number."""
    from mlffbench.api.benchmark import score_folders
    from mlffbench.report.document import records_by_suite
    from mlffbench.report.tables.error_matrix import error_matrix
    from mlffbench.report.tables.record_tables import (
        energy_table,
        force_table,
        radius_table,
    )

    scored, faults = score_folders(folders)
    for records in records_by_suite(scored).values():
        if not wide:
            print_matrix(console, error_matrix(records, units.value))
            continue
        made_of = [force_table, energy_table]
        if any(record.radius for record in records):
            made_of.insert(1, radius_table)
        for table in made_of:
            print_table(console, table(records, units.value))
    if scored and not wide:
        console.print(MORE, style="dim", markup=False)
    return faults
