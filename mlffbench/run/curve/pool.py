"""The pool of a curve: where its labels come from, and what it is tested on."""

from collections.abc import Sequence
from typing import TypeVar

from mlffbench.core.errors import BenchError, SuiteError
from mlffbench.core.roles import Named
from mlffbench.core.split import Split
from mlffbench.run.suite import Suite

OneSplit = TypeVar("OneSplit", bound=Named)


def check_sizes(sizes: Sequence[int]) -> None:
    """Check numbers of labels before any split is read.

    Raises:
        BenchError: There is none, or one is negative.
    """
    for size in sizes:
        if size < 0:
            msg = f"a curve cannot be drawn at {size} labels; give --sizes from 0 on"
            raise BenchError(msg)
    if not sizes:
        raise BenchError("give --sizes, e.g. 0,5,10")


def choose_halves(
    suite: Suite, splits: Sequence[OneSplit], names: Sequence[str]
) -> tuple[tuple[OneSplit, ...], tuple[OneSplit, ...]]:
    """Return the val halves that are labelled, and the test halves and their controls.

    Args:
        suite: The suite.
        splits: All its splits, or what is known of them before they are opened.
        names: OOD splits; empty means every one with both halves.

    Raises:
        SuiteError: A name is that of no such split.
    """
    val = {split.name: split for split in splits if split.role == "ood_val"}
    test = {split.name: split for split in splits if split.role == "ood_test"}
    both = [name for name in test if name in val]
    for name in names:
        if name not in both:
            msg = (
                f"the suite {suite.name!r} has no OOD split {name!r} with a val half to "
            )
            msg += (
                f"label and a test half to test on; it has: {', '.join(both) or 'none'}"
            )
            raise SuiteError(msg)
    chosen = list(names) or both
    if not chosen:
        msg = f"no OOD split of the suite {suite.name!r} has both a val half, to draw "
        raise SuiteError(msg + "labels from, and a test half, to test on")
    controls = [split for split in splits if split.role == "id_test"]
    wanted = {test[name].control for name in chosen} - {""}
    used = [split for split in controls if split.name in wanted] or controls[:1]
    tests = [test[name] for name in chosen]
    return tuple(val[name] for name in chosen), (*tests, *used)


def check_molecules(pool: Sequence[Split], tests: Sequence[Split]) -> None:
    """Check that no label of one split is of a molecule that another tests on.

    Args:
        pool: Splits that labels are drawn from.
        tests: OOD splits that errors are taken on; the ID controls may share.

    Raises:
        SuiteError: One is.
    """
    labelled = {group for split in pool for group in split.groups}
    for split in tests:
        shared = labelled & set(split.groups)
        if shared:
            msg = (
                f"{len(shared)} molecules of the test half of {split.name!r} are in a "
                f"val half that labels are drawn from, e.g. {min(shared)!r}; name splits "
            )
            raise SuiteError(msg + "that share none with --split")


def possible_sizes(
    sizes: Sequence[int], n_pool: int
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the sizes that the pool can serve, and a sentence for each other.

    Raises:
        BenchError: It serves none.
    """
    large = sorted({size for size in sizes if size > n_pool})
    kept = tuple(sorted({size for size in sizes if size <= n_pool}))
    faults = tuple(
        f"{size} labels are more than the {n_pool} of the pool; left out, the other "
        f"sizes stand; give at most {n_pool}, or more splits"
        for size in large
    )
    if not kept:
        raise BenchError(faults[0])
    return kept, faults
