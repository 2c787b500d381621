"""How often a percentile interval holds the truth; the table in metrics/interval.py."""

import numpy as np
import pytest
from scipy.stats import norm, t, ttest_1samp

from mlffbench.metrics.intervals.interval import expanded_spread, find_interval
from mlffbench.metrics.intervals.resampling import draw_counts, resample

TABLE = {
    # n: normal plain, normal ours, lognormal plain, lognormal ours
    2: (49.4, 94.8, 48.4, 93.8),
    3: (75.3, 95.4, 72.1, 92.4),
    4: (80.0, 95.0, 76.7, 91.5),
    5: (83.6, 92.1, 80.9, 89.5),
    10: (89.9, 94.3, 87.3, 92.2),
    20: (92.5, 94.6, 91.0, 93.0),
    50: (94.4, 95.1, 93.4, 94.2),
}


CHUNK = 1000


def coverage(n: int, n_sets: int) -> list[float]:
    """Percentages of sets whose interval holds the truth, as in a row of the table."""
    rng = np.random.default_rng(n)
    hits = np.zeros(4)
    for _ in range(n_sets // CHUNK):
        normal = rng.normal(size=(n, CHUNK))
        lognormal = rng.lognormal(sigma=0.5, size=(n, CHUNK))
        hits[:2] += count_hits(normal, 0.0)
        hits[2:] += count_hits(lognormal, np.exp(0.125))
    return (100 * hits / n_sets).tolist()


def count_hits(data: np.ndarray, truth: float) -> tuple[int, int]:
    """Sets (columns) whose plain percentile interval, and ours, hold the truth."""
    n = len(data)
    resampled = resample(draw_counts(n, seed=1), data) / n
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    ours = [
        find_interval(value, column, n)
        for value, column in zip(data.mean(axis=0), resampled.T, strict=True)
    ]
    plain = (low <= truth) & (truth <= high)
    return int(plain.sum()), sum(i.low <= truth <= i.high for i in ours)


@pytest.mark.parametrize("n", TABLE)
def test_coverage_is_as_documented_and_better_than_plain(n):
    found = coverage(n, 2000)
    np.testing.assert_allclose(found, TABLE[n], atol=4.5)  # 4 standard errors at 50 %
    assert found[1] > found[0]
    assert found[3] > found[2]


@pytest.mark.slow
@pytest.mark.parametrize("n", TABLE)
def test_the_table_in_full(n):
    np.testing.assert_allclose(coverage(n, 20_000), TABLE[n], atol=1)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 100])
def test_the_level_is_hesterbergs(n):
    level = norm.cdf(-np.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1))
    assert norm.cdf(-expanded_spread(n)) == pytest.approx(level, rel=1e-9)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_very_few_molecules_get_students_interval(n):
    data = np.random.default_rng(n).normal(size=n)
    resampled = resample(draw_counts(n, seed=0), data[:, None])[:, 0] / n
    found = find_interval(data.mean(), resampled, n)
    student = ttest_1samp(data, 0).confidence_interval(0.95)
    width = student.high - student.low
    # the standard error is resampled, so the ends agree to its Monte Carlo error
    assert found.low == pytest.approx(student.low, abs=0.05 * width)
    assert found.high == pytest.approx(student.high, abs=0.05 * width)


def test_students_interval_stays_within_bounds():
    found = find_interval(0.5, np.array([0.0, 0.5, 1.0] * 100), 2, bounds=(0.0, 1.0))
    assert (found.low, found.high) == (0.0, 1.0)
