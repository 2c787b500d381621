"""The splits of a suite: opened, indexed and checked for leaks."""

from pathlib import Path

import numpy as np

from mlffbench.core.card import DataCard
from mlffbench.core.errors import DataError
from mlffbench.core.split import Shift, Split, check_splits
from mlffbench.datasets.catalog import DATASETS
from mlffbench.datasets.download.local import state_of
from mlffbench.datasets.files.open import open_source
from mlffbench.datasets.files.paths import require_file
from mlffbench.datasets.molecules.leaks import check_leaks
from mlffbench.datasets.registered import registered_splits
from mlffbench.run.suite import SplitSpec, Suite, check_controls, check_specs


def load_splits(suite: Suite, folder: Path) -> tuple[Split, ...]:
    """Return every split of a suite, checked for leaks.

    Args:
        suite: The suite.
        folder: What its file names are relative to.

    Raises:
        DataError: A file is missing or broken, or a split leaks.
        SuiteError: There is no training split or no ID control.
    """
    check_specs(suite)
    if suite.dataset is not None:
        splits: tuple[Split, ...] = _of_dataset(suite, suite.dataset)
    else:
        for spec in suite.splits:  # one that is missing is told before one is indexed
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


def _read(spec: SplitSpec, suite: Suite, folder: Path) -> Split:
    source = open_source(
        folder / spec.file,
        level_of_theory=spec.level_of_theory or suite.level_of_theory,
        energy_unit=spec.energy_unit,
        length_unit=spec.length_unit,
    )
    if source.index.n_structures == 0:
        msg = (
            f"{folder / spec.file} holds no structure; split {spec.name!r} would be empty"
        )
        raise DataError(msg)
    shift = None
    if spec.shift is not None:
        shift = Shift(spec.shift.kind, spec.shift.rule or spec.rule)
    return Split(
        name=spec.name,
        role=spec.role,
        source=source,
        rows=np.arange(source.index.n_structures),
        rule=spec.rule,
        shift=shift,
        shares_molecules=spec.shares_molecules,
        control=spec.control,
    )
