"""``list`` and ``info``: what there is. Neither imports torch."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from mlffbench.cli.console import make_console
from mlffbench.core.errors import DataError, UnknownNameError
from mlffbench.core.registry import Entry


class Kind(StrEnum):
    """What can be listed."""

    datasets = "datasets"
    downloads = "downloads"
    models = "models"
    priors = "priors"
    refiners = "refiners"
    metrics = "metrics"
    diagnostics = "diagnostics"
    suites = "suites"


def all_rows() -> dict[Kind, dict[str, Entry]]:
    """Return every catalogue."""
    from mlffbench.datasets.catalog import DATASETS
    from mlffbench.datasets.downloads import download_rows
    from mlffbench.diagnostics.catalog import DIAGNOSTICS
    from mlffbench.metrics.catalog import METRICS
    from mlffbench.models.catalog import MODELS
    from mlffbench.priors.catalog import PRIORS
    from mlffbench.refine.catalog import REFINERS
    from mlffbench.run.catalog import suite_rows

    return {
        Kind.suites: suite_rows(),
        Kind.datasets: DATASETS.rows(),
        Kind.downloads: download_rows(),
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
            cells = key, entry.summary, *_needs_and_state(key, entry)
            table.add_row(*map(Text, cells))
        console.print(table)
        console.print()


def _needs_and_state(key: str, entry: Entry) -> tuple[str, str]:
    """Return what a row needs, an extra or downloads, and whether that is here."""
    from mlffbench.core.card import DataCard
    from mlffbench.datasets.remote import Download

    if isinstance(entry.facts, Download):
        return entry.facts.size_in_words, _state(key)
    if isinstance(entry.facts, DataCard) and entry.facts.downloads:
        states = {_state(name) for name in entry.facts.downloads}
        needed = "download " + " ".join(entry.facts.downloads)
        return needed, states.pop() if len(states) == 1 else "partly"
    return entry.extra or "–", "no" if entry.missing() else "yes"


def _state(key: str) -> str:
    """Return whether a download is here; a damaged note is told, not fatal."""
    from mlffbench.datasets.local import state_of

    try:
        return state_of(key)
    except DataError:
        return "damaged"


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
        if kind is Kind.downloads:
            facts += _disk_rows(name)
        for fact, value in facts:
            table.add_row(fact, Text(value))
        console.print(table)
        console.print()


def _disk_rows(name: str) -> list[tuple[str, str]]:
    """Return where the files of a download are and what they were verified by."""
    from mlffbench.datasets.downloads import target_of
    from mlffbench.datasets.local import data_files, data_folder, noted_files
    from mlffbench.datasets.lockfile import read_lock

    target = target_of(name)
    folder = data_folder() / target.key
    lock = read_lock(folder)
    if _state(name) == "no":
        return [("on disk", f"no; type: mlffbench download {name}")]
    rows = [("on disk", f"{folder} ({_state(name)})")]
    for file in target.files or noted_files(folder):
        paths = data_files(file, target, folder, lock)
        if paths is not None:
            noted = lock.files[file.name]
            said = f"{noted.trusted}, from {noted.origin}, {noted.date}"
            rows += [(f"  {path.name}", f"{path}: {said}") for path in paths]
    return rows


def _split_rows(name: str, kind: Kind) -> list[tuple[str, str]]:
    """Return the splits of a suite or dataset with their sizes and rules."""
    from mlffbench.core.split import Split
    from mlffbench.datasets.catalog import DATASETS
    from mlffbench.run.needs import needs
    from mlffbench.run.suite import load_splits, load_suite

    lacking = [need for need in needs(name) if _state(need) != "yes"]
    if lacking:
        return [("splits", f"not downloaded; type: mlffbench download {name}")]
    splits: tuple[Split, ...]
    splits = (
        load_splits(*load_suite(name)) if kind is Kind.suites else DATASETS.load(name)()
    )
    return [
        (
            f"{split.name} ({split.role})",
            f"{len(split.rows)} structures of {len(set(split.groups))} molecules: "
            f"{split.rule}"
            + (f"; shift: {split.shift.rule}" if split.shift else "")
            + f" (sha256 {split.sha256[:12]})",
        )
        for split in splits
    ]
