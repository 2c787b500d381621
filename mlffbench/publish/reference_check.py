"""Reference check: are stored references and structures those of the data set?

Who exports could write references that fit the predictions. Where a suite ships and its
data are on this machine, they are read again and compared; nothing is downloaded.
"""

from collections.abc import Sequence

import numpy as np
import torch

from mlffbench.core.errors import BenchError, DataError, StoreError
from mlffbench.core.split import Split
from mlffbench.datasets.download.local import state_of
from mlffbench.run.catalog import suite_rows
from mlffbench.run.evaluate.evaluation_job import choose_rows, splits_of
from mlffbench.run.evaluate.stored import StoredRun, StoredSplit
from mlffbench.run.suite import load_suite, needs
from mlffbench.run.suite_splits import load_splits


def check_references(run: StoredRun) -> str:
    """Return why the references of a run cannot be compared; empty where they agree.

    Raises:
        StoreError: They are not those of the data set.
    """
    try:
        splits = _splits_here(run)
    except BenchError as error:
        return f"not compared with their data: {error}"
    for stored in run.splits:
        split = splits.get((stored.manifest["name"], stored.manifest["role"]))
        if split is None or split.source.sha256 != stored.manifest["source_sha256"]:
            return "not compared with their data: made with another version of them"
        if stored.manifest["control"] != split.control:
            msg = (
                f"the control of {split.name!r} in {run.folder.path} is not that of the "
            )
            raise StoreError(msg + "data set, so it was altered")
        _compare(run, stored, split, run.manifest["job"].get("limit"))
    check_all(run, tuple(splits.values()))
    return ""


def check_all(run: StoredRun, splits: Sequence[Split]) -> None:
    """Check that a run holds every split of its suite once.

    Raises:
        StoreError: One is missing, or there twice.
    """
    told = [(one.manifest["name"], one.manifest["role"]) for one in run.splits]
    wanted = splits_of(splits, run.manifest["job"]["half"])
    missing = sorted({(one.name, one.role) for one in wanted} - set(told))
    if missing or len(set(told)) != len(told):
        name = missing[0][0] if missing else max(told, key=told.count)[0]
        msg = f"{run.folder.path} holds the split {name!r} of its suite "
        msg += "not at all" if missing else "twice"
        raise StoreError(msg + ", so it was altered; ask for it or fetch it again")


def _splits_here(run: StoredRun) -> dict[tuple[str, str], Split]:
    """Return the splits of a run's suite by name and role, read from their data.

    Raises:
        BenchError: The suite does not ship, or its data are not here.
    """
    name = str(run.manifest["job"]["suite"])
    if name not in suite_rows():
        raise DataError("the suite does not ship with mlffbench")
    if any(state_of(key) != "yes" for key in needs(name)):
        raise DataError("they are not on this machine")
    suite, folder = load_suite(name)
    if suite.model_dump(mode="json") != run.manifest.get("suite"):
        raise DataError("another suite or version of that name")
    return {(one.name, one.role): one for one in load_splits(suite, folder)}


def _compare(
    run: StoredRun, stored: StoredSplit, split: Split, limit: int | None
) -> None:
    """Compare a split with its source.

    Raises:
        StoreError: They differ.
    """
    rows = choose_rows(split, limit, int(run.manifest["job"]["seed"]))
    faults: Sequence[tuple[str, bool]] = [("structures", True)]
    if split.source.index.ids(rows) == list(stored.structures.ids):
        labels, structures = split.source.labels(rows), split.source.structures(rows)
        faults = [
            ("positions", not _same(stored.structures.positions, structures.positions)),
            ("elements", not _same(stored.structures.numbers, structures.numbers)),
            ("molecules", stored.structures.group != structures.group),
            ("energies", not _same(stored.reference.energy, labels.energy)),
            ("forces", not _same(stored.reference.forces, labels.forces)),
        ]
    for what, wrong in faults:
        if wrong:
            msg = f"the reference {what} of {split.name!r} in {run.folder.path} are not "
            raise StoreError(msg + "those of the data set, so they were altered")


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Return whether two arrays are equal; what is missing is so in both."""
    return a.shape == b.shape and np.allclose(
        a.numpy(), b.numpy(), rtol=1e-6, atol=1e-9, equal_nan=True
    )
