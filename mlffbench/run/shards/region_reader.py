"""Geometries and labels of a run, read a region at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mlffbench.core.labels import Labels
from mlffbench.core.split import Rows, Source, Split
from mlffbench.core.structures import Structures
from mlffbench.run.shards.shard_plan import REGION_ATOMS, Region

ALL_CHECKED = 20_000
"""Structures of a run up to which every one is read before anything is computed."""
SAMPLE = 2_000
"""Structures of a split that are read before, where there are more."""


@dataclass(frozen=True, slots=True, eq=False)
class RegionReader:
    """Reads regions, and keeps the last ones as long as they are small together.

    Attributes:
        splits: The splits of a run.
        rows: Chosen rows of each.
        regions: Its regions.
    """

    splits: Sequence[Split]
    rows: Sequence[Rows]
    regions: Sequence[Region]
    _kept: dict[int, Structures] = field(default_factory=dict)
    _labels: dict[int, Labels] = field(default_factory=dict)

    def rows_of(self, number: int) -> Rows:
        """Return the rows of a region."""
        region = self.regions[number]
        return self.rows[region.split][region.start : region.stop]

    def structures(self, number: int) -> Structures:
        """Return the structures of a region, float64.

        Raises:
            DataError: One cannot be read.
        """
        found = self._kept.pop(number, None)
        if found is None:
            found = self._source(number).structures(self.rows_of(number))
        while (
            self._kept
            and found.n_atoms + sum(one.n_atoms for one in self._kept.values())
            > REGION_ATOMS
        ):
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._labels.pop(oldest, None)
        self._kept[number] = found
        return found

    def labels(self, number: int) -> Labels:
        """Return the reference labels of a region, kept as long as its structures.

        Raises:
            DataError: One cannot be read.
        """
        found = self._labels.get(number)
        if found is None:
            found = self._source(number).labels(self.rows_of(number))
        if number in self._kept:
            self._labels[number] = found
        return found

    def check(self) -> None:
        """Read geometries and labels, or a sample of many, so that faults are told first.

        Raises:
            DataError: A structure or a label cannot be read.
        """
        total = sum(len(rows) for rows in self.rows)
        if total <= ALL_CHECKED:
            for number in range(len(self.regions)):
                self.structures(number)
                self.labels(number)
            return
        for split, rows in zip(self.splits, self.rows, strict=True):
            places = np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(int)
            split.source.structures(rows[places])
            split.source.labels(rows[places])

    def _source(self, number: int) -> Source:
        return self.splits[self.regions[number].split].source
