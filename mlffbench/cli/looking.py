"""``list`` and ``info``: what there is. Neither imports torch."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from mlffbench.cli.console import make_console
from mlffbench.core.errors import UnknownNameError
from mlffbench.core.registry import Entry


class Kind(StrEnum):
    """What can be listed."""

    datasets = "datasets"
    models = "models"
    priors = "priors"
    refiners = "refiners"
    metrics = "metrics"
    diagnostics = "diagnostics"
    suites = "suites"


def all_rows() -> dict[Kind, dict[str, Entry]]:
    """Return every catalogue."""
    from mlffbench.datasets.catalog import DATASETS
    from mlffbench.diagnostics.catalog import DIAGNOSTICS
    from mlffbench.metrics.catalog import METRICS
    from mlffbench.models.catalog import MODELS
    from mlffbench.priors.catalog import PRIORS
    from mlffbench.refine.catalog import REFINERS
    from mlffbench.run.catalog import suite_rows

    return {
        Kind.suites: suite_rows(),
        Kind.datasets: DATASETS.rows(),
        Kind.models: MODELS.rows(),
        Kind.priors: PRIORS.rows(),
        Kind.refiners: REFINERS.rows(),
        Kind.metrics: METRICS.rows(),
        Kind.diagnostics: DIAGNOSTICS.rows(),
    }


def list_rows(
    kind: Annotated[Kind | None, typer.Argument(help="Left out: all of them.")] = None,
) -> None:
    """List everything that has a name, one line each, with what it needs."""
    console = make_console()
    for name, rows in all_rows().items():
        if kind not in {None, name}:
            continue
        table = Table(title=name.value, title_justify="left", box=None, pad_edge=False)
        for column in ("name", "what it is", "needs", "installed"):
            table.add_column(column, overflow="fold")
        for key, entry in rows.items():
            installed = "no" if entry.missing() else "yes"
            table.add_row(*map(Text, (key, entry.summary, entry.extra or "–", installed)))
        console.print(table)
        console.print()


def info(
    name: Annotated[str, typer.Argument(help="Any name that `mlffbench list` prints.")],
) -> None:
    """Tell everything known of one entry: source, licence, elements, citation, splits."""
    console = make_console()
    found = [(kind, rows[name]) for kind, rows in all_rows().items() if name in rows]
    if not found:
        known = [key for rows in all_rows().values() for key in rows]
        raise UnknownNameError("name", name, known)
    for kind, entry in found:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_row("name", Text(f"{name} ({kind.value})"), style="bold")
        facts = [("what it is", entry.summary)]
        if entry.extra:
            state = "not installed" if entry.missing() else "installed"
            facts.append(("needs", f"pip install 'mlffbench[{entry.extra}]' ({state})"))
        facts += entry.facts.rows() if entry.facts else []
        if kind in {Kind.suites, Kind.datasets}:
            facts += _split_rows(name, kind)
        for fact, value in facts:
            table.add_row(fact, Text(value))
        console.print(table)
        console.print()


def _split_rows(name: str, kind: Kind) -> list[tuple[str, str]]:
    """Return the splits of a suite or dataset with their sizes and rules."""
    from mlffbench.core.split import Split
    from mlffbench.datasets.catalog import DATASETS
    from mlffbench.run.suite import load_splits, load_suite

    splits: tuple[Split, ...]
    splits = (
        load_splits(*load_suite(name)) if kind is Kind.suites else DATASETS.load(name)()
    )
    return [
        (
            f"{split.name} ({split.role})",
            f"{len(split.rows)} structures of {len(set(split.groups))} molecules: "
            f"{split.rule} (sha256 {split.sha256[:12]})",
        )
        for split in splits
    ]
