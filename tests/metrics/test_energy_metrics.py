import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_batches import batch, no_forces, random_batch, reorder

from mlffbench.core.errors import DataError
from mlffbench.metrics.energy import (
    energy_mae_aligned,
    energy_mae_raw,
    energy_mae_relative,
)
from mlffbench.metrics.pairs import energy_errors

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("metric", [energy_mae_raw, energy_mae_aligned])
def test_per_atom_by_hand(metric):
    structures = batch(["O", "H H O", "C O", "N"])
    found = metric(
        no_forces(structures, [-1.0, 4.0, np.nan, np.inf]),
        no_forces(structures, [1.0, 1.0, 0.0, np.inf]),
        structures,
    )[""]
    np.testing.assert_array_equal(found.value, [2.0, 1.0, np.nan, np.nan])
    np.testing.assert_array_equal(found.weight, [1, 1, 0, 0])


def test_relative_by_hand():
    # a: errors 1, 2, 6 with mean 3; b: one conformer; c: one of two is not evaluated
    structures = batch(["C O"] * 3 + ["N"] + ["O"] * 2, ["a", "a", "a", "b", "c", "c"])
    reference = no_forces(structures, [10.0, 20.0, 30.0, 0.0, 0.0, np.nan])
    prediction = no_forces(structures, [11.0, 22.0, 36.0, 5.0, 1.0, 1.0])
    found = energy_mae_relative(prediction, reference, structures)[""]
    np.testing.assert_array_equal(found.value, [1.0, 0.5, 1.5] + [np.nan] * 3)
    np.testing.assert_array_equal(found.weight, [1, 1, 1, 0, 0, 0])


@pytest.mark.parametrize(
    ("formulas", "columns"),
    [
        (["C O", "O C O"], {}),
        (["C O", "C O"], {"charge": [0, 1], "multiplicity": [1, 2]}),
        (["C O", "C O"], {"multiplicity": [1, 3]}),
    ],
)
def test_another_species_of_the_same_molecule_is_no_partner(formulas, columns):
    structures = batch(formulas, ["a", "a"], **columns)
    found = energy_mae_relative(
        no_forces(structures, [1.0, 2.0]), no_forces(structures, [0.0, 0.0]), structures
    )[""]
    assert not found.evaluated.any()


def test_order_of_atoms_does_not_split_a_species():
    structures = batch(["C O", "O C"], ["a", "a"])
    zero = no_forces(structures, [0.0, 0.0])
    found = energy_mae_relative(no_forces(structures, [1.0, 3.0]), zero, structures)[""]
    assert found.value.tolist() == [0.5, 0.5]


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_any_zero_of_energy_cancels_in_relative(seed):
    structures, prediction, reference = random_batch(seed, 20)
    rng = np.random.default_rng(seed)
    zeros = dict(zip(range(1, 20), rng.normal(size=19) * 1000, strict=True))
    offset = np.zeros(structures.n_systems)
    for number, system in zip(
        structures.numbers.tolist(), structures.system.tolist(), strict=True
    ):
        offset[system] += zeros[number]
    moved = no_forces(structures, prediction.energy.numpy() + offset)
    before = energy_mae_relative(prediction, reference, structures)[""]
    after = energy_mae_relative(moved, reference, structures)[""]
    np.testing.assert_array_equal(before.weight, after.weight)
    np.testing.assert_allclose(before.value, after.value, atol=1e-11)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_relative_is_brute_force_and_independent_of_order(seed):
    structures, prediction, reference = random_batch(seed)
    found = energy_mae_relative(prediction, reference, structures)[""]
    error = (prediction.energy - reference.energy).numpy()
    sizes = structures.sizes.numpy()
    for row, group in enumerate(structures.group):
        mates = [i for i, other in enumerate(structures.group) if other == group]
        expected = abs(error[row] - error[mates].mean()) / sizes[row]
        if len(mates) == 1:
            assert np.isnan(found.value[row])
        else:
            assert found.value[row] == pytest.approx(expected, abs=1e-14)
    order = np.random.default_rng(seed).permutation(len(error)).tolist()
    moved, moved_prediction = reorder(structures, prediction, order)
    _, moved_reference = reorder(structures, reference, order)
    after = energy_mae_relative(moved_prediction, moved_reference, moved)[""]
    np.testing.assert_array_equal(found.value[order], after.value)


@pytest.mark.parametrize("metric", [energy_mae_raw, energy_mae_relative])
def test_nothing_in_nothing_out(metric):
    structures = batch([])
    nothing = no_forces(structures, [])
    assert metric(nothing, nothing, structures)[""].value.shape == (0,)


def test_energies_of_other_structures_are_refused():
    structures = batch(["C O", "N"])
    one = no_forces(batch(["C O N"]), [1.0])
    with pytest.raises(DataError, match=r"have 1 energies; these structures need 2"):
        energy_mae_raw(one, no_forces(structures, [0.0, 0.0]), structures)
    with pytest.raises(DataError, match=r"shape \(1,\); these structures need \(2,\)"):
        energy_errors(one.energy, one.energy, structures)
