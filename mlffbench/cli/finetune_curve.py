"""``finetune-curve``: how many labels a refinement saves."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from mlffbench.cli.shared.asked import Asked, Helped, Kept, checked_values, spread
from mlffbench.cli.shared.carried_out import carried_out
from mlffbench.cli.shared.console import (
    make_console,
    print_table,
)
from mlffbench.cli.shared.endings import end, tell_left_out, tell_where
from mlffbench.cli.shared.options import Units, option
from mlffbench.cli.shared.progress import TUNINGS
from mlffbench.core.errors import BenchError

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.run.folder import RunFolder

STARTS = ("baseline", "ttt")
"""Weights that curves start from unless others are named."""

_WHAT, _HOW = "What to run", "How to fine-tune"

StartsOption = Annotated[
    list[str] | None,
    option("--mode", "Weights to start from: baseline, ttt; left out: both.", _WHAT),
]
SizesOption = Annotated[
    str, option("--sizes", "Numbers of labels, separated by commas.", _WHAT)
]
OodOption = Annotated[
    list[str] | None,
    option(
        "--split",
        "OOD splits: labels from their val halves, errors on their test halves; "
        "left out: all that have both.",
        _WHAT,
    ),
]
DrawsOption = Annotated[int, option("--seeds", "Draws of labels.", _HOW, least=1)]
StepsOption = Annotated[int, option("--steps", "Optimiser steps at least.", _HOW)]
BatchOption = Annotated[int, option("--batch", "Structures per step.", _HOW)]
RateOption = Annotated[float, option("--lr", "Highest learning rate.", _HOW)]


class AdaptsTo(StrEnum):
    """Whose geometries test-time training sees."""

    pool = "pool"
    tests = "tests"
    both = "both"


AdaptsOption = Annotated[
    AdaptsTo,
    option(
        "--ttt-sees",
        "Geometries that ttt adapts to: of the pool of labels, of the OOD tests, "
        "or both; never a reference label.",
        _HOW,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCurve(Asked):
    """What is run, where modes are weights to start from."""

    mode: StartsOption = None


@spread
def finetune_curve(
    *,
    asked: AskedCurve,
    sizes: SizesOption = "0,5,10,25,50,100",
    split: OodOption = None,
    seeds: DrawsOption = 3,
    steps: StepsOption = 100,
    batch: BatchOption = 8,
    learning_rate: RateOption = 1e-3,
    ttt_sees: AdaptsOption = AdaptsTo.pool,
    kept: Kept,
    helped: Helped,
) -> None:
    """Fine-tune on N labelled OOD structures and print the error against N.

    Stopped or killed, the same command goes on where it was.
    """
    asked = replace(asked, mode=asked.mode or list(STARTS))
    values = checked_values(asked, kept)  # before torch is imported
    from mlffbench.cli.shared.resolving import names
    from mlffbench.run.request import CurveRequest
    from mlffbench.training.finetune import FineTuning

    request = CurveRequest(
        **values,
        splits=names(split),
        sizes=_numbers(sizes),
        n_seeds=seeds,
        tuning=FineTuning(steps=steps, batch=batch, learning_rate=learning_rate),
        adapts_to=ttt_sees.value,
    )
    console = make_console()
    done = carried_out(request, console, TUNINGS, helped)
    if done is None:
        return
    for folder in done.folders:
        _score_and_print(console, folder, kept.units)
    tell_left_out(console, done.notes)
    tell_where(console, done.folders)
    end(done.faults)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",") if word.strip())
    except ValueError:
        msg = f"--sizes {text!r} are no whole numbers; give e.g. 0,5,10,25"
        raise BenchError(msg) from None


def _score_and_print(console: "Console", folder: "RunFolder", units: Units) -> None:
    from mlffbench.report.tables.curve_tables import curve_table, saved_csv, saved_table
    from mlffbench.run.curve.curve_score import score_curve

    records, saved = score_curve(folder)
    folder.write_records(records)
    folder.write_scores({"labels_saved.csv": saved_csv(saved).encode()})
    tables = [curve_table(records, units.value)]
    if saved:
        tables.append(saved_table(saved, records[0].model))
    for table in tables:
        print_table(console, table)
