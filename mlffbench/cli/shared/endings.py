"""How a command ends: where it wrote, what was left out, what failed."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from mlffbench.cli.shared.console import print_error

if TYPE_CHECKING:
    from mlffbench.run.folder import RunFolder


def tell_where(console: Console, folders: "Sequence[RunFolder]") -> None:
    """Print where the results of finished jobs are."""
    if not folders:
        return
    where = Path(os.path.commonpath([folder.path for folder in folders]))
    what = "" if len(folders) == 1 else f"{len(folders)} folders under "
    console.print(f"wrote {what}{where}", markup=False, soft_wrap=True)


def tell_left_out(console: Console, notes: Sequence[str]) -> None:
    """Print what was left out, and why."""
    for note in notes:
        console.print(f"left out: {note}", style="dim", markup=False)


def end(faults: Sequence[str]) -> None:
    """Print what failed; exit with 1 where something did.

    Raises:
        Exit: There are faults.
    """
    for fault in faults:
        print_error(fault)
    if faults:
        raise typer.Exit(1)
