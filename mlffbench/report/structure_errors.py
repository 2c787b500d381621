"""Measured: the force error of every tested structure of a run, from its stored files."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import StoreError
from mlffbench.report.run_inventory import ReadRun
from mlffbench.report.stored_atoms import opened, stretches_of

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
N_BINS = 40
"""Bins of a parity plot on each side."""
MOST_COMPONENTS = 3_000_000
"""Force components of a split from which the reach of its parity plot is found."""
_COLUMNS = ["id", "molecule", "split", "role", "n_atoms", "status", "reason"]


@dataclass(frozen=True, eq=False)
class Tested:
    """The structures that the runs of a board were tested on.

    Attributes:
        table: One row per structure: id, molecule, split, n_atoms.
        rows: Shape (n,), rows of ``predictions.parquet``.
        sizes: Shape (n_stored,), atoms of every stored structure, training's too.
        numbers: Atomic numbers of all stored atoms.
        reference: File of their reference forces.
    """

    table: pd.DataFrame
    rows: Integers
    sizes: Integers
    numbers: NDArray[np.int16]
    reference: Path

    @cached_property
    def splits(self) -> dict[str, Integers]:
        """Split -> positions of its structures."""
        found = self.table.groupby("split", sort=False).indices
        return {str(name): np.asarray(rows) for name, rows in found.items()}

    @cached_property
    def elements(self) -> tuple[tuple[tuple[str, ...], ...], Integers]:
        """Distinct sets of elements, and the one of each structure."""
        present = np.zeros((len(self.sizes), len(SYMBOLS)), dtype=np.bool_)
        for piece in stretches_of(self.sizes):
            numbers = self.numbers[piece.first : piece.last]
            present[piece.start + piece.owner, numbers] = True
        present = present[self.rows]
        known = np.flatnonzero(present.any(axis=0))
        sets, which = np.unique(present[:, known], axis=0, return_inverse=True)
        symbols = np.array([SYMBOLS[number] for number in known])
        names = tuple(tuple(symbols[row].tolist()) for row in sets)
        return names, np.asarray(which, dtype=np.int64).reshape(-1)

    def atoms_of(self, position: int) -> slice:
        """Return where the atoms of a structure lie in the stored arrays."""
        stop = int(self._ends[self.rows[position]])
        return slice(stop - int(self.table["n_atoms"].iloc[position]), stop)

    @cached_property
    def _ends(self) -> Integers:
        """Shape (n_stored,), behind the last atom of each."""
        ends: Integers = np.cumsum(self.sizes)
        return ends


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
    rows = np.flatnonzero(table["role"].to_numpy() != "train")
    chosen = table.iloc[rows].reset_index(drop=True)
    path = run.folder.path / "structures.npz"
    n_atoms = int(sizes.sum())
    numbers = np.empty(n_atoms, dtype=np.int16)
    with opened(path, ["numbers"], n_atoms) as arrays:
        for piece in stretches_of(sizes):
            held = arrays.read("numbers", piece.first, piece.last)
            numbers[piece.first : piece.last] = held
    kept = chosen[["id", "molecule", "split", "n_atoms"]]
    return Tested(kept, rows, sizes, numbers, run.folder.path / "reference.npz")


def _measure(run: ReadRun, table: pd.DataFrame, tested: Tested) -> Measured:
    folder = run.folder.path
    rows = table.iloc[tested.rows] if len(table) > tested.rows.max(initial=-1) else table
    same = len(rows) == len(tested.table) and bool(
        (rows["id"].to_numpy() == tested.table["id"].to_numpy()).all()
    )
    if not same:
        msg = f"the files in {folder} do not belong together or hold other structures "
        raise StoreError(msg + "than its splits say; repeat the run with --overwrite")
    error = np.full(len(tested.table), np.nan)
    largest = {name: _Reach.of(tested, places) for name, places in tested.splits.items()}
    for piece in _compared(folder / "forces.npz", tested):
        mean = np.bincount(
            piece.owner,
            weights=np.abs(piece.predicted - piece.reference).sum(axis=1),
            minlength=len(piece.places),
        ) / (3 * piece.sizes)
        error[piece.places] = np.where(np.isfinite(mean), mean, np.nan)
        for reach in largest.values():
            reach.take(piece, error)
    parity = {name: reach.edges() for name, reach in largest.items() if reach.held}
    counts = {name: np.zeros(N_BINS * N_BINS, dtype=np.int64) for name in parity}
    for piece in _compared(folder / "forces.npz", tested):
        good = np.isfinite(error[piece.places])
        for name, edges in parity.items():
            chosen = (largest[name].wanted[piece.places] & good)[piece.owner]
            counts[name] += _binned(piece, chosen, float(edges[-1]))
    return Measured(
        tested,
        error,
        rows["status"].to_numpy(dtype=object),
        rows["reason"].to_numpy(dtype=object),
        {
            name: Parity(edges, counts[name].reshape(N_BINS, N_BINS))
            for name, edges in parity.items()
        },
    )


class _Compared(NamedTuple):
    """Tested structures of a stretch, with both their forces.

    Attributes:
        places: Shape (n,), their places among the tested ones.
        sizes: Shape (n,), atoms of each.
        owner: Shape (n_atoms,): the structure of each atom, counted from 0.
        predicted: Shape (n_atoms, 3), in eV/Å.
        reference: Shape (n_atoms, 3), in eV/Å.
    """

    places: Integers
    sizes: Integers
    owner: Integers
    predicted: Floats
    reference: Floats


def _compared(path: Path, tested: Tested) -> Iterator[_Compared]:
    """Yield all tested structures with the forces in a file, some at a time.

    Raises:
        StoreError: A file is missing or broken, or of other structures.
    """
    place = np.full(len(tested.sizes), -1)
    place[tested.rows] = np.arange(len(tested.rows))
    n_atoms = len(tested.numbers)
    with (
        opened(path, ["forces"], n_atoms) as predicted,
        opened(tested.reference, ["forces"], n_atoms) as reference,
    ):
        for piece in stretches_of(tested.sizes):
            places = place[piece.start : piece.stop]
            there = places >= 0
            atoms = there[piece.owner]
            here, known = (
                one.read("forces", piece.first, piece.last)[atoms].astype(np.float64)
                for one in (predicted, reference)
            )
            if here.shape != known.shape:
                msg = f"forces in {path} have another shape than the references; repeat "
                raise StoreError(msg + "the run with --overwrite")
            yield _Compared(
                places[there],
                tested.sizes[piece.start : piece.stop][there],
                (np.cumsum(there) - 1)[piece.owner[atoms]],
                here,
                known,
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Reach:
    """How far the references of a split reach, from all, or from every nth structure.

    Attributes:
        wanted: Shape (n,), whether a structure is of the split.
        looked_at: Shape (n,), whether its forces are kept.
        held: Sizes of components that were kept.
    """

    wanted: NDArray[np.bool_]
    looked_at: NDArray[np.bool_]
    held: list[Floats] = field(default_factory=list)

    @classmethod
    def of(cls, tested: Tested, places: Integers) -> Self:
        """Return the reach of a split before anything was taken."""
        n_components = 3 * int(tested.table["n_atoms"].to_numpy()[places].sum())
        every = -(-n_components // MOST_COMPONENTS) or 1
        wanted, looked_at = (np.zeros(len(tested.table), dtype=np.bool_) for _ in "ab")
        wanted[places] = True
        looked_at[places[::every]] = True
        return cls(wanted, looked_at)

    def take(self, piece: _Compared, error: Floats) -> None:
        """Keep what is to be kept of a stretch."""
        good = self.looked_at[piece.places] & np.isfinite(error[piece.places])
        chosen = good[piece.owner]
        if chosen.any():
            self.held.append(np.abs(piece.reference[chosen]).ravel())

    def edges(self) -> Floats:
        """Return bins that hold 99.8 % of the references."""
        reach = float(np.quantile(np.concatenate(self.held), 0.998)) or 1.0
        return np.linspace(-reach, reach, N_BINS + 1)


def _binned(piece: _Compared, chosen: NDArray[np.bool_], reach: float) -> Integers:
    """Return how often each pair of bins occurs; the outer ones hold what is beyond."""
    # by hand: evenly spaced bins need no search, and clipping keeps what lies beyond
    places = [
        np.clip(
            ((values[chosen].ravel() + reach) * (N_BINS / (2 * reach))).astype(np.int64),
            0,
            N_BINS - 1,
        )
        for values in (piece.reference, piece.predicted)
    ]
    found: Integers = np.bincount(
        places[0] * N_BINS + places[1], minlength=N_BINS * N_BINS
    )
    return found
