import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_batches import batch, labels, pooled, random_batch, reorder

from mlffbench.core.errors import DataError
from mlffbench.core.labels import Labels
from mlffbench.metrics import forces
from mlffbench.metrics.breakdown import (
    forces_mae_by_element,
    forces_mae_by_norm,
    norm_labels,
)
from mlffbench.metrics.pairs import blank

EVERY = [
    forces.forces_mae,
    forces.forces_mae_structure,
    forces.forces_rmse,
    forces.forces_cosine,
    forces.forces_magnitude,
    forces_mae_by_element,
    forces_mae_by_norm,
]
SEEDS = st.integers(0, 2**32 - 1)

# one atom with error (3, 0, 0); two atoms with errors (0, 0, 0) and (0, −6, 6)
STRUCTURES = batch(["O", "C H"])
REFERENCE = labels([0, 0], [[1, 0, 0], [0, 5, 0], [0, 3, 4]])
PREDICTION = labels([0, 0], [[4, 0, 0], [0, 5, 0], [0, -3, 10]])


def test_mae_by_hand():
    found = forces.forces_mae(PREDICTION, REFERENCE, STRUCTURES)[""]
    assert found.value.tolist() == [1.0, 2.0]
    assert found.weight.tolist() == [3.0, 6.0]
    assert pooled(found) == (3 + 12) / 9


def test_mae_per_structure_by_hand():
    found = forces.forces_mae_structure(PREDICTION, REFERENCE, STRUCTURES)[""]
    assert found.weight.tolist() == [1.0, 1.0]
    assert pooled(found) == (1 + 2) / 2


def test_rmse_holds_squares_by_hand():
    found = forces.forces_rmse(PREDICTION, REFERENCE, STRUCTURES)[""]
    assert found.value.tolist() == [9 / 3, 72 / 6]
    assert pooled(found) == (9 + 72) / 9  # whose root is 3; the MAE is 15/9


def test_magnitude_by_hand():
    found = forces.forces_magnitude(PREDICTION, REFERENCE, STRUCTURES)[""]
    assert found.value[0] == 3.0
    assert found.value[1] == pytest.approx((np.sqrt(109) - 5) / 2, rel=1e-15)
    assert found.weight.tolist() == [1.0, 2.0]


def test_cosine_by_hand():
    found = forces.forces_cosine(PREDICTION, REFERENCE, STRUCTURES)[""]
    assert found.value[0] == 1.0
    cosine = (-9 + 40) / (5 * np.sqrt(109))
    assert found.value[1] == pytest.approx((1 + cosine) / 2, rel=1e-15)
    assert found.weight.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("predicted", "expected", "cosine"),
    [
        ([0, 0, 0], [0, 0, 0], 1.0),
        ([9e-11, 0, 0], [0, -9e-11, 0], 1.0),
        ([0, 0, 0], [1, 0, 0], -1.0),
        ([2, 0, 0], [0, 9e-11, 0], -1.0),
        ([2e-10, 0, 0], [0, 2e-10, 0], 0.0),
        ([1, 2, 3], [-1, -2, -3], -1.0),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], 1.0),
    ],
)
def test_cosine_of_forces_without_direction(predicted, expected, cosine):
    found = forces.forces_cosine(
        labels([0], predicted), labels([0], expected), batch("H")
    )
    assert found[""].value.tolist() == [cosine]


def test_cosine_agrees_with_torch():
    structures, prediction, reference = random_batch(3, 50)
    found = forces.forces_cosine(prediction, reference, structures)[""]
    oracle = torch.cosine_similarity(prediction.forces, reference.forces).mean()
    assert pooled(found) == pytest.approx(float(oracle), rel=1e-13)


def test_by_element_by_hand():
    found = forces_mae_by_element(PREDICTION, REFERENCE, STRUCTURES)
    assert list(found) == ["H", "C", "O"]
    np.testing.assert_array_equal(found["H"].value, [np.nan, 4.0])
    np.testing.assert_array_equal(found["H"].weight, [0, 3])
    np.testing.assert_array_equal(found["C"].value, [np.nan, 0.0])
    np.testing.assert_array_equal(found["O"].value, [1.0, np.nan])


