import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_batches import batch, no_forces

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError
from mlffbench.core.structures import Structures
from mlffbench.metrics.alignment import RIDGE, ElementShifts
from mlffbench.metrics.element_counts import composition

MIXED = batch(["C H H H H", "H H O", "C O O", "N N", "C H O N", "H H"])


def random_molecules(rng: np.random.Generator, elements: list[str], n: int) -> Structures:
    return batch(
        [" ".join(rng.choice(elements, size=rng.integers(2, 60))) for _ in range(n)]
    )


def energies(structures: Structures, shifts: dict[str, float]) -> torch.Tensor:
    elements, counts = composition(structures)
    column = [shifts[SYMBOLS[element]] for element in elements]
    return torch.from_numpy(counts @ np.array(column))


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_planted_shifts_are_recovered(scale):
    rng = np.random.default_rng(1)
    names = ["H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl"]
    planted = dict(zip(names, rng.uniform(-scale, scale, 10), strict=True))
    planted["Br"] = scale
    common = random_molecules(rng, names, 1999)
    rare = batch([" ".join(["C"] * 99 + ["Br"])])  # one atom of a hundred, once
    structures = Structures.concatenate([common, rare])
    reference = torch.from_numpy(rng.normal(size=2000) * 1e3)
    prediction = reference + energies(structures, planted)
    shifts = ElementShifts.fit(prediction, reference, structures)
    assert (shifts.rank, shifts.n_structures) == (11, 2000)
    assert not shifts.rank_deficient
    found = dict(zip(shifts.elements, shifts.energies, strict=True))
    for symbol, energy in planted.items():
        assert found[SYMBOLS.index(symbol)] == pytest.approx(energy, abs=1e-6)
    left = shifts.apply(no_forces(structures, prediction), structures).energy - reference
    assert float((left / structures.sizes).abs().max()) < 1e-9


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_fit_is_the_augmented_least_squares_solution(seed):
    rng = np.random.default_rng(seed)
    structures = random_molecules(rng, ["H", "C", "N", "O"], 30)
    error = rng.normal(size=30)
    shifts = ElementShifts.fit(torch.from_numpy(error), torch.zeros(30), structures)
    counts = composition(structures).counts
    sizes = counts.sum(axis=1)
    fractions = counts / sizes[:, None]
    ridge = np.sqrt(RIDGE * (fractions**2).sum()) * np.eye(4)
    oracle = np.linalg.lstsq(
        np.vstack([fractions, ridge]), np.append(error / sizes, np.zeros(4)), rcond=None
    )[0]
    np.testing.assert_allclose(shifts.energies, oracle, rtol=1e-9, atol=1e-10)


def test_per_atom_weights_not_totals():
    # CH and C₂₀H₂₀ disagree by the same total: the small one's disagreement weighs more
    structures = batch(["C H", " ".join(["C H"] * 20)])
    error = torch.tensor([2.0, 0.0], dtype=torch.float64)
    shifts = ElementShifts.fit(error, torch.zeros(2, dtype=torch.float64), structures)
    # both have fractions (½, ½): minimise (1 − m)² + (0 − m)² with m = (s_C + s_H) / 2
    assert sum(shifts.energies) / 2 == pytest.approx(0.5, abs=1e-12)


def test_a_single_composition_is_rank_one_and_its_shift_the_mean_error():
    structures = batch(["C H H H H"] * 3)
    error = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)
    shifts = ElementShifts.fit(error, torch.zeros(3), structures)
    assert shifts.rank == 1
    assert shifts.rank_deficient
    # smallest shifts with 4 s_H + s_C = 3
    np.testing.assert_allclose(shifts.energies, [12 / 17, 3 / 17], rtol=1e-14)
    left = shifts.apply(no_forces(structures, error), structures).energy
    np.testing.assert_allclose(left, [-2, -1, 3], rtol=1e-13)


