"""Measured: the force error of every tested structure of a run, from its stored files."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import StoreError
from mlffbench.report.run_inventory import ReadRun
from mlffbench.run.folder import read_arrays

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
N_BINS = 40
"""Bins of a parity plot on each side."""
_COLUMNS = ["id", "molecule", "split", "role", "n_atoms", "status", "reason"]


@dataclass(frozen=True, eq=False)
class Tested:
    """The structures that the runs of a board were tested on.

    Attributes:
        table: One row per structure: id, molecule, split, n_atoms.
        rows: Shape (n,), rows of ``predictions.parquet``.
        first: Shape (n,), first atom of each structure in the stored arrays.
        numbers: Atomic numbers of all stored atoms.
        forces: Shape (n_stored_atoms, 3), reference forces in eV/Å.
    """

    table: pd.DataFrame
    rows: Integers
    first: Integers
    numbers: Integers
    forces: Floats

    @cached_property
    def splits(self) -> dict[str, Integers]:
        """Split -> positions of its structures."""
        found = self.table.groupby("split", sort=False).indices
        return {str(name): np.asarray(rows) for name, rows in found.items()}

    @cached_property
    def elements(self) -> tuple[tuple[tuple[str, ...], ...], Integers]:
        """Distinct sets of elements, and the one of each structure."""
        atoms, owner = self.all_atoms()
        known, code = np.unique(self.numbers[atoms], return_inverse=True)
        present = np.zeros((len(self.table), len(known)), dtype=np.bool_)
        present[owner, code] = True
        sets, which = np.unique(present, axis=0, return_inverse=True)
        symbols = np.array([SYMBOLS[number] for number in known])
        names = tuple(tuple(symbols[row].tolist()) for row in sets)
        return names, np.asarray(which, dtype=np.int64).reshape(-1)

    def atoms_of(self, position: int) -> slice:
        """Return where the atoms of a structure lie in the stored arrays."""
        start = int(self.first[position])
        return slice(start, start + int(self.table["n_atoms"].iloc[position]))

    def all_atoms(self) -> tuple[Integers, Integers]:
        """Return the atoms of all structures, and the structure of each."""
        sizes = self.table["n_atoms"].to_numpy()
        owner = np.repeat(np.arange(len(sizes)), sizes)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return self.first[owner] + within, owner


@dataclass(frozen=True, slots=True, eq=False)
class Parity:
    """How often a predicted force component went with a reference one.

    Attributes:
        edges: Shape (N_BINS + 1,), in eV/Å; the outer bins hold everything beyond.
        counts: Shape (N_BINS, N_BINS): reference × predicted.
    """

    edges: Floats
    counts: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What a run got wrong.

    Attributes:
        tested: The structures.
        error: Shape (n,), force MAE of each in eV/Å; NaN where not evaluated.
        status: Shape (n,), ``ok``, ``skipped`` or ``failed``.
        reason: Shape (n,), why not.
        parity: Split -> its parity plot; none where nothing was evaluated.
    """

    tested: Tested
    error: Floats
    status: NDArray[np.object_]
    reason: NDArray[np.object_]
    parity: dict[str, Parity]


def measure(runs: tuple[ReadRun, ...]) -> Iterator[Measured]:
    """Yield what each run of a board got wrong; references are read once.

    Raises:
        StoreError: A file is missing or broken, or runs of one board hold different rows.
    """
    tested: Tested | None = None
    for run in runs:
        if run.manifest.get("published") == "records only":
            msg = f"{run.path} was published without its predictions, so it has no place "
            raise StoreError(msg + "on a board; its numbers are in --format md or csv")
        table = run.folder.read_table(columns=_COLUMNS)
        if tested is None:
            tested = _read_tested(run, table)
        yield _measure(run, table, tested)


def _read_tested(run: ReadRun, table: pd.DataFrame) -> Tested:
    sizes = table["n_atoms"].to_numpy()
    first = np.cumsum(sizes) - sizes
    rows = np.flatnonzero(table["role"].to_numpy() != "train")
    chosen = table.iloc[rows].reset_index(drop=True)
    folder = run.folder.path
    try:
        forces = read_arrays(folder / "reference.npz")["forces"]
        numbers = read_arrays(folder / "structures.npz")["numbers"]
    except KeyError as error:
        msg = f"an array {error} is missing in {folder}; repeat the run with --overwrite"
        raise StoreError(msg) from error
    if not len(forces) == len(numbers) == sizes.sum():
        msg = f"the files in {folder} do not belong together; repeat the run with "
        raise StoreError(msg + "--overwrite")
    kept = chosen[["id", "molecule", "split", "n_atoms"]]
    return Tested(kept, rows, first[rows], numbers, forces)


def _measure(run: ReadRun, table: pd.DataFrame, tested: Tested) -> Measured:
    folder = run.folder.path
    predicted = read_arrays(folder / "forces.npz").get("forces")
    rows = table.iloc[tested.rows] if len(table) > tested.rows.max(initial=-1) else table
    same = len(rows) == len(tested.table) and bool(
        (rows["id"].to_numpy() == tested.table["id"].to_numpy()).all()
    )
    if predicted is None or predicted.shape != tested.forces.shape or not same:
        msg = f"the files in {folder} do not belong together or hold other structures "
        raise StoreError(msg + "than its splits say; repeat the run with --overwrite")
    atoms, owner = tested.all_atoms()
    here, there = predicted[atoms].astype(np.float64), tested.forces[atoms]
    sums = np.bincount(
        owner, weights=np.abs(here - there).sum(axis=1), minlength=len(tested.table)
    )
    error = sums / (3 * tested.table["n_atoms"].to_numpy())
    good = np.isfinite(error)
    parity = {}
    for name, positions in tested.splits.items():
        wanted = np.zeros(len(error), dtype=np.bool_)
        wanted[positions] = True
        chosen = (wanted & good)[owner]
        if chosen.any():
            parity[name] = _parity(there[chosen].ravel(), here[chosen].ravel())
    return Measured(
        tested,
        np.where(good, error, np.nan),
        rows["status"].to_numpy(dtype=object),
        rows["reason"].to_numpy(dtype=object),
        parity,
    )


def _parity(reference: Floats, predicted: Floats) -> Parity:
    """Count pairs on bins that hold 99.8 % of the references."""
    reach = float(np.quantile(np.abs(reference), 0.998)) or 1.0
    edges = np.linspace(-reach, reach, N_BINS + 1)
    # by hand: evenly spaced bins need no search, and clipping keeps what lies beyond
    places = [
        np.clip(
            ((values + reach) * (N_BINS / (2 * reach))).astype(np.int64), 0, N_BINS - 1
        )
        for values in (reference, predicted)
    ]
    flat = np.bincount(places[0] * N_BINS + places[1], minlength=N_BINS * N_BINS)
    return Parity(edges, flat.reshape(N_BINS, N_BINS))
