import numpy as np
import pytest

from mlffbench.metrics.intervals.interval import expanded_spread
from mlffbench.metrics.intervals.share import share
from mlffbench.metrics.molecules import Molecules

NAN = float("nan")


def of(*groups: str) -> Molecules:
    return Molecules.of(groups)


def test_it_is_the_ratio_of_the_sums() -> None:
    found = share(np.array([1.0, 2.0, 0.0]), np.array([2.0, 2.0, 4.0]), of("a", "a", "b"))
    assert found is not None
    assert found.value == pytest.approx(3 / 8)
    assert (found.unit, found.n, found.n_molecules) == ("1", 3, 2)


def test_a_structure_without_either_side_is_left_out() -> None:
    found = share(
        np.array([1.0, NAN, 5.0, 1.0]),
        np.array([2.0, 2.0, NAN, 2.0]),
        of("a", "a", "b", "c"),
    )
    assert found is not None
    assert (found.value, found.n, found.n_molecules) == (0.5, 2, 2)


def test_harm_counts_even_where_nothing_was_to_be_gained() -> None:
    found = share(np.array([1.0, -0.5]), np.array([1.0, 0.0]), of("a", "b"))
    assert found is not None
    assert found.value == 0.5
    worse = share(np.array([-3.0, 1.0]), np.array([1.0, 1.0]), of("a", "b"))
    assert worse is not None
    assert worse.value == -1.0


@pytest.mark.parametrize("whole", [[0.0, 0.0], [-1.0, 0.5], [NAN, NAN], []])
def test_without_a_whole_there_is_no_share(whole: list[float]) -> None:
    part = np.ones(len(whole))
    assert share(part, np.array(whole), of(*"ab"[: len(whole)])) is None


def test_one_molecule_has_no_interval() -> None:
    found = share(np.array([1.0, 1.0]), np.array([2.0, 2.0]), of("a", "a"))
    assert found is not None
    assert (found.value, found.low, found.high) == (0.5, None, None)


def test_no_interval_where_a_resample_may_have_no_whole() -> None:
    part, whole = np.array([1.0, 0.0, 0.0]), np.array([2.0, 0.0, 0.0])
    found = share(part, whole, of("a", "b", "c"))
    assert found is not None
    assert (found.value, found.low) == (0.5, None)


def test_the_interval_is_that_of_a_plain_bootstrap_over_molecules() -> None:
    generator = np.random.default_rng(3)
    n_molecules, n_each = 30, 4
    whole = generator.uniform(1, 2, n_molecules * n_each)
    # molecules differ far more than their conformers
    rate = np.repeat(generator.normal(0.5, 0.3, n_molecules), n_each)
    part = rate * whole
    groups = [f"m{i}" for i in range(n_molecules) for _ in range(n_each)]
    found = share(part, whole, of(*groups))
    assert found is not None
    draws = np.random.default_rng(11).integers(n_molecules, size=(20_000, n_molecules))
    sums = np.stack([part, whole]).reshape(2, n_molecules, n_each).sum(2)
    ratios = sums[0][draws].sum(1) / sums[1][draws].sum(1)
    from scipy.stats import norm

    level = norm.cdf(-expanded_spread(n_molecules))
    low, high = np.quantile(ratios, [level, 1 - level])
    assert found.low == pytest.approx(low, abs=0.015)
    assert found.high == pytest.approx(high, abs=0.015)
    assert found.standard_error == pytest.approx(ratios.std(), rel=0.06)
    by_structure = np.random.default_rng(5).integers(len(part), size=(4000, len(part)))
    naive = (part[by_structure].sum(1) / whole[by_structure].sum(1)).std()
    assert found.standard_error > 1.5 * naive


def test_bounds_end_the_interval_not_the_value() -> None:
    part, whole = np.array([0.9, 1.0, 0.2]), np.ones(3)
    free, bound = (
        share(part, whole, of("a", "b", "c"), bounds=bounds)
        for bounds in ((-np.inf, np.inf), (-np.inf, 1.0))
    )
    assert free is not None
    assert bound is not None
    assert free.high is not None
    assert free.high > 1
    assert (bound.value, bound.low, bound.high) == (free.value, free.low, 1.0)


def test_the_order_of_structures_is_of_no_consequence() -> None:
    generator = np.random.default_rng(0)
    part, whole = generator.uniform(0, 1, 12), generator.uniform(1, 2, 12)
    groups = [f"m{i % 4}" for i in range(12)]
    order = generator.permutation(12)
    one = share(part, whole, of(*groups))
    other = share(part[order], whole[order], of(*(groups[i] for i in order)))
    assert one is not None
    assert other is not None
    assert one.value == pytest.approx(other.value, rel=1e-12)
    assert one.low == pytest.approx(other.low, rel=1e-9)
