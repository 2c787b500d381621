"""Shift labels against rules applied by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlffbench.core.errors import DataError
from mlffbench.core.spectrum import SpectralReference
from mlffbench.core.structures import Structures
from mlffbench.datasets.shifts import (
    ShiftReference,
    mean_force_norm,
    percentile,
    shift_labels,
    shift_scores,
)


def chain(n_atoms: int, number: int = 6, step: float = 1.5) -> tuple[torch.Tensor, ...]:
    positions = torch.zeros((n_atoms, 3), dtype=torch.float64)
    positions[:, 0] = torch.arange(n_atoms) * step
    return positions, torch.full((n_atoms,), number)


def batch(
    *parts: tuple[torch.Tensor, ...], charge: list[int] | None = None
) -> Structures:
    return Structures.build(
        [positions for positions, _ in parts],
        [numbers for _, numbers in parts],
        ids=[f"s{i}" for i in range(len(parts))],
        charge=charge,
    )


TRAIN = batch(chain(4), chain(5), chain(6), chain(3, number=8), charge=[0, 0, 0, -1])


def labels_of(
    *parts: tuple[torch.Tensor, ...], charge: list[int] | None = None
) -> list[set[str]]:
    reference = ShiftReference.of(TRAIN, cutoff=2.0)
    found = shift_labels(batch(*parts, charge=charge), reference)
    return [set(kinds) for kinds in found]


def test_the_reference_is_what_training_holds() -> None:
    reference = ShiftReference.of(TRAIN, cutoff=2.0)
    assert reference.elements == {6, 8}
    assert reference.charges == {0, -1}
    assert reference.max_atoms == 6
    assert reference.n_structures == 4
    assert reference.force_norm_p99 is None
    assert reference.spectral == SpectralReference.of(TRAIN, 2.0)


def test_an_absent_element_is_a_shift_and_a_known_one_is_none() -> None:
    assert labels_of(chain(4, number=16), chain(4, number=8)) == [{"elements"}, set()]


def test_more_atoms_than_any_training_structure_is_a_shift() -> None:
    found = labels_of(chain(7), chain(6))
    assert "size" in found[0]
    assert found[1] == set()


def test_an_absent_charge_is_a_shift() -> None:
    assert labels_of(chain(4), chain(4), chain(4), charge=[0, -1, 1]) == [
        set(),
        set(),
        {"charge"},
    ]


def test_connectivity_is_the_distance_to_the_mean_spectrum() -> None:
    compact = chain(6, step=0.3)  # every atom sees every other
    reference = ShiftReference.of(batch(chain(6), chain(6)), cutoff=2.0)
    found = shift_labels(batch(compact, chain(6)), reference)
    assert found == [{"connectivity"}, set()]
    # a complete graph of n atoms: one 0, then n/(n − 1) throughout
    spectrum = np.array([0.0] + [6 / 5] * 5)
    by_hand = np.linalg.norm(spectrum - np.array(reference.spectral.mean))
    scores = shift_scores(batch(compact), reference)
    assert scores.spectral[0] == pytest.approx(by_hand, abs=1e-10)


def test_force_norm_is_the_mean_over_atoms_above_the_percentile() -> None:
    forces = torch.zeros((TRAIN.n_atoms, 3), dtype=torch.float64)
    forces[:, 1] = 2.0
    forces[0, 1] = 6.0  # the first structure: (6 + 2 + 2 + 2) / 4 = 3
    reference = ShiftReference.of(TRAIN, forces, cutoff=2.0)
    assert reference.force_norm_p99 == pytest.approx(np.percentile([3, 2, 2, 2], 99))
    tested = batch(chain(4), chain(4), chain(4))
    hot = torch.zeros((12, 3), dtype=torch.float64)
    hot[:4, 0], hot[4:8, 2], hot[8:, 0] = 3.01, -2.9, torch.nan
    assert shift_labels(tested, reference, hot) == [{"force_norm"}, set(), set()]
    assert shift_labels(tested, reference) == [set(), set(), set()]
    np.testing.assert_allclose(mean_force_norm(tested, hot), [3.01, 2.9, np.nan])


def test_a_structure_may_carry_several_labels() -> None:
    found = labels_of(chain(9, number=14, step=0.2), charge=[2])
    assert found == [{"elements", "connectivity", "size", "charge"}]


def test_training_forces_that_are_nan_are_left_out() -> None:
    forces = torch.ones((TRAIN.n_atoms, 3), dtype=torch.float64)
    forces[0] = torch.nan
    reference = ShiftReference.of(TRAIN, forces, cutoff=2.0)
    assert reference.force_norm_p99 == pytest.approx(3**0.5)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 9), min_size=1, max_size=30),
    step=st.floats(0.4, 2.5),
)
def test_hardly_a_training_structure_is_shifted(sizes: list[int], step: float) -> None:
    train = batch(*(chain(size, step=step) for size in sizes))
    forces = torch.randn(
        (train.n_atoms, 3), generator=torch.Generator().manual_seed(0)
    ).double()
    reference = ShiftReference.of(train, forces, cutoff=3.0)
    found = shift_labels(train, reference, forces)
    for kind in ("elements", "size", "charge"):
        assert not any(kind in kinds for kinds in found)
    for kind in ("force_norm", "connectivity"):
        assert sum(kind in kinds for kinds in found) <= max(1, 0.01 * len(sizes) + 1)
    # copies of a single geometry have nothing above their own percentile
    same = batch(*[chain(5, step=step)] * len(sizes))
    again = ShiftReference.of(same, cutoff=3.0)
    assert shift_labels(same, again) == [frozenset()] * len(sizes)


def test_a_cell_without_a_graph_costs_only_its_own_connectivity() -> None:
    one = torch.zeros((1, 3), dtype=torch.float64), torch.tensor([6])
    crystal = Structures.build(
        [one[0]],
        [one[1]],
        ids=["crystal"],
        cell=1.5 * torch.eye(3, dtype=torch.float64)[None],
        pbc=torch.ones(1, 3, dtype=torch.bool),
    )
    train = Structures.concatenate([TRAIN, crystal])
    reference = ShiftReference.of(train, cutoff=2.0)
    alone = ShiftReference.of(TRAIN, cutoff=2.0)
    assert reference.spectral == alone.spectral
    assert reference.spectral_p99 == alone.spectral_p99
    assert reference.n_structures == 5
    tested = Structures.concatenate([batch(chain(9)), crystal])
    scores = shift_scores(tested, reference)
    assert np.isnan(scores.spectral).tolist() == [False, True]
    assert list(scores.reasons) == [1]
    assert "'crystal' has its own images 1.5 Å away" in scores.reasons[1]
    assert scores.labels(reference)[1] == frozenset()
    assert "size" in scores.labels(reference)[0]
    assert scores.unknown(reference) == {"force_norm": 2, "connectivity": 1}
    with pytest.raises(DataError, match="no training structure has a radius graph"):
        ShiftReference.of(crystal, cutoff=2.0)


def test_the_percentile_of_nothing_is_none() -> None:
    assert percentile([]) is None
    assert percentile([float("nan")]) is None


def test_forces_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"expected \(18, 3\)"):
        ShiftReference.of(TRAIN, torch.zeros((3, 3)))


def test_an_empty_training_set_is_refused() -> None:
    with pytest.raises(DataError, match="no mean spectrum"):
        ShiftReference.of(TRAIN.select([]))


def test_no_structures_have_no_labels() -> None:
    reference = ShiftReference.of(TRAIN)
    assert shift_labels(TRAIN.select([]), reference) == []