def test_what_the_compositions_leave_open_is_known():
    shifts = ElementShifts.fit(
        torch.ones(2), torch.zeros(2), batch(["C H H H H", "C H H H H O"])
    )
    assert shifts.rank == 2
    assert len(shifts.null_space) == 1
    others = batch(["C C H H H H H H H H O O O", "C H", "O", "H N"])
    assert shifts.undetermined(others).tolist() == [False, True, False, False]
    full = ElementShifts.fit(torch.ones(6), torch.zeros(6), MIXED)
    assert not full.undetermined(MIXED).any()


def test_fewer_structures_than_elements():
    shifts = ElementShifts.fit(torch.ones(1), torch.zeros(1), batch(["C H O N"]))
    assert (shifts.rank, len(shifts.null_space)) == (1, 3)
    np.testing.assert_allclose(shifts.energies, [0.25] * 4, rtol=1e-14)


def test_unseen_elements_are_named_and_get_no_energy():
    shifts = ElementShifts.fit(torch.ones(2), torch.zeros(2), batch(["H H O", "H H"]))
    others = batch(["H H O", "S H H", "Br H", "O O"])
    assert shifts.unseen(others) == ("S", "Br")
    given_labels = no_forces(others, [1.0, 2.0, 3.0, 4.0])
    aligned = shifts.apply(given_labels, others)
    assert aligned.energy.isnan().tolist() == [False, True, True, False]
    assert aligned.energy.dtype == torch.float64
    assert aligned.source == "test, E0-aligned"
    assert aligned.forces is given_labels.forces


def test_structures_without_both_energies_take_no_part():
    prediction = torch.tensor([4.0, torch.nan, 2.0, torch.inf], dtype=torch.float64)
    reference = torch.tensor([0.0, 0.0, torch.nan, 0.0], dtype=torch.float64)
    shifts = ElementShifts.fit(prediction, reference, batch(["H H", "O", "N", "S"]))
    assert shifts.elements == (1,)
    assert shifts.energies == (pytest.approx(2.0, rel=1e-15),)
    assert shifts.n_structures == 1
    with pytest.raises(DataError, match="none of 1 structures has both"):
        ElementShifts.fit(prediction[1:2], reference[1:2], batch(["O"]))


def test_lone_atoms_take_no_part():
    molecules = ["C H H H H", "H H O", "C O O", "C H O H"]
    error = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    alone = torch.tensor([90.0, -70.0, 50.0, 30.0], dtype=torch.float64)
    without = ElementShifts.fit(error, torch.zeros(4), batch(molecules))
    beside = ElementShifts.fit(
        torch.cat([alone, error]), torch.zeros(8), batch(["H", "C", "O", "S", *molecules])
    )
    assert beside == without
    with pytest.raises(DataError, match=r"none of 2 structures has both .* two atoms"):
        ElementShifts.fit(alone[:2], torch.zeros(2), batch(["H", "C"]))


def test_json_round_trip_is_exact():
    shifts = ElementShifts.fit(
        torch.rand(2, generator=torch.Generator().manual_seed(1)).double(),
        torch.zeros(2),
        batch(["C H H H H", "C H H O"]),
    )
    assert ElementShifts.from_json(json.loads(json.dumps(shifts.to_json()))) == shifts


@pytest.mark.parametrize(
    "change",
    [
        {"elements": ["H", "Q"]},
        {"elements": ["H"]},
        {"energies_ev": [1.0, float("nan")]},
        {"energies_ev": None},
        {"rank": "two"},
        {"null_space": [[1.0]]},
    ],
)
def test_a_damaged_file_is_refused(change):
    stored = ElementShifts.fit(torch.ones(1), torch.zeros(1), batch(["C H"])).to_json()
    with pytest.raises(DataError, match=r"stored"):
        ElementShifts.from_json(stored | change)
    del stored["rank"]
    with pytest.raises(DataError, match="KeyError"):
        ElementShifts.from_json(stored)


def test_wrong_lengths_are_refused():
    shifts = ElementShifts.fit(torch.ones(6), torch.zeros(6), MIXED)
    with pytest.raises(DataError, match="2 energies of 'test' for 1 structures"):
        shifts.apply(no_forces(batch(["H", "H"]), [0.0, 0.0]), batch(["H H"]))
    with pytest.raises(DataError, match="shape"):
        ElementShifts.fit(torch.ones(1), torch.zeros(6), MIXED)
