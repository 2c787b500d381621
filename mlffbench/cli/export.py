"""``export``: finished runs as a folder that others verify and merge."""

from pathlib import Path
from typing import Annotated

import typer

from mlffbench.cli.shared.asked import RUNS
from mlffbench.cli.shared.console import make_console, print_note
from mlffbench.cli.shared.options import option


def export(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders; left out: all under runs/.")
    ] = None,
    out: Annotated[
        Path, option("--out", "Folder of the export; it must be new.", "Where results go")
    ] = Path("export"),
    licence: Annotated[
        str, option("--licence", "Under which others may use your numbers, e.g. CC0-1.0.")
    ] = "",
    records_only: Annotated[
        bool,
        option(
            "--records-only",
            "Leave out predictions, references and structures: smaller, but nobody can "
            "compute its numbers again.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        option("--overwrite", "Replace an export that is there.", "Where results go"),
    ] = False,
) -> None:
    """Write a small folder of results that others can verify and merge.

    Of simulations and fine-tuning curves it holds the numbers that scores come from. It
    tells no path, user or machine. Others check it with mlffbench score --verify DIR,
    and put several side by side with mlffbench report DIR DIR.
    """
    from mlffbench.publish.export_job import ExportRequest, export_runs
    from mlffbench.publish.readme import licence_lines, size_in_words, without_licence

    console = make_console()
    request = ExportRequest(
        runs=tuple(runs or [RUNS]),
        out=out,
        licence=licence,
        records_only=records_only,
        overwrite=overwrite,
    )
    done = export_runs(request)
    manifest = done.export.manifest
    for path in done.beside:
        print_note(f"note: {path} is taken along, since others are compared with it")
    for path in done.without_oracle:
        print_note(f"note: what the oracle says of {path} is left out: it lies beside it")
    for run in manifest.runs:
        console.print(f"{run.folder}  {size_in_words(run.bytes)}", markup=False)
    for line in licence_lines(manifest):
        console.print(line, markup=False, soft_wrap=True)
    if not licence:
        print_note("note: no licence is stated; give one with --licence, e.g. CC0-1.0")
    for name in without_licence(manifest):
        print_note(
            f"note: no licence of the data {name} is stated; where you may not pass its "
            "structures on, export with --records-only"
        )
    size = size_in_words(done.export.n_bytes)
    console.print(f"wrote {out}, {size}", markup=False, soft_wrap=True)
    print_note(f"check it: mlffbench score --verify {out}")
