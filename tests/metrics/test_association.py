import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, spearmanr

from mlffbench.core.errors import DataError
from mlffbench.metrics.association import auroc, spearman
from mlffbench.metrics.intervals.resampling import draw_counts
from mlffbench.metrics.molecules import Molecules

numbers = st.lists(st.integers(-5, 5), min_size=4, max_size=30)


def names(n: int, size: int = 3) -> list[str]:
    return [f"m{place // size}" for place in range(n)]


@given(numbers, numbers)
@settings(max_examples=40, deadline=None)
def test_auroc_is_the_mann_whitney_statistic(a: list[int], b: list[int]) -> None:
    x, y = np.array(a, float), np.array(b, float)
    found = auroc(x, y, names(len(a)), [f"o{i}" for i in range(len(b))])
    assert found is not None
    assert found.value == pytest.approx(mannwhitneyu(x, y).statistic / (len(x) * len(y)))
    assert found.n == len(a) + len(b)
    other = auroc(y, x, names(len(b)), names(len(a)))
    assert other is not None
    assert found.value + other.value == pytest.approx(1)


@given(numbers, st.randoms())
@settings(max_examples=40, deadline=None)
def test_spearman_is_scipys(a: list[int], random: object) -> None:
    y = np.random.default_rng(len(a)).integers(-3, 3, len(a)).astype(float)
    x = np.array(a, float)
    found = spearman(x, y, names(len(a)))
    if not np.ptp(x) or not np.ptp(y):
        assert found is None
        return
    assert found is not None
    assert found.value == pytest.approx(spearmanr(x, y).statistic)


def test_intervals_are_those_of_resamples_written_out() -> None:
    """Structures are copied as often as their molecule is drawn; scipy ranks them."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 9, 40).astype(float)
    y = x + rng.integers(0, 9, 40)
    groups = names(40, 4)
    found = spearman(x, y, groups, seed=5)
    assert found is not None
    index = Molecules.of(groups).index
    values = []
    for counts in draw_counts(10, seed=5):
        rows = np.repeat(np.arange(40), counts[index])
        values.append(spearmanr(x[rows], y[rows]).statistic)
    assert found.standard_error == pytest.approx(np.std(values, ddof=1), rel=1e-9)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert found.n_molecules == 10


def test_sides_that_share_molecules_are_resampled_together() -> None:
    x = np.arange(12.0)
    groups = names(12)
    shared = auroc(x, x, groups, groups, seed=3)
    assert shared is not None
    assert shared.value == 0.5
    # the same molecules on both sides: every resample is a tie
    assert shared.standard_error == pytest.approx(0, abs=1e-12)
    apart = auroc(x, x, groups, [f"other {name}" for name in groups], seed=3)
    assert apart is not None
    assert apart.standard_error is not None
    assert apart.standard_error > 0.05


def test_what_is_not_there_is_none_and_never_zero() -> None:
    nothing, one = np.array([np.nan, np.nan]), np.array([1.0, 2.0])
    assert auroc(nothing, one, ["a", "b"], ["c", "d"]) is None
    assert spearman(nothing, one, ["a", "b"]) is None
    assert spearman(np.ones(5), np.arange(5.0), names(5)) is None
    single = auroc(one, one + 1, ["a", "a"], ["b", "c"])
    assert single is not None
    assert single.low is None
    with pytest.raises(DataError, match="molecules of 3 structures"):
        spearman(one, one, ["a", "b", "c"])


@pytest.mark.parametrize("n", [1, 3, 64, 1000])
def test_draws_are_those_of_one_molecule_after_the_other(n: int) -> None:
    generator = np.random.default_rng([7, 1])
    rows = [np.bincount(generator.integers(n, size=n), minlength=n) for _ in range(201)]
    drawn = draw_counts(n, seed=7, stream=1, n_resamples=201)
    assert np.array_equal(drawn, np.array(rows))
