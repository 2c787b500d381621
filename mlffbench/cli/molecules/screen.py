"""``screen``: how far a model can be trusted on structures without labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mlffbench.cli.molecules.predict import ConformersOption, FileArgument
from mlffbench.cli.shared.completion import complete_prior, complete_suite
from mlffbench.cli.shared.console import (
    make_console,
    print_note,
    print_warnings,
    resumable,
)
from mlffbench.cli.shared.options import (
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    ModelsOption,
    OverwriteOption,
    SeedOption,
    TrustOption,
    option,
)
from mlffbench.cli.shared.progress import ProgressBar

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.screening.screening_job import Screening

MOST_PRINTED = 40
"""Structures that are printed, the most alarming first."""
WIDTH = 80


def screen(
    *,
    file: FileArgument,
    model: ModelsOption = None,
    suite: Annotated[
        str,
        option(
            "--suite -s",
            "Whose training and labelled val halves are compared with; left out: the "
            "suite that the model comes with.",
            "What to run",
            complete=complete_suite,
        ),
    ] = "",
    prior: Annotated[
        str, option("--prior", "A prior, by name.", complete=complete_prior)
    ] = "gfn2-xtb",
    conformers: ConformersOption = 1,
    scans: Annotated[
        bool,
        option(
            "--scans",
            "Also ask the model of moved structures (bonds stretched, atoms on top of "
            "each other): three more columns, 32 predictions per structure.",
        ),
    ] = False,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.auto,
    seed: SeedOption = 0,
    out: Annotated[
        Path, option("--out", "Folder of table, page and structures.", "Where results go")
    ] = Path("screened"),
    overwrite: OverwriteOption = False,
    trust: TrustOption = False,
) -> None:
    """Judge how far a model can be trusted on structures without labels.

    The expected force error has an interval that the suite's labelled val halves
    calibrate. Of several models the first is judged; their disagreement is an alarm.
    """
    from mlffbench.cli.shared.resolving import names, resolve_device, resolve_dtype
    from mlffbench.screening.screen_files import make_way, write_screen
    from mlffbench.screening.screening_job import EXCHANGEABLE, ScreenRequest
    from mlffbench.screening.screening_job import screen as judge_file

    console = make_console()
    request = ScreenRequest(
        path=file,
        models=names(model),
        suite=suite,
        prior=prior,
        device=resolve_device(device),
        dtype=resolve_dtype(dtype),
        seed=seed,
        conformers=conformers,
        scans=scans,
        trust=trust,
    )
    make_way(request, out, overwrite=overwrite)
    with resumable(), ProgressBar(console) as progress:
        found = judge_file(request, progress)
    print_warnings(found.remarks)
    if found.calibration is not None:
        print_note(f"note: {EXCHANGEABLE}")
    _print(console, found)
    written = write_screen(found, request, out)
    console.print(f"wrote {', '.join(map(str, written))}", markup=False, soft_wrap=True)
    if request.models and found.table["refine"].astype(str).str.startswith("yes").any():
        again = f"--model {request.models[0]} --mode ttt --out refined"
        print_note(f"repair what can be: mlffbench refine {file} {again}")


def _print(console: "Console", found: "Screening") -> None:
    """Print the most alarming structures, in 80 columns."""
    from rich.table import Table

    from mlffbench.screening.screen_page import (
        in_milli,
        interval_of,
        order_of,
        tally_of,
    )

    table = Table(box=None, pad_edge=False, width=min(WIDTH, console.width))
    for heading, ratio in (("structure", 3), ("verdict", 2)):
        table.add_column(heading, overflow="fold", ratio=ratio)
    errors = found.calibration is not None
    table.add_column("error meV/Å" if errors else "rank", justify="right", no_wrap=True)
    table.add_column("why", ratio=5)
    table.add_column("refine", no_wrap=True)
    order = order_of(found.table)
    for place in order[:MOST_PRINTED]:
        row = found.table.iloc[place]
        told = f"{row['rank']:.1f}"
        if errors:
            told = f"{in_milli(row['expected_error'])}\n{interval_of(row)}"
        outlook = str(row["refine"]).partition(":")[0].replace("not known", "?")
        table.add_row(row["id"], row["verdict"], told, row["why"] or "–", outlook)
    console.print(table)
    if len(order) > MOST_PRINTED:
        console.print(f"and {len(order) - MOST_PRINTED} more, in the files")
    usual = in_milli(found.facts["usual_error"])
    told = tally_of(found.table)
    if errors:
        told += f"; 95 % of familiar structures have at most {usual} meV/Å"
    console.print(told)
