from collections import Counter
from types import SimpleNamespace

import numpy as np

from mlffbench.core.split import Rows
from mlffbench.run.shards.region_reader import RegionReader
from mlffbench.run.shards.shard_plan import REGION_ATOMS, Region


class Counting:
    """A source of structures as large as a third of a region that counts its reads."""

    def __init__(self) -> None:
        self.reads = Counter[tuple[str, int]]()

    def structures(self, rows: Rows) -> SimpleNamespace:
        self.reads["structures", int(rows[0])] += 1
        return SimpleNamespace(n_atoms=len(rows) * REGION_ATOMS // 3)

    def labels(self, rows: Rows) -> tuple[int, ...]:
        self.reads["labels", int(rows[0])] += 1
        return tuple(rows)


def read_twice(n: int) -> Counter[tuple[str, int]]:
    source = Counting()
    regions = [Region(0, row, row + 1) for row in range(n)]
    reader = RegionReader([SimpleNamespace(source=source)], [np.arange(n)], regions)  # type: ignore[list-item]
    reader.check()
    for number in range(n):
        reader.structures(number)
        assert reader.labels(number) == (number,)
    assert len(reader._kept) == len(reader._labels) == min(n, 3)
    return source.reads


def test_what_is_small_together_is_read_once() -> None:
    assert set(read_twice(3).values()) == {1}


def test_of_more_only_the_last_regions_are_held() -> None:
    assert set(read_twice(5).values()) == {2}
