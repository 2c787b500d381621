import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from mlffbench.diagnostics.compare import (
    N_BINS,
    contrast,
    count,
    effect,
    error_curve,
    overlap,
    shared_edges,
    summarize,
)
from mlffbench.diagnostics.diagnostic import Measured

floats = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@given(floats, floats)
@settings(max_examples=100, deadline=None)
def test_shared_bins_hold_every_value(a: list[float], b: list[float]) -> None:
    x, y = np.array(a), np.array(b)
    edges = shared_edges([x, y])
    assert (np.diff(edges) > 0).all()
    assert sum(count(x, edges)) == len(x)
    assert sum(count(y, edges)) == len(y)
    assert 0 <= overlap(x, y, edges) <= 1 + 1e-12
    assert overlap(x, x, edges) == pytest.approx(1)


def test_whole_numbers_get_a_bin_each() -> None:
    edges = shared_edges([np.array([3.0, 5.0]), np.array([4.0])])
    assert edges.tolist() == [2.5, 3.5, 4.5, 5.5]
    assert count(np.array([3.0, 5.0, 5.0]), edges) == (1, 0, 2)


def test_an_outlier_does_not_decide_about_the_bins() -> None:
    values = np.concatenate([np.linspace(0, 1, 999), [1e9]])
    edges = shared_edges([values])
    assert len(edges) == N_BINS + 1
    assert edges[-2] < 1
    assert edges[-1] == 1e9
    assert count(values, edges)[-1] > 1


def test_a_shifted_sample_in_closed_form() -> None:
    a = np.linspace(0, 1, 101)
    found = contrast(a + 2, a, shared_edges([a, a + 2]), name="train")
    assert found is not None
    assert found.wasserstein == pytest.approx(2)
    assert found.wasserstein == pytest.approx(wasserstein_distance(a + 2, a))
    assert found.effect == pytest.approx(2 / a.std())
    assert found.overlap == 0


def test_the_effect_is_free_of_unit_and_honest_about_constants() -> None:
    a, b = np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0])
    plain = effect(float(wasserstein_distance(a, b)), a, b)
    scaled = effect(float(wasserstein_distance(7 * a, 7 * b)), 7 * a, 7 * b)
    assert plain == pytest.approx(scaled)
    assert effect(0.0, a, a) == 0
    assert effect(1.0, np.zeros(3), np.ones(3)) is None


def test_nothing_to_compare_is_none() -> None:
    blank = np.array([np.nan])
    assert contrast(blank, np.ones(2), np.array([0.0, 2.0]), name="train") is None
    summary = summarize(Measured(blank, {0: "no atoms"}))
    assert (summary.n, summary.n_missing, summary.median) == (0, 1, None)
    assert summary.reasons == {"no atoms": 1}
    assert shared_edges([blank]).tolist() == []


def test_the_error_curve_is_the_mean_of_equal_parts() -> None:
    values = np.arange(40.0)
    errors = values**2
    groups = [f"m{place % 10}" for place in range(40)]
    curve = error_curve(values[::-1], errors[::-1], groups)
    assert len(curve) == 8
    assert [one.error.n for one in curve] == [5] * 8
    assert curve[0].error.value == pytest.approx(np.mean(errors[:5]))
    assert (curve[-1].low, curve[-1].high) == (35, 39)
    assert curve[0].error.low is not None
    assert error_curve(values[:4], errors[:4], groups[:4]) == ()


def test_equal_values_stay_in_one_bin() -> None:
    values = np.repeat([0.0, 1.0], [30, 10])
    curve = error_curve(values, values, [str(i) for i in range(40)])
    assert [(one.low, one.high, one.error.n) for one in curve] == [(0, 0, 30), (1, 1, 10)]
