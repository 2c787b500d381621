import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlffbench.core.card import ModelCard, elements
from mlffbench.core.split import Index, Split
from mlffbench.refine.refiner import Unit
from mlffbench.run.evaluate.evaluation_job import choose_rows, why_skipped
from mlffbench.run.shards.batching import batch_positions


class Bare:
    """A source that only has an index."""

    level_of_theory = "none"
    sha256 = "0"

    def __init__(self, sizes: list[int], conformers: int) -> None:
        n = len(sizes)
        self.index = Index(
            keys=[f"m{i}" for i in range(n)],
            groups=[f"m{i}" for i in range(n)],
            smiles=[""] * n,
            subsets=[""] * n,
            elements=[elements("H C") if i % 2 else elements("H F") for i in range(n)],
            n_atoms=np.asarray(sizes, dtype=np.int64),
            charge=np.asarray([i % 3 for i in range(n)], dtype=np.int64),
            multiplicity=np.ones(n, dtype=np.int64),
            periodic=np.asarray([i == 0 for i in range(n)]),
            record=np.repeat(np.arange(n), conformers),
            conformer=np.tile(np.arange(conformers), n),
        )


def split_of(sizes: list[int], conformers: int = 3) -> Split:
    source = Bare(sizes, conformers)
    rows = np.arange(len(sizes) * conformers)
    return Split(name="id", role="id_test", source=source, rows=rows, rule="all")  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.sampled_from(["structure", "group", "split"]),
    st.integers(1, 200),
)
def test_batches_hold_every_row_once_and_whole_units(
    sizes: list[int], unit: Unit, batch_atoms: int
) -> None:
    split = split_of(sizes)
    index = split.source.index
    batches = [
        split.rows[batch]
        for batch in batch_positions(
            index, split.rows, unit=unit, batch_atoms=batch_atoms
        )
    ]
    rows = np.concatenate(batches)
    assert sorted(rows.tolist()) == split.rows.tolist()
    homes: dict[object, set[int]] = {}
    for number, batch in enumerate(batches):
        for row in batch:
            key = {"structure": row, "group": index.record[row], "split": 0}[unit]
            homes.setdefault(key, set()).add(number)
        n_units = len({index.record[row] for row in batch})
        n_atoms = int(index.n_atoms[index.record[batch]].sum())
        alone = len(batch) == 1 or (unit == "group" and n_units == 1)
        assert n_atoms <= batch_atoms or alone or unit == "split"
    assert all(len(numbers) == 1 for numbers in homes.values())


def test_no_rows_no_batches() -> None:
    split = split_of([3])
    index, none = split.source.index, split.rows[:0]
    assert list(batch_positions(index, none, unit="split", batch_atoms=9)) == []


def test_limit_spreads_over_molecules_and_only_adds() -> None:
    split = split_of([3] * 10)
    ten = choose_rows(split, 10, seed=0)
    assert {split.groups[row] for row in ten} == set(split.groups)
    fifteen = choose_rows(split, 15, seed=0)
    assert set(ten) < set(fifteen)
    assert choose_rows(split, 10, seed=1).tolist() != ten.tolist()
    assert choose_rows(split, None, seed=0).tolist() == split.rows.tolist()
    assert choose_rows(split, 999, seed=0).tolist() == split.rows.tolist()


@pytest.mark.parametrize(
    ("record", "card", "reason"),
    [
        (0, ModelCard(elements=elements("H C")), "element not supported: F"),
        (1, ModelCard(elements=elements("H C")), "charge not supported: +1"),
        (0, ModelCard(), "periodic cell not supported"),
        (0, ModelCard(periodic=True), None),
        (1, ModelCard(charges=None), None),
    ],
)
def test_why_skipped(record: int, card: ModelCard, reason: str | None) -> None:
    assert why_skipped(split_of([3, 4]).source.index, record, card) == reason
