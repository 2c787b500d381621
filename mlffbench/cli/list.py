"""``list``: every name there is. It imports no torch."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from mlffbench.api.catalogues import Kind, all_rows, download_state, kind_named
from mlffbench.cli.shared.completion import complete_kind
from mlffbench.cli.shared.console import make_console
from mlffbench.core.registry import Entry


def list_rows(
    kind: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(Kind)}; left out: all of them.",
            autocompletion=complete_kind,
        ),
    ] = None,
) -> None:
    """List everything that has a name, one line each, with what it needs."""
    console = make_console()
    wanted = None if kind is None else kind_named(kind)
    for name, rows in all_rows().items():
        if wanted not in {None, name}:
            continue
        table = Table(title=name.value, title_justify="left", box=None, pad_edge=False)
        for column in ("name", "what it is", "needs", "installed"):
            table.add_column(column, overflow="fold")
        for key, entry in rows.items():
            cells = key, entry.summary, *_needs_and_state(key, entry)
            table.add_row(*map(Text, cells))
        console.print(table)
        console.print()


def _needs_and_state(key: str, entry: Entry) -> tuple[str, str]:
    """Return what a row needs, an extra or downloads, and whether that is here."""
    from mlffbench.core.card import DataCard
    from mlffbench.datasets.download.claims import Download

    if entry.fault:
        return f"package {entry.package}", "broken"
    if isinstance(entry.card, Download):
        return entry.card.size_in_words, download_state(key)
    if isinstance(entry.card, DataCard) and entry.card.downloads:
        states = {download_state(name) for name in entry.card.downloads}
        needed = "download " + " ".join(entry.card.downloads)
        return needed, states.pop() if len(states) == 1 else "partly"
    return entry.extra or "–", "no" if entry.missing() else "yes"
