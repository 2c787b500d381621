"""``finetune-curve``: how many labels a refinement saves."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlffbench.cli.shared.console import RunProgress, make_console, print_error, resumable
from mlffbench.cli.shared.options import (
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    ModelsOption,
    OutOption,
    OverwriteOption,
    SeedOption,
    SuiteOption,
    TrustOption,
    Units,
    UnitsOption,
)
from mlffbench.core.errors import BenchError

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.run.folder import RunFolder

RUNS = Path("runs")
_WHAT, _HOW = "What to run", "How to fine-tune"

StartsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mode",
        help="Weights to start from: baseline, ttt; left out: both.",
        rich_help_panel=_WHAT,
    ),
]
SizesOption = Annotated[
    str,
    typer.Option(
        "--sizes", help="Numbers of labels, separated by commas.", rich_help_panel=_WHAT
    ),
]
OodOption = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        help="OOD splits: labels from their val halves, errors on their test halves; "
        "left out: all that have both.",
        rich_help_panel=_WHAT,
    ),
]
DrawsOption = Annotated[
    int, typer.Option("--seeds", min=1, help="Draws of labels.", rich_help_panel=_HOW)
]
StepsOption = Annotated[
    int, typer.Option("--steps", help="Optimiser steps at least.", rich_help_panel=_HOW)
]
BatchOption = Annotated[
    int, typer.Option("--batch", help="Structures per step.", rich_help_panel=_HOW)
]
RateOption = Annotated[
    float, typer.Option("--lr", help="Highest learning rate.", rich_help_panel=_HOW)
]


class AdaptsTo(StrEnum):
    """Whose geometries test-time training sees."""

    pool = "pool"
    tests = "tests"
    both = "both"


AdaptsOption = Annotated[
    AdaptsTo,
    typer.Option(
        "--ttt-sees",
        help="Geometries that ttt adapts to: of the pool of labels, of the OOD tests, or "
        "both; never a reference label.",
        rich_help_panel=_HOW,
    ),
]


def finetune_curve(
    *,
    suite: SuiteOption,
    model: ModelsOption = None,
    mode: StartsOption = None,
    sizes: SizesOption = "0,5,10,25,50,100",
    split: OodOption = None,
    seeds: DrawsOption = 3,
    steps: StepsOption = 100,
    batch: BatchOption = 8,
    learning_rate: RateOption = 1e-3,
    ttt_sees: AdaptsOption = AdaptsTo.pool,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.auto,
    seed: SeedOption = 0,
    out: OutOption = RUNS,
    overwrite: OverwriteOption = False,
    trust: TrustOption = False,
    units: UnitsOption = Units.mev,
) -> None:
    """Fine-tune on N labelled OOD structures and print the error against N.

    Stopped or killed, the same command goes on where it was.
    """
    from mlffbench.cli.shared.resolving import resolve_device, split_commas
    from mlffbench.run.curve.curves import CurveRequest, prepare_curves, run_curves
    from mlffbench.training.finetune import FineTuning

    request = CurveRequest(
        suite=suite,
        models=tuple(split_commas(model)),
        modes=tuple(split_commas(mode)) or ("baseline", "ttt"),
        splits=tuple(split_commas(split)),
        sizes=_numbers(sizes),
        n_seeds=seeds,
        tuning=FineTuning(steps=steps, batch=batch, learning_rate=learning_rate),
        adapts_to=ttt_sees.value,
        device=resolve_device(device),
        dtype=None if dtype is Dtype.auto else dtype.value,
        seed=seed,
        out=out,
        overwrite=overwrite,
        trust=trust,
    )
    console = make_console()
    with resumable(), RunProgress(console, "fine-tunings") as progress:
        done = run_curves(prepare_curves(request), progress)
    for folder in done.folders:
        _score_and_print(console, folder, units)
    for fault in done.faults:
        print_error(fault)
    if done.faults:
        raise typer.Exit(1)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",") if word.strip())
    except ValueError:
        msg = f"--sizes {text!r} are no whole numbers; give e.g. 0,5,10,25"
        raise BenchError(msg) from None


def _score_and_print(console: "Console", folder: "RunFolder", units: Units) -> None:
    from mlffbench.core.files import write_atomic
    from mlffbench.report.tables.curve_tables import curve_table, saved_csv, saved_table
    from mlffbench.report.tables.render import to_rich
    from mlffbench.run.curve.curve_score import score_curve

    records, saved = score_curve(folder)
    folder.write_records(records)
    write_atomic(folder.path / "labels_saved.csv", saved_csv(saved).encode())
    tables = [curve_table(records, units.value)]
    if saved:
        tables.append(saved_table(saved, records[0].model))
    for table in tables:
        console.print(to_rich(table))
        for note in table.notes:
            console.print(f"· {note}", markup=False, style="dim")
        console.print()
