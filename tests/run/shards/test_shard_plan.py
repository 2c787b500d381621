from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlffbench.core.card import elements
from mlffbench.core.split import Index, Split
from mlffbench.refine.refiner import Unit
from mlffbench.run.shards.batching import batch_positions
from mlffbench.run.shards.shard_plan import (
    N_SHARDS,
    REGION_ATOMS,
    Region,
    regions_of,
    shard_atoms,
    shards_of,
)


class Bare:
    """A source that only has an index."""

    level_of_theory = "none"
    sha256 = "0"

    def __init__(self, sizes: list[int], groups: list[str]) -> None:
        n = len(sizes)
        self.index = Index(
            keys=[f"m{i}" for i in range(n)],
            groups=groups,
            smiles=[""] * n,
            subsets=[""] * n,
            elements=[elements("H C")] * n,
            n_atoms=np.asarray(sizes, dtype=np.int64),
            charge=np.zeros(n, dtype=np.int64),
            multiplicity=np.ones(n, dtype=np.int64),
            periodic=np.zeros(n, dtype=np.bool_),
            record=np.arange(n),
            conformer=np.zeros(n, dtype=np.int64),
        )


def split_of(sizes: list[int], groups: list[str]) -> Split:
    source = Bare(sizes, groups)
    rows = np.arange(len(sizes))
    return Split(name="id", role="id_test", source=source, rows=rows, rule="all")  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=25),
    st.sampled_from(["structure", "group", "split"]),
    st.integers(1, 40),
)
def test_regions_follow_each_other_and_cut_no_unit(
    structures: list[tuple[int, int]], unit: Unit, atoms: int
) -> None:
    sizes = [size for size, _ in structures]
    groups = [f"g{group}" for _, group in structures]
    split = split_of(sizes, groups)
    regions = list(regions_of(0, split, split.rows, unit, atoms))
    ends = [region.stop for region in regions]
    assert [region.start for region in regions] == [0, *ends[:-1]]
    assert ends[-1] == len(sizes)
    homes: dict[str, set[int]] = {}
    for number, region in enumerate(regions):
        own = slice(region.start, region.stop)
        units = {"structure": own, "group": groups[own], "split": ["all"]}[unit]
        if unit == "structure":
            fits = sum(sizes[own]) <= atoms
            assert fits or region.stop - region.start == 1
            continue
        for name in units:  # type: ignore[union-attr]
            homes.setdefault(name, set()).add(number)
    assert all(len(numbers) == 1 for numbers in homes.values())


def test_shards_hold_whole_batches_once_and_know_their_content() -> None:
    split = split_of([3] * 40, [f"g{i}" for i in range(40)])
    batches = list(
        batch_positions(split.source.index, split.rows, unit="structure", batch_atoms=12)
    )
    where = Region(0, 0, 40)

    def cut(most: int, one: Split = split) -> list[str]:
        made = list(
            shards_of(0, one, where, one.rows, batches, most=most, first=5, run="")
        )
        assert [shard.number for shard in made] == list(range(5, 5 + len(made)))
        assert np.concatenate([shard.rows for shard in made]).tolist() == list(range(40))
        assert all(shard.n_atoms <= most for shard in made)
        return [shard.sha256 for shard in made]

    assert len(cut(12)) == 10
    assert len(cut(24)) == 5
    assert cut(12) == cut(12)
    assert len({*cut(12), *cut(24), *cut(12, replace(split, name="other"))}) == 25


@pytest.mark.parametrize(
    ("n_atoms", "expected"),
    [(100, 2000), (2000 * N_SHARDS * 3, 6000), (10**9, REGION_ATOMS)],
)
def test_small_runs_have_a_batch_per_shard_and_large_ones_a_region(
    n_atoms: int, expected: int
) -> None:
    assert shard_atoms(n_atoms, 2000) == expected
