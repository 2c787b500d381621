"""Registered datasets: from a name of the catalogue to splits, whoever made them."""

import inspect
from collections.abc import Callable, Iterable
from contextlib import nullcontext

from mlffbench.core.errors import DataError, SuiteError
from mlffbench.core.plugins.user_file import told_in_one_sentence
from mlffbench.core.split import Split
from mlffbench.datasets.catalog import DATASETS
from mlffbench.datasets.molecules.leaks import check_leaks


def registered_splits(name: str, size: str | None = None) -> tuple[Split, ...]:
    """Return the splits of a dataset that has a name.

    The splits of another package's dataset are checked for leaks; ours are by our tests.

    Args:
        name: Its name in the catalogue.
        size: Structures per half of a dataset that comes in sizes; None for its default.

    Raises:
        UnknownNameError: No dataset has the name.
        SuiteError: It comes in one size, and one was named.
        DataError: What its package returns is no splits, or they leak.
        BenchError: It cannot be imported, or is not downloaded.
    """
    make: Callable[..., object] = DATASETS.load(name)
    options = {} if size is None else {"size": size}
    if options and "size" not in inspect.signature(make).parameters:
        msg = f"the dataset {name!r} comes in one size; remove 'size' from the suite"
        raise SuiteError(msg)
    outside = bool(DATASETS.entry(name).package)
    who = f"dataset {name!r}"
    with told_in_one_sentence(who, DataError) if outside else nullcontext():
        made = make(**options)
        items = list(made) if isinstance(made, Iterable) else [made]
    splits = tuple(one for one in items if isinstance(one, Split))
    if len(splits) != len(items) or not splits:
        msg = f"{who} returned {type(made).__name__}, expected a sequence of Split "
        raise DataError(msg + "(mlffbench.core.split)")
    if outside:
        check_leaks(splits)
    return splits
