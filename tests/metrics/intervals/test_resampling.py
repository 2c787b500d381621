import numpy as np
import pytest

from mlffbench.metrics.intervals.resampling import draw_counts, resample


def test_counts_are_multinomial_and_read_only():
    counts = draw_counts(7, seed=3)
    assert counts.shape == (2000, 7)
    assert (counts.sum(axis=1, dtype=int) == 7).all()
    assert counts.mean() == 1
    assert counts.var() == pytest.approx(6 / 7, rel=0.05)
    assert draw_counts(7, seed=3) is counts
    with pytest.raises(ValueError, match="read-only"):
        counts[0, 0] = 1


def test_two_sets_of_equal_number_are_drawn_independently():
    one, other = draw_counts(50, seed=0), draw_counts(50, seed=0, stream=1)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02


def test_chunks_of_a_large_set_add_up():
    sums = np.random.default_rng(0).normal(size=(5000, 2))
    counts = draw_counts(5000, seed=0)
    found = resample(counts, sums)
    np.testing.assert_allclose(found[[0, -1]], counts[[0, -1]].astype(float) @ sums)
