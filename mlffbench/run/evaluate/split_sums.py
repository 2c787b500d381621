"""Split sums: all that records need of a split, gathered a piece at a time."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import StoreError
from mlffbench.core.record import Counts
from mlffbench.metrics.alignment import ElementShifts
from mlffbench.metrics.molecules import Totals
from mlffbench.metrics.samples import Metric, Samples
from mlffbench.metrics.totals_spool import Piece, TotalsSpool
from mlffbench.run.evaluate.beside import ZERO
from mlffbench.run.evaluate.chosen_radii import RadiusTally
from mlffbench.run.evaluate.open_run import OpenRun, OpenSplit
from mlffbench.run.evaluate.pieces import (
    BY_MOLECULE,
    ONE_BY_ONE,
    Judged,
    MetricRow,
    gauge,
)
from mlffbench.run.evaluate.stored import StoredSplit

Rows = NDArray[np.int64]
PIECE_ATOMS = 250_000
"""Atoms that are held at once, unless a structure is larger."""


class Side(NamedTuple):
    """One side of a comparison.

    Attributes:
        run: A run.
        split: A split of it.
        shifts: The shifts that align its energies; None where there are none.
    """

    run: OpenRun
    split: OpenSplit
    shifts: ElementShifts | None

    @property
    def is_zero(self) -> bool:
        """Whether the model is the one that predicts nothing."""
        return bool(self.run.manifest["job"]["model"] == ZERO)


@dataclass(slots=True, eq=False)
class StatusTally:
    """How many structures were evaluated, and why others were not."""

    _status: dict[str, int] = field(default_factory=dict)
    _reasons: dict[str, int] = field(default_factory=dict)
    _missing: dict[str, int] = field(default_factory=dict)

    def see(self, split: StoredSplit) -> None:
        """Count the next piece."""
        status, is_ok = split.table["status"], split.is_ok
        bad = split.table[~is_ok]
        for counted, words in (
            (self._status, status),
            (self._reasons, bad["status"] + ": " + bad["reason"]),
        ):
            for word, count in words.value_counts(sort=False).items():
                counted[str(word)] = counted.get(str(word), 0) + int(count)
        reference = split.reference
        no_forces = np.zeros(len(is_ok), dtype=np.bool_)
        broken = ~torch.isfinite(reference.forces).all(dim=1)
        no_forces[split.structures.system[broken].numpy()] = True
        no_energy = ~torch.isfinite(reference.energy).numpy()
        for what, missing in (("forces", no_forces), ("energy", no_energy)):
            count = int((missing & is_ok).sum())
            self._missing[what] = self._missing.get(what, 0) + count

    @property
    def counts(self) -> Counts:
        """The counts, the most frequent reason first."""
        reasons = dict(sorted(self._reasons.items(), key=lambda item: -item[1]))
        for what, count in self._missing.items():
            if count:
                reasons[f"evaluated, but without reference {what}"] = count
        return Counts(
            total=sum(self._status.values()),
            evaluated=self._status.get("ok", 0),
            skipped=self._status.get("skipped", 0),
            failed=self._status.get("failed", 0),
            reasons=reasons,
        )


@dataclass(slots=True, eq=False)
class SplitSums:
    """What a split adds up to.

    Attributes:
        side: The run and the split.
        spool: Keeps the sums.
        radius: What radius refinement chose.
        status: How many structures were evaluated.
        unseen: Elements of evaluated structures that the shifts do not know.
        n_open: Evaluated structures whose shift is a guess.
    """

    side: Side
    spool: TotalsSpool
    radius: RadiusTally
    status: StatusTally = field(default_factory=StatusTally)
    unseen: set[int] = field(default_factory=set)
    n_open: int = 0
    _labels: dict[str, dict[str, None]] = field(default_factory=dict)

    @classmethod
    def gather(
        cls,
        side: Side,
        others: Mapping[str, Side],
        rows: Sequence[MetricRow],
        spool: TotalsSpool,
    ) -> "SplitSums":
        """Return what a split adds up to.

        Args:
            side: The run and the split.
            others: The same split in other runs, by what it is to this one.
            rows: The metrics.
            spool: Keeps the sums.

        Raises:
            StoreError: A file of a run is missing or broken, or the disk is full.
            BenchError: A metric of another package fails.
        """
        beside = others.get("baseline")
        found = cls(side, spool, RadiusTally.begin(side.run, beside and beside.run))
        _Walk(found, others, rows).carry_out()
        return found

    def labels(self, metric: str) -> list[str]:
        """Return the parts of a metric, elements by their number, others as met."""
        names = list(self._labels.get(metric, ()))
        return sorted(names, key=SYMBOLS.index) if set(names) <= set(SYMBOLS) else names

    def totals(self, metric: str, label: str = "") -> Totals:
        """Return what the molecules add to a part of a metric."""
        return self._of("own", metric, label)

    def pair(self, what: str, metric: str) -> tuple[Totals, Totals]:
        """Return what the molecules add to a metric here and where it is compared."""
        return self._of(what, metric, "this"), self._of(what, metric, "other")

    def see(self, split: StoredSplit) -> None:
        """Take what records tell of the next piece beside its metrics."""
        self.status.see(split)
        shifts, shown = self.side.shifts, split.structures
        if shifts is not None:
            numbers = shown.numbers.numpy()[split.is_ok[shown.system.numpy()]]
            self.unseen |= set(np.unique(numbers).tolist()) - set(shifts.elements)
            self.n_open += int((shifts.undetermined(shown) & split.is_ok).sum())

    def take(self, piece: Piece, column: tuple[str, ...], samples: Samples) -> None:
        """Take some samples of a piece."""
        what, metric, label = column
        if what == "own":
            self._labels.setdefault(metric, {})[label] = None
        self.spool.add((id(self), *column), samples, piece)

    def _of(self, *column: str) -> Totals:
        keys = self.side.split.molecules.keys
        return self.spool.totals((id(self), *column), keys)


class _Walk:
    """A split and what it is compared with, gone through side by side."""

    def __init__(
        self, sums: SplitSums, others: Mapping[str, Side], rows: Sequence[MetricRow]
    ) -> None:
        self._sums, self._names, self._rows = sums, list(others), rows
        self._sides = [sums.side, *others.values()]
        self._parted: list[tuple[list[Judged], Rows]] = []

    def carry_out(self) -> None:
        """See every piece."""
        own = self._sums.side.split
        cuts, (first, last) = list(own.cuts(PIECE_ATOMS)), own.spans
        streams = [one.run.pieces(one.split, cuts) for one in self._sides]
        for (start, stop), *parts in zip(cuts, *streams, strict=True):
            self._check_same(parts)
            beside = dict(zip(self._names, parts[1:], strict=True)).get("baseline")
            self._sums.see(parts[0])
            self._sums.radius.see(parts[0], beside)
            index = own.molecules.index[start:stop]
            self._see(parts, index, (first >= start) & (last < stop))
        if self._parted:
            held, places = zip(*self._parted, strict=True)
            joined = [Judged.joined(parts) for parts in zip(*held, strict=True)]
            self._gauge(BY_MOLECULE, joined, _piece(np.concatenate(places)))
        self._see_whole()

    def _check_same(self, parts: Sequence[StoredSplit]) -> None:
        """Check that what is compared is of the same structures, one by one.

        Raises:
            StoreError: It is not, though their ids have the same checksum.
        """
        own, *others = (part.structures for part in parts)
        for side, other in zip(self._sides[1:], others, strict=True):
            same = own.ids == other.ids and own.numbers.equal(other.numbers)
            if not same or not torch.allclose(
                own.positions.double(), other.positions.double()
            ):
                paths = [one.run.folder.path for one in (self._sides[0], side)]
                msg = f"{paths[0]} and {paths[1]} have structures of the same ids that "
                msg += "are not the same; repeat the older run with --overwrite"
                raise StoreError(msg)

    def _see(
        self, parts: Sequence[StoredSplit], index: Rows, is_whole: NDArray[np.bool_]
    ) -> None:
        judged = [
            Judged.of(part, side.shifts)
            for part, side in zip(parts, self._sides, strict=True)
        ]
        self._gauge(ONE_BY_ONE, judged, _piece(index, is_whole))
        whole = is_whole[index]
        if whole.all():
            self._gauge(BY_MOLECULE, judged, _piece(index))
            return
        chosen, rest = np.flatnonzero(whole), np.flatnonzero(~whole)
        if len(chosen):
            cut = [one.energies_of(chosen) for one in judged]
            self._gauge(BY_MOLECULE, cut, _piece(index[chosen]))
        self._parted.append(([one.energies_of(rest) for one in judged], index[rest]))

    def _see_whole(self) -> None:
        """Show the split as a whole to metrics of which nothing else is known."""
        known = ONE_BY_ONE | BY_MOLECULE
        others = {row.function for row in self._rows} - known
        if not others or not self._sums.side.split.n_structures:
            return
        judged = [
            Judged.of(side.run.whole(side.split), side.shifts) for side in self._sides
        ]
        self._gauge(others, judged, _piece(self._sums.side.split.molecules.index))

    def _gauge(
        self, which: Collection[Metric], judged: Sequence[Judged], piece: Piece
    ) -> None:
        gauge(
            [row for row in self._rows if row.function in which],
            judged[0],
            dict(zip(self._names, judged[1:], strict=True)),
            lambda column, samples: self._sums.take(piece, column, samples),
            is_zero=self._sums.side.is_zero,
        )


def _piece(index: Rows, is_whole: NDArray[np.bool_] | None = None) -> Piece:
    """Return the molecules of some structures; all are whole where nothing is said."""
    present, place = np.unique(index, return_inverse=True)
    whole = np.ones(len(present), np.bool_) if is_whole is None else is_whole[present]
    return Piece(present, place, whole)