def test_by_norm_bins_the_reference_and_owns_its_lower_edge():
    structures = batch(["H H H H", "H"])
    norms = [0.0, 1.0, 3.999, 16.0, 4.0]
    reference = labels([0, 0], [[norm, 0, 0] for norm in norms])
    prediction = labels([0, 0], [[norm + 3, 0, 0] for norm in norms])
    found = forces_mae_by_norm(prediction, reference, structures)
    assert tuple(found) == norm_labels()
    weights = {label: part.weight.tolist() for label, part in found.items()}
    assert weights == {
        "0-1": [3, 0],
        "1-2": [3, 0],
        "2-4": [3, 0],
        "4-8": [0, 3],
        "8-16": [0, 0],
        "16+": [3, 0],
    }
    assert found["4-8"].value[1] == pytest.approx(1.0)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_pooled_numbers_are_brute_force(seed):
    structures, prediction, reference = random_batch(seed)
    error = (prediction.forces - reference.forces).numpy()
    found = {
        name: pooled(getattr(forces, name)(prediction, reference, structures)[""])
        for name in ("forces_mae", "forces_rmse", "forces_mae_structure")
    }
    system = structures.system.numpy()
    each = [np.abs(error[system == i]).mean() for i in range(structures.n_systems)]
    assert found["forces_mae"] == pytest.approx(np.abs(error).mean(), rel=1e-13)
    assert found["forces_rmse"] == pytest.approx((error**2).mean(), rel=1e-13)
    assert found["forces_mae_structure"] == pytest.approx(np.mean(each), rel=1e-13)
    assert np.sqrt(found["forces_rmse"]) >= found["forces_mae"]


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_parts_add_up_to_the_whole(seed):
    structures, prediction, reference = random_batch(seed)
    whole = pooled(forces.forces_mae(prediction, reference, structures)[""])
    for metric in (forces_mae_by_element, forces_mae_by_norm):
        parts = metric(prediction, reference, structures).values()
        total = sum(np.nansum(part.value * part.weight) for part in parts)
        weight = sum(part.weight.sum() for part in parts)
        assert weight == 3 * structures.n_atoms
        assert total / weight == pytest.approx(whole, rel=1e-13)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from(EVERY))
def test_order_of_structures_changes_nothing(seed, metric):
    structures, prediction, reference = random_batch(seed)
    order = np.random.default_rng(seed).permutation(structures.n_systems).tolist()
    moved, moved_prediction = reorder(structures, prediction, order)
    _, moved_reference = reorder(structures, reference, order)
    before = metric(prediction, reference, structures)
    after = metric(moved_prediction, moved_reference, moved)
    assert list(before) == list(after)
    for label, part in before.items():
        np.testing.assert_array_equal(part.value[order], after[label].value)
        np.testing.assert_array_equal(part.weight[order], after[label].weight)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from([0.125, 4.0]))
def test_scaling_forces_scales_errors(seed, factor):
    structures, prediction, reference = random_batch(seed)
    bigger = [labels(x.energy, factor * x.forces) for x in (prediction, reference)]
    for metric, power in [
        (forces.forces_mae, 1),
        (forces.forces_rmse, 2),
        (forces.forces_magnitude, 1),
        (forces.forces_cosine, 0),
    ]:
        before = metric(prediction, reference, structures)[""]
        after = metric(*bigger, structures)[""]
        np.testing.assert_allclose(after.value, factor**power * before.value, rtol=1e-13)


@pytest.mark.parametrize("metric", EVERY)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["prediction", "reference", "both"])
def test_one_bad_component_makes_the_whole_structure_missing(metric, bad, side):
    structures, prediction, reference = random_batch(7)
    clean = metric(prediction, reference, structures)
    atom = int(np.flatnonzero(structures.system.numpy() == 4)[0])
    if side != "reference":
        prediction.forces[atom, 1] = bad
    if side != "prediction":
        reference.forces[atom, 1] = bad
    found = metric(prediction, reference, structures)
    keep = np.arange(structures.n_systems) != 4
    for label, part in found.items():
        assert np.isnan(part.value[4])
        assert part.weight[4] == 0
        np.testing.assert_array_equal(part.value[keep], clean[label].value[keep])


@pytest.mark.parametrize("metric", EVERY)
def test_energies_play_no_part_and_float32_is_computed_in_float64(metric):
    structures, prediction, reference = random_batch(11)
    single = Labels(
        energy=torch.full((structures.n_systems,), torch.nan),
        forces=prediction.forces.float().requires_grad_(),
        source="float32",
    )
    double = labels(prediction.energy, prediction.forces.float().double())
    for label, part in metric(single, reference, structures).items():
        assert part.value.dtype == np.float64
        expected = metric(double, reference, structures)[label]
        np.testing.assert_array_equal(part.value, expected.value)


@pytest.mark.parametrize("metric", EVERY)
def test_nothing_in_nothing_out(metric):
    nothing = labels([], np.zeros((0, 3)))
    for part in metric(nothing, nothing, batch([])).values():
        assert part.value.shape == (0,)


@pytest.mark.parametrize("metric", EVERY)
def test_labels_of_other_structures_are_refused(metric):
    short = labels([0, 0], np.zeros((1, 3)))  # would broadcast
    with pytest.raises(DataError, match=r"'test' have 1 forces; these structures need 3"):
        metric(short, REFERENCE, STRUCTURES)
    with pytest.raises(DataError, match="1 forces"):
        metric(PREDICTION, short, STRUCTURES)


def test_blank_keeps_what_is_kept():
    found = blank(PREDICTION, STRUCTURES, keep=np.array([False, True]))
    assert found.energy.isnan().tolist() == [True, False]
    assert found.forces.isnan().any(1).tolist() == [True, False, False]
    assert torch.equal(found.forces[1:], PREDICTION.forces[1:])
