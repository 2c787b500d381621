"""Shard plan: the structures of a run as regions, read and written one after another.

A region is a stretch of consecutive structures of a split that fits into memory. Its
batches are those of `batch_positions`, so a split that fits into one region is computed
in the batches it always was. A shard is some consecutive batches of a region: what one
process computes at a time and stores as one file. The plan depends on the rows and on the
settings alone, never on who computes.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlffbench.core.split import Rows, Split
from mlffbench.refine.refiner import Unit
from mlffbench.run.shards.batching import codes_of, stretches

REGION_ATOMS = 250_000
"""Atoms of a region, unless a unit of the refinement is larger."""
N_SHARDS = 64
"""Shards that a run is cut into, unless they would exceed a region or be no batch."""


@dataclass(frozen=True, slots=True)
class Region:
    """Consecutive structures of a split.

    Attributes:
        split: Position of the split in the job.
        start: Of its first structure among the chosen rows of the split.
        stop: Behind its last one.
    """

    split: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Shard:
    """What one process computes at a time.

    Attributes:
        number: Its place in the plan.
        region: Number of its region.
        split: Position of its split in the job.
        batches: Per batch, the positions of its structures in the region.
        rows: The rows of the source at all these positions, in order.
        n_atoms: Atoms in all of them.
        source: Fingerprint of the run, checksum of the file and name of the split.
    """

    number: int
    region: int
    split: int
    batches: tuple[Rows, ...]
    rows: Rows
    n_atoms: int
    source: str

    @property
    def positions(self) -> Rows:
        """Positions in the region, in the order in which they are computed."""
        found: Rows = np.concatenate(self.batches)
        return found

    @cached_property
    def sha256(self) -> str:
        """Checksum of what it holds: the run, the file, the rows and their batches."""
        digest = hashlib.sha256(self.source.encode())
        digest.update(self.rows.astype("<i8").tobytes())
        sizes = np.array([len(batch) for batch in self.batches], dtype="<i8")
        digest.update(sizes.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False, slots=True)
class ShardPlan:
    """What a run computes.

    Attributes:
        regions: In the order of the results.
        shards: In the order of the regions.
    """

    regions: tuple[Region, ...]
    shards: tuple[Shard, ...]

    @property
    def n_structures(self) -> int:
        """Structures that are computed."""
        return sum(len(shard.rows) for shard in self.shards)

    def by_region(self) -> Iterator[list[Shard]]:
        """Yield the shards of each region."""
        place = 0
        for number in range(len(self.regions)):
            own = []
            while place < len(self.shards) and self.shards[place].region == number:
                own.append(self.shards[place])
                place += 1
            yield own


def regions_of(
    number: int, split: Split, rows: Rows, unit: Unit, atoms: int = REGION_ATOMS
) -> Iterator[Region]:
    """Yield the regions of a split; a unit of the refinement is never cut.

    Args:
        number: Position of the split in the job.
        split: The split.
        rows: Its chosen rows.
        unit: What must stay together.
        atoms: Atoms of a region at most, where that can be.
    """
    if len(rows) == 0:
        return
    index = split.source.index
    records = index.record[rows]
    bounds = np.concatenate([[0], _ends_of_units(split, records, unit)])
    sizes = np.add.reduceat(index.n_atoms[records], bounds[:-1])
    for first, last in stretches(sizes, atoms):
        yield Region(number, int(bounds[first]), int(bounds[last]))


def _ends_of_units(split: Split, records: Rows, unit: Unit) -> Rows:
    """Return behind which structures a split may be cut, ascending, its end the last."""
    n = len(records)
    if unit == "structure":
        return np.arange(1, n + 1)
    if unit == "split":
        return np.array([n])
    code = codes_of(split.source.index.groups, records)
    last = np.zeros(int(code.max(initial=0)) + 1, dtype=np.int64)
    last[code] = np.arange(n)  # the last assignment stays
    furthest = np.maximum.accumulate(last[code])
    found: Rows = np.flatnonzero(furthest == np.arange(n)) + 1
    return found


def shard_atoms(n_atoms: int, batch_atoms: int) -> int:
    """Return how many atoms a shard of a run of so many holds."""
    return int(np.clip(n_atoms // N_SHARDS, batch_atoms, max(REGION_ATOMS, batch_atoms)))


def shards_of(
    region: int,
    split: Split,
    where: Region,
    rows: Rows,
    batches: Sequence[Rows],
    *,
    most: int,
    first: int,
    run: str,
) -> Iterator[Shard]:
    """Yield the shards of a region.

    Args:
        region: Its number.
        split: Its split.
        where: The region.
        rows: Its rows.
        batches: Positions in it of each batch.
        most: Atoms of a shard at most; a larger batch is one of its own.
        first: Number of the first shard.
        run: Fingerprint of the run; a shard of another is never taken for one of it.
    """
    index = split.source.index
    atoms = [int(index.n_atoms[index.record[rows[batch]]].sum()) for batch in batches]
    for number, (start, stop) in enumerate(stretches(np.array(atoms), most), first):
        held = tuple(batches[start:stop])
        yield Shard(
            number=number,
            region=region,
            split=where.split,
            batches=held,
            rows=rows[np.concatenate(held)],
            n_atoms=sum(atoms[start:stop]),
            source=f"{run}/{split.source.sha256}/{split.name}/{split.role}/",
        )
