"""``info``: everything known of one name. It imports no torch unless it opens data."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from mlffbench.api.catalogues import facts_of
from mlffbench.cli.shared.completion import complete_name
from mlffbench.cli.shared.console import make_console


def info(
    name: Annotated[
        str,
        typer.Argument(
            help="Any name that `mlffbench list` prints; one part of a download too, as "
            "in md17/aspirin.",
            autocompletion=complete_name,
        ),
    ],
) -> None:
    """Tell everything known of one entry: source, licence, elements, citation, splits."""
    console = make_console()
    for facts in facts_of(name):
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(overflow="fold")
        table.add_column(overflow="fold")
        table.add_row("name", Text(f"{name} ({facts.kind.value})"), style="bold")
        for what, value in facts.pairs:
            table.add_row(what, Text(value))
        console.print(table)
        console.print()
