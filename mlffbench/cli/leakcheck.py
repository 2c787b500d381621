"""``leakcheck``: molecules and near-duplicate geometries that two sets share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mlffbench.cli.shared.completion import complete_dataset
from mlffbench.cli.shared.console import echo, make_console
from mlffbench.cli.shared.options import option
from mlffbench.core.errors import DataError, UnknownNameError
from mlffbench.core.guards.plain import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlffbench.core.split import Split
    from mlffbench.datasets.molecules.comparison import Comparison, Molecule, Part
    from mlffbench.datasets.molecules.leaks import Near

_WHAT = (
    "A file, a dataset, a suite, or a split of it, e.g. mini-ood:train or "
    "mini-ood:ood_dimers/val."
)


def leakcheck(
    train: Annotated[str, typer.Argument(help=_WHAT, autocompletion=complete_dataset)],
    test: Annotated[str, typer.Argument(help=_WHAT, autocompletion=complete_dataset)],
    *,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            min=0.0,
            help="Å: root mean square difference of the sorted interatomic distances up "
            "to which two geometries are near duplicates.",
        ),
    ] = 0.02,
    geometries: Annotated[
        bool,
        typer.Option(
            "--geometries/--no-geometries", help="Compare geometries, or molecules only."
        ),
    ] = True,
    as_json: Annotated[bool, option("--json", "Everything found, for programs.")] = False,
    show: Annotated[int, option("--show", "Rows of each table at most.", least=1)] = 10,
) -> None:
    """Tell which molecules and geometries two sets share; labels are not needed.

    Exit code 0 says that nothing is shared. It is 1 where a molecule or a nearly equal
    geometry is, and where molecules cannot be compared.
    """
    from mlffbench.core.guards.plain import json_text
    from mlffbench.datasets.molecules.comparison import compare, count_molecules
    from mlffbench.datasets.molecules.leaks import n_structures, near_duplicates

    first, second = parts_of(train), parts_of(test)
    comparison = compare(first, second)
    near = near_duplicates(first, second, tolerance) if geometries else []
    totals = {
        "train": (n_structures(first), count_molecules(first)),
        "test": (n_structures(second), count_molecules(second)),
    }
    if as_json:
        found = {
            "train": {"name": train, **_as_dict(totals["train"])},
            "test": {"name": test, **_as_dict(totals["test"])},
            "tolerance": tolerance,
            "answer": comparison.answer,
            "shared_molecules": [entry._asdict() for entry in comparison.shared],
            "not_comparable": [entry._asdict() for entry in comparison.unclear],
            "near_duplicates": [entry._asdict() for entry in near]
            if geometries
            else None,
        }
        typer.echo(json_text(found, indent=1))
        _leave(comparison, near)
    for title, target in (("train", train), ("test", test)):
        n, n_molecules = totals[title]
        counts = f"{counted(n, 'structure')} of {counted(n_molecules, 'molecule')}"
        echo(f"{title}: {target}, {counts}")
    _print_comparison(comparison, show)
    if geometries:
        _print_near(near, show, tolerance)
    _leave(comparison, near)


def _leave(comparison: "Comparison", near: "list[Near]") -> NoReturn:
    """End with exit code 0 where nothing is shared."""
    raise typer.Exit(int(comparison.answer != "not shared" or bool(near)))


def parts_of(target: str) -> "list[Part]":
    """Return the structures that a name or a path means; no label is read.

    The name of a split means both its halves, ``NAME/val`` and ``NAME/test`` one.

    Raises:
        DataError: A file cannot be read or holds nothing.
        UnknownNameError: There is no such split.
    """
    import numpy as np

    from mlffbench.datasets.files.open import open_source
    from mlffbench.datasets.molecules.comparison import Part
    from mlffbench.run.suite_splits import pick_split

    name, _, chosen = target.partition(":")
    splits = None if _is_data(target) else _splits(name)
    if splits is not None:
        if chosen not in {"", *(split.name for split in splits)}:
            splits = (pick_split(splits, chosen, name),)  # one half, or no such split
            chosen = ""
        return [
            Part(split.source, split.rows)
            for split in splits
            if chosen in {"", split.name}
        ]
    source = open_source(target, forces_required=False)
    if source.index.n_structures == 0:
        msg = f"{target} holds no structure"
        raise DataError(msg)
    return [Part(source, np.arange(source.index.n_structures))]


def _is_data(target: str) -> bool:
    """Return whether a path is a data file or describes one, and is no suite."""
    path = Path(target)
    if not path.is_file():
        return False
    from mlffbench.datasets.statements.yaml_file import read_yaml
    from mlffbench.run.suite import is_file

    if not is_file(target):
        return True
    try:
        content = read_yaml(path)
    except DataError:
        return False  # the reader of suites says what is wrong
    return isinstance(content, dict) and not {"splits", "dataset"} & content.keys()


def _splits(name: str) -> "tuple[Split, ...] | None":
    """Return the splits of a suite or dataset; None if the name is neither."""
    from mlffbench.datasets.catalog import DATASETS
    from mlffbench.run.catalog import suite_rows
    from mlffbench.run.suite import is_file, load_suite
    from mlffbench.run.suite_splits import load_splits, splits_named

    splits = load_splits(*load_suite(name)) if is_file(name) else splits_named(name)
    if splits is not None:
        return splits
    if not Path(name).suffix:
        raise UnknownNameError(
            "dataset, suite or file", name, {*DATASETS.names(), *suite_rows()}
        )
    return None


def _print_comparison(comparison: "Comparison", show: int) -> None:
    if comparison.shared:
        _print_molecules(
            comparison.shared,
            f"{counted(len(comparison.shared), 'molecule')} in both:",
            show,
        )
    if comparison.unclear:
        n = counted(len(comparison.unclear), "composition")
        title = (
            f"not comparable: {n} in both, and no SMILES or bonds to tell molecules by:"
        )
        _print_molecules(comparison.unclear, title, show)
    if comparison.answer == "not shared":
        echo("no molecule is in both")


def _print_molecules(shared: "Sequence[Molecule]", title: str, show: int) -> None:
    from rich.table import Table
    from rich.text import Text

    echo(title)
    table = Table(box=None)
    for column in ("molecule", "known by", "structures in train", "in test"):
        table.add_column(column, overflow="fold")
    for entry in shared[:show]:
        counts = f"{entry.in_first:,}", f"{entry.in_second:,}"
        table.add_row(Text(entry.name), entry.known_by, *counts)
    _print(table, len(shared), show)


def _print_near(near: "list[Near]", show: int, tolerance: float) -> None:
    from rich.table import Table
    from rich.text import Text

    criterion = f"sorted interatomic distances within {tolerance:g} Å (RMS)"
    if not near:
        echo(f"no geometry of test is a near duplicate of one in train: {criterion}")
        return
    found = counted(len(near), "near duplicate")
    echo(f"{found} of a train geometry in test, {criterion}:")
    table = Table(box=None)
    for column in ("in test", "in train", "distance, Å"):
        table.add_column(column, overflow="fold")
    for entry in near[:show]:
        table.add_row(Text(entry.second), Text(entry.first), f"{entry.distance:.4f}")
    _print(table, len(near), show)


def _print(table: object, n_rows: int, show: int) -> None:
    console = make_console()
    console.print(table)
    if n_rows > show:
        console.print(f"… and {n_rows - show:,} more; --show N or --json prints them")


def _as_dict(total: tuple[int, int]) -> dict[str, int]:
    return {"structures": total[0], "molecules": total[1]}
