"""``info``: everything known of one name. It imports no torch unless it opens data."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from mlffbench.cli.shared.catalogues import Kind, all_rows, download_state
from mlffbench.cli.shared.console import make_console
from mlffbench.core.errors import UnknownNameError


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
        rows = [("what it is", entry.summary)]
        if entry.package:
            rows.append(("added by", f"the package {entry.package}"))
        if entry.fault:
            rows.append(("use", "none before the package is mended"))
        if entry.extra:
            state = "not installed" if entry.missing() else "installed"
            package = entry.package.partition(" ")[0] or "mlffbench"
            rows.append(("needs", f"pip install '{package}[{entry.extra}]' ({state})"))
        rows += entry.card.rows() if entry.card else []
        if kind in {Kind.suites, Kind.datasets} and not entry.fault:
            rows += _split_rows(name, kind)
        if kind is Kind.downloads:
            rows += _disk_rows(name)
        for what, value in rows:
            table.add_row(what, Text(value))
        console.print(table)
        console.print()


def _disk_rows(name: str) -> list[tuple[str, str]]:
    """Return where the files of a download are and what they were verified by."""
    from mlffbench.datasets.download.local import data_files, data_folder, noted_files
    from mlffbench.datasets.download.lockfile import read_lock
    from mlffbench.datasets.download.table import target_of

    target = target_of(name)
    folder = data_folder() / target.key
    lock = read_lock(folder)
    if download_state(name) == "no":
        return [("on disk", f"no; type: mlffbench download {name}")]
    rows = [("on disk", f"{folder} ({download_state(name)})")]
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
    from mlffbench.datasets.registered import registered_splits
    from mlffbench.run.suite import load_splits, load_suite, needs

    lacking = [need for need in needs(name) if download_state(need) != "yes"]
    if lacking:
        return [("splits", f"not downloaded; type: mlffbench download {name}")]
    splits: tuple[Split, ...]
    splits = (
        load_splits(*load_suite(name)) if kind is Kind.suites else registered_splits(name)
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
