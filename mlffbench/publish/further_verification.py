"""Verification of simulations and curves: their records again, from their numbers."""

from collections import Counter
from collections.abc import Sequence

from mlffbench.core.errors import BenchError, StoreError
from mlffbench.core.record import Record
from mlffbench.datasets.download.local import state_of
from mlffbench.publish.further_copy import score_again
from mlffbench.publish.same_numbers import count_numbers, difference_of
from mlffbench.run.catalog import suite_rows
from mlffbench.run.curve.curve_score import read_curve
from mlffbench.run.folder import CURVE, RunFolder
from mlffbench.run.simulate.simulation_score import read_trajectories
from mlffbench.run.suite import load_suite, needs
from mlffbench.run.suite_splits import load_splits


def check_numbers(
    folder: RunFolder, records: Sequence[Record], altered: str
) -> Counter[str]:
    """Compare records with what the numbers beside them give; return how many agree.

    Args:
        folder: Of a simulation or a curve in an export.
        records: Its records as told.
        altered: What happened to a number that is another one, in words.

    Raises:
        StoreError: They differ, or a curve tests other structures than its suite has.
    """
    told = [record.model_dump(mode="json") for record in records]
    again = [record.model_dump(mode="json") for record in score_again(folder)]
    different = difference_of(told, again)
    if different:
        msg = f"{folder.path / 'records.jsonl'} is not what the numbers beside it give, "
        raise StoreError(msg + f"so it was {altered}: {different}")
    n_numbers = sum(map(count_numbers, told))
    if folder.manifest_name != CURVE:
        _check_molecules(folder)
        return Counter(further=n_numbers)
    tested = _tests_are_those_of_the_data(folder)
    return Counter(further=n_numbers, tested=int(tested), untested=int(not tested))


def _check_molecules(folder: RunFolder) -> None:
    """Check that trajectories are those of the molecules that a simulation names.

    Raises:
        StoreError: They are not.
    """
    manifest, table = folder.read_manifest(), read_trajectories(folder)
    named = Counter(
        tuple(str(one[key]) for key in ("name", "molecule", "role", "shift"))
        for one in manifest["splits"]
    )
    columns = [
        table[key].astype(object).where(table[key].notna(), None).map(str)
        for key in ("split", "molecule", "role", "shift")
    ]
    moved = Counter(zip(*columns, strict=True))
    seeds = int(manifest["job"]["seeds"])
    if moved != {one: seeds * n for one, n in named.items()}:
        msg = f"{folder.path} holds trajectories of other molecules than its "
        raise StoreError(msg + "simulation names, so it was altered")


def _tests_are_those_of_the_data(folder: RunFolder) -> bool:
    """Return whether a curve's structures could be compared with their data, and agree.

    Raises:
        StoreError: They do not agree.
    """
    manifest, arrays = folder.read_manifest(), read_curve(folder)
    name = str(manifest["job"]["suite"])
    if name not in suite_rows() or any(state_of(key) != "yes" for key in needs(name)):
        return False
    try:
        suite, place = load_suite(name)
        splits = {(one.name, one.role): one for one in load_splits(suite, place)}
    except BenchError:
        return False  # its data cannot be read here, so that nothing is compared
    if suite.version != manifest["job"]["suite_version"]:
        return False
    for entry in manifest["splits"]:
        split = splits.get((entry["name"], entry["role"]))
        same = split is not None and split.sha256 == entry["sha256"]
        here = (arrays["split"] == entry["name"]) & (arrays["role"] == entry["role"])
        if same and split is not None and here.any():
            sizes = split.source.structures(split.rows).sizes.tolist()
            same = arrays["molecule"][here].tolist() == list(split.groups)
            same &= arrays["n_atoms"][here].tolist() == sizes
        if not same:
            msg = f"the structures of {entry['name']!r} in {folder.path} are not those "
            raise StoreError(msg + "of the data set, so they were altered")
    return True
