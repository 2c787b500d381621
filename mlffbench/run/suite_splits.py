"""The splits of a suite: opened, indexed and checked for leaks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlffbench.core.card import DataCard
from mlffbench.core.errors import DataError, UnknownNameError
from mlffbench.core.files import require_file
from mlffbench.core.split import Rows, Shift, Source, Split, check_splits
from mlffbench.datasets.catalog import DATASETS
from mlffbench.datasets.download.local import state_of
from mlffbench.datasets.files.open import open_source
from mlffbench.datasets.index.selection import select_rows
from mlffbench.datasets.molecules.leaks import check_leaks
from mlffbench.datasets.registered import registered_splits
from mlffbench.run.catalog import suite_rows
from mlffbench.run.suite import (
    EVERYTHING,
    SplitSpec,
    Suite,
    check_controls,
    check_specs,
    load_suite,
)


def load_splits(suite: Suite, folder: Path) -> tuple[Split, ...]:
    """Return every split of a suite, checked for leaks.

    Args:
        suite: The suite.
        folder: What its file names are relative to.

    Raises:
        DataError: A file is missing or broken, or a split leaks.
        SuiteError: There is nothing to evaluate, or no control of a name.
    """
    check_specs(suite)
    if suite.dataset is not None:
        splits: tuple[Split, ...] = _of_dataset(suite, suite.dataset)
    else:
        for spec in suite.splits:  # one that is missing is told before one is indexed
            if spec.shipped is None:
                require_file(folder / spec.file)
        splits = tuple(_read(spec, suite, folder) for spec in suite.splits)
    check_controls(suite.name, splits)
    check_splits(splits)
    if suite.dataset is None:  # a registered dataset is checked where it is made
        check_leaks(splits)
    return splits


def _of_dataset(suite: Suite, dataset: str) -> tuple[Split, ...]:
    try:
        return registered_splits(dataset, suite.size)
    except DataError as error:
        card = DATASETS.entry(dataset).card
        downloads = card.downloads if isinstance(card, DataCard) else ()
        if len(downloads) < 2 or all(state_of(key) == "yes" for key in downloads):  # noqa: PLR2004
            raise
        msg = f"{error}; for all that {suite.name} needs: mlffbench download {dataset}"
        raise DataError(msg) from error


def splits_named(name: str) -> tuple[Split, ...] | None:
    """Return the splits of a dataset or shipped suite; None if the name is neither.

    Raises:
        BenchError: It cannot be imported, or is not downloaded.
    """
    if name in DATASETS.names():
        return registered_splits(name)
    if name in suite_rows():
        return load_splits(*load_suite(name))
    return None


def pick_split(
    splits: Sequence[Split],
    wanted: str,
    origin: str,
    halves: Sequence[str] = ("train", "test", "val"),
) -> Split:
    """Return one of some splits by its name.

    Args:
        splits: The splits.
        wanted: ``NAME``, or ``NAME/val`` and ``NAME/test`` for a half.
        origin: Whose they are, for messages.
        halves: Which half is meant where none is said, the first that is there.

    Raises:
        UnknownNameError: None is called so.
    """
    plain, _, half = wanted.partition("/")
    found = {f"{one.name}/{one.role.rpartition('_')[2]}": one for one in splits}
    for one in (half,) if half else halves:
        if f"{plain}/{one}" in found:
            return found[f"{plain}/{one}"]
    kind = f"split of {origin}"
    names = {one.removesuffix("/train") for one in found}
    raise UnknownNameError(kind, wanted, names | {split.name for split in splits})


def _read(spec: SplitSpec, suite: Suite, folder: Path) -> Split:
    source, rows, origin = _source_of(spec, suite, folder)
    if len(rows) == 0:
        msg = f"{origin} holds no structure; split {spec.name!r} would be empty"
        raise DataError(msg)
    rule = spec.rule
    if spec.select:
        rows = select_rows(source, rows, spec.select, origin)
        told = ", ".join(
            f"{name} = {_words(asked)}" for name, asked in spec.select.items()
        )
        rule = told if rule == EVERYTHING else rule
    elif spec.shipped and rule == EVERYTHING:
        rule = f"every structure of {spec.file}"
    shift = None
    if spec.shift is not None:
        shift = Shift(spec.shift.kind, spec.shift.rule or rule)
    return Split(
        name=spec.name,
        role=spec.role,
        source=source,
        rows=rows,
        rule=rule,
        shift=shift,
        shares_molecules=spec.shares_molecules,
        control=spec.control,
    )


def _source_of(spec: SplitSpec, suite: Suite, folder: Path) -> tuple[Source, Rows, str]:
    """Return the source of a split, its rows before any selection, and its name."""
    if spec.shipped:
        name, wanted = spec.shipped
        half = spec.role.rpartition("_")[2]
        halves = (half, "train", "test", "val")
        split = pick_split(splits_named(name) or (), wanted, name, halves)
        return split.source, split.rows, spec.file
    source = open_source(
        folder / spec.file,
        level_of_theory=spec.level_of_theory or suite.level_of_theory,
        energy_unit=spec.energy_unit,
        length_unit=spec.length_unit,
    )
    return source, np.arange(source.index.n_structures), str(folder / spec.file)


def _words(asked: object) -> str:
    options = asked if isinstance(asked, tuple) else (asked,)
    return " or ".join(str(option) for option in options)
