from collections import Counter

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_batches import molecules, samples

from mlffbench.core.errors import DataError
from mlffbench.metrics.intervals.estimates import (
    decisive_group,
    estimate,
    gap,
    paired,
    worst_group,
)
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.metrics.molecules import Molecules, sum_molecules

ERROR = MetricCard(unit="eV/Å")
ROOT = MetricCard(unit="eV/Å", reduce="root-mean")
COSINE = MetricCard(unit="1", better="higher", bounds=(-1.0, 1.0))
TIME = MetricCard(unit="ps", better="higher", bounds=(0.0, 10.0))
SEEDS = st.integers(0, 2**32 - 1)


def random_samples(seed: int, n_molecules: int = 8, prefix: str = "m"):
    """Structures of 1 to 4 conformers of molecules of different size and difficulty."""
    rng = np.random.default_rng(seed)
    groups, values, weights = [], [], []
    for number in range(n_molecules):
        size, level = rng.integers(3, 20), rng.lognormal()
        for _ in range(rng.integers(1, 5)):
            groups.append(f"{prefix}{number:02d}")
            values.append(level * rng.lognormal(sigma=0.2))
            weights.append(3.0 * size)
    return samples(values, weights), groups


def by_molecule(given, groups) -> tuple[np.ndarray, np.ndarray]:
    """The oracle's sums: Σ w·v and Σ w of each molecule, in order of their keys."""
    keys, index = np.unique(groups, return_inverse=True)
    there = given.weight > 0
    top = np.bincount(
        index[there], (given.weight * given.value)[there], minlength=len(keys)
    )
    bottom = np.bincount(index[there], given.weight[there], minlength=len(keys))
    return top[bottom > 0], bottom[bottom > 0]


def jackknife(function, *columns: np.ndarray) -> float:
    """The oracle: leave each molecule out and recompute."""
    n = len(columns[0])
    left = [function(*(np.delete(column, row) for column in columns)) for row in range(n)]
    return (n - 1) / n * ((np.array(left) - function(*columns)) ** 2).sum()


def log_mean(top, bottom):
    return np.log(top.sum() / bottom.sum())


def lognormal(top, bottom) -> float:
    weight = bottom / bottom.sum()
    n = 1 / (weight**2).sum()
    logs = np.log(top / bottom)
    squared = np.cov(logs, aweights=weight, ddof=0) * n / (n - 1)
    return (squared + 0.75 * squared**2 * n / (n - 1)) / n


@pytest.mark.parametrize("card", [ERROR, ROOT])
def test_estimate_is_the_larger_of_two_variances(card):
    given, groups = random_samples(1)
    found = estimate(given, Molecules.of(groups), card=card)
    top, bottom = by_molecule(given, groups)
    variance = max(jackknife(log_mean, top, bottom), lognormal(top, bottom))
    effective = bottom.sum() ** 2 / (bottom**2).sum()
    t = scipy.stats.t.ppf(0.975, (8 + effective) / 2 - 1)
    power = 0.5 if card.reduce == "root-mean" else 1
    value = (top.sum() / bottom.sum()) ** power
    assert found.value == pytest.approx(value, rel=1e-14)
    factor = np.exp(power * t * np.sqrt(variance))
    assert (found.low, found.high) == pytest.approx((value / factor, value * factor))
    assert found.standard_error == pytest.approx(value * power * np.sqrt(variance))
    assert (found.n, found.n_molecules, found.unit) == (len(groups), 8, "eV/Å")
    assert found.lowest is found.highest is None


def test_paired_is_one_statistic_over_shared_structures():
    a, groups = random_samples(2)
    b, _ = random_samples(2)
    rng = np.random.default_rng(0)
    a, b = (
        given.where(rng.random(len(groups)) > 0.2)
        for given in (a, samples(b.value * rng.lognormal(size=len(groups)), b.weight))
    )
    shared = a.evaluated & b.evaluated
    found = paired(a, b, Molecules.of(groups), card=ERROR)
    top, bottom = by_molecule(a.where(shared), groups)
    below, _ = by_molecule(b.where(shared), groups)
    n = len(top)
    value = top.sum() / below.sum()
    moved = jackknife(lambda x, y: np.log(x.sum() / y.sum()), top, below)
    weight = bottom / bottom.sum()
    few = 1 / (1 - (weight**2).sum())
    squared = np.cov(np.log(top / below), aweights=weight, ddof=0) * few
    carried = (top / top.sum() + below / below.sum()) / 2
    variance = max(moved, (squared + squared**2 / 2 * few) * (carried**2).sum())
    reach = scipy.stats.t.ppf(0.975, n - 1) * np.sqrt(variance)
    assert found.ratio.value == pytest.approx(value, rel=1e-13)
    ends = np.log([found.ratio.low, found.ratio.high]) - np.log(value)
    assert ends == pytest.approx([-reach, reach], rel=1e-9)
    t = abs(np.log(value)) / np.sqrt(variance)
    assert found.p_value == pytest.approx(2 * scipy.stats.t.sf(t, n - 1), rel=1e-9)
    assert found.difference.value == pytest.approx(
        (top.sum() - below.sum()) / bottom.sum(), rel=1e-12
    )
    assert (found.difference.n, found.difference.n_molecules) == (shared.sum(), n)
    assert found.ratio.unit == "1"


def test_gap_of_disjoint_sets_adds_their_variances():
    (a, groups_a), (b, groups_b) = random_samples(3, 6, "a"), random_samples(4, 9, "b")
    found = gap(a, Molecules.of(groups_a), b, Molecules.of(groups_b), card=ERROR)
    variance = sum(
        max(jackknife(log_mean, *sums), lognormal(*sums))
        for sums in (by_molecule(a, groups_a), by_molecule(b, groups_b))
    )
    spread = np.log(found.ratio.high / found.ratio.low) / 2 / np.sqrt(variance)
    assert scipy.stats.t.ppf(0.975, 13) < spread < scipy.stats.t.ppf(0.975, 4)
    assert found.difference.n == len(groups_a) + len(groups_b)
    assert found.difference.n_molecules == 15


def test_shared_molecules_move_together():
    given, groups = random_samples(7, 10)
    doubled = samples(2 * given.value, given.weight)
    found = gap(doubled, Molecules.of(groups), given, Molecules.of(groups), card=ERROR)
    assert found.ratio.low == pytest.approx(2, rel=1e-6)
    assert found.ratio.high == pytest.approx(2, rel=1e-6)
    assert found.verdict == "worse"
    apart = gap(
        doubled,
        Molecules.of(groups),
        given,
        Molecules.of([f"x{group}" for group in groups]),
        card=ERROR,
    )
    assert apart.ratio.low < 1.7
    assert apart.ratio.high > 2.3
    assert apart.difference.n_molecules == 20
    half = [f"x{group}" if row % 2 else group for row, group in enumerate(groups)]
    some = gap(doubled, Molecules.of(groups), given, Molecules.of(half), card=ERROR)
    assert found.ratio.high < some.ratio.high < apart.ratio.high * 1.5


def side(low: float, high: float, none: float) -> int:
    return int(low > none) - int(high < none)


@pytest.mark.parametrize("many", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_comparisons_never_contradict_themselves(many: int):
    rng = np.random.default_rng(12)
    said = Counter()
    for number in range(many):
        card = (ERROR, ROOT, COSINE, TIME)[number % 4]
        n = int(rng.integers(2, 13))
        level = rng.lognormal(sigma=rng.uniform(0.1, 1.5), size=n)
        change = np.exp(rng.normal(rng.normal(scale=0.5), rng.uniform(0, 0.8), size=n))
        weight = rng.integers(1, 100, size=n).astype(float)
        values = [level, level * change]
        if card is COSINE:
            values = [1 - 2 * one / (1 + one) for one in values]
        if card is TIME:
            values = [np.minimum(one, 10.0) for one in values]
        a, b = (samples(one, weight) for one in values)
        if number % 8 < 4:
            found = paired(a, b, molecules(n), card=card)
        else:
            other = samples(np.resize(b.value, 9), np.resize(weight, 9))
            start = "m" if number % 16 < 8 else "x"
            found = gap(a, molecules(n), other, molecules(9, start), card=card)
        said[found.verdict] += 1
        if found.difference.low is None:
            assert found.verdict == "cannot be judged"
            assert found.p_value is None
            assert n < 5 or "factor" in found.reason
            continue
        where = side(found.difference.low, found.difference.high, 0.0)
        assert found.difference.low <= found.difference.value <= found.difference.high
        assert (found.p_value < 0.05) == bool(where)
        if found.ratio is not None and found.ratio.low is not None:
            assert found.ratio.low <= found.ratio.value <= found.ratio.high
            assert side(found.ratio.low, found.ratio.high, 1.0) == where
        worse = where if card.better == "lower" else -where
        if where:
            assert found.verdict == ("worse" if worse > 0 else "better")
        else:
            assert found.verdict in {"no difference", "cannot be judged"}
        assert bool(found.reason) == (found.verdict == "cannot be judged")
    assert min(said.values()) > many / 20
    assert len(said) == 4


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_order_of_structures_changes_no_bit(seed):
    (a, groups), (b, _) = random_samples(seed), random_samples(seed)
    b = samples(b.value[::-1].copy(), b.weight)
    order = np.random.default_rng(seed).permutation(len(groups))
    moved = [samples(given.value[order], given.weight[order]) for given in (a, b)]
    before, after = Molecules.of(groups), Molecules.of([groups[i] for i in order])
    assert estimate(a, before, card=ROOT) == estimate(moved[0], after, card=ROOT)
    assert paired(a, b, before, card=ERROR) == paired(*moved, after, card=ERROR)
    assert gap(a, before, b, before, card=ERROR) == gap(
        moved[0], after, moved[1], after, card=ERROR
    )
    assert worst_group(a, before, card=ERROR) == worst_group(moved[0], after, card=ERROR)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_scaling_scales_the_number_and_its_interval(seed):
    given, groups = random_samples(seed)
    bigger = samples(4 * given.value, given.weight)
    one = estimate(given, Molecules.of(groups), card=ERROR)
    four = estimate(bigger, Molecules.of(groups), card=ERROR)
    assert four.value == 4 * one.value
    assert (four.low, four.high) == pytest.approx((4 * one.low, 4 * one.high), rel=1e-12)
    assert one.low <= one.value <= one.high


def test_many_like_molecules_get_students_interval():
    data = 5 + np.random.default_rng(8).normal(size=300)
    theirs = scipy.stats.ttest_1samp(data, 0).confidence_interval(0.95)
    found = estimate(samples(data), molecules(300), card=ERROR)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=0.003)


def test_frames_of_one_molecule_are_not_independent():
    rng = np.random.default_rng(9)
    levels = rng.lognormal(size=6)
    data = samples(np.repeat(levels, 100))
    whole = estimate(data, Molecules.of([f"m{i // 100}" for i in range(600)]), card=ERROR)
    frames = estimate(data, molecules(600), card=ERROR)
    assert whole.value == pytest.approx(frames.value, rel=1e-14)
    assert whole.high - whole.low > 5 * (frames.high - frames.low)


def test_an_error_is_never_said_to_be_possibly_zero():
    given = samples(np.r_[5.0, np.full(6, 0.1)])
    found = estimate(given, molecules(7), card=ERROR)
    assert 0 < found.low < 0.3 < found.high


def test_one_molecule_that_decides_is_named():
    given, owners = samples(np.r_[5.0, np.full(6, 0.3)]), molecules(7)
    assert decisive_group(given, owners) == ("m000", pytest.approx(5 / 6.8))
    assert decisive_group(samples([5.0, 0.1]), molecules(2)) is None
    assert decisive_group(samples(np.zeros(7)), owners) is None
    other = samples(np.r_[2.0, np.full(6, 0.35)])
    found = paired(given, other, owners, card=ERROR)
    assert found.verdict == "cannot be judged"
    assert found.reason == "m000 alone carries 74 % of the error"
    assert found.ratio.low < 1 < found.ratio.high


def test_an_interval_that_says_nothing_is_no_verdict():
    rng = np.random.default_rng(2)
    one, two = (samples(rng.lognormal(sigma=0.9, size=7)) for _ in range(2))
    found = gap(one, molecules(7, "a"), two, molecules(7, "b"), card=ERROR)
    assert found.verdict == "cannot be judged"
    assert found.reason.startswith("it may be ×0.")


def test_missing_structures_leave_every_denominator():
    given = samples([1.0, np.nan, 3.0, np.nan], [3, 3, 9, 3])
    owners = Molecules.of(["a", "a", "b", "c"])
    found = estimate(given, owners, card=ERROR)
    assert found.value == (3 + 27) / 12
    assert (found.n, found.n_molecules) == (2, 2)
    totals = sum_molecules(given, owners)
    assert totals.keys == ("a", "b")
    assert totals.sums.tolist() == [[3, 3], [27, 9]]


def test_an_empty_set_has_no_mean():
    nothing, owners = samples([np.nan, np.nan]), molecules(2)
    something = samples([1.0, 2.0])
    assert estimate(nothing, owners, card=ERROR) is None
    assert worst_group(nothing, owners, card=ERROR) is None
    assert paired(something, nothing, owners, card=ERROR) is None
    assert gap(something, owners, nothing, owners, card=ERROR) is None
    assert gap(nothing, owners, something, owners, card=ERROR) is None
    assert estimate(samples([]), Molecules.of([]), card=ERROR) is None
    left, right = samples([1.0, np.nan]), samples([np.nan, 1.0])
    assert paired(left, right, owners, card=ERROR) is None


@pytest.mark.parametrize("n", [1, 2, 4])
def test_few_molecules_have_their_range_and_no_interval(n):
    given, owners = samples(np.arange(1.0, n + 1)), molecules(n)
    found = estimate(given, owners, card=ERROR)
    assert found.low is found.high is found.standard_error is None
    assert (found.lowest, found.highest) == ((1, n) if n > 1 else (None, None))
    doubled, nine = samples(2 * given.value), samples([1.0] * 9)
    for comparison in (
        paired(doubled, given, owners, card=ERROR),
        gap(doubled, owners, nine, molecules(9, "x"), card=ERROR),
        gap(nine, molecules(9, "x"), given, owners, card=ERROR),
    ):
        assert comparison.verdict == "cannot be judged"
        plural = "" if n == 1 else "s"
        assert comparison.reason == f"{n} molecule{plural}, fewer than 5"
        assert comparison.difference.low is None
        assert comparison.ratio.low is None
        assert comparison.p_value is None
    if n > 1:
        ratio = paired(doubled, given, owners, card=ERROR).ratio
        assert (ratio.lowest, ratio.highest) == (2, 2)


def test_five_molecules_have_an_interval():
    found = estimate(samples(np.arange(1.0, 6.0)), molecules(5), card=ERROR)
    assert 1 < found.low < 3 < found.high < 9


def test_verdicts_follow_what_is_better():
    rng = np.random.default_rng(11)
    low, high = (samples(m + 0.01 * rng.random(12)) for m in (0.3, 0.6))
    owners = molecules(12)
    for card, first, second in [(ERROR, "better", "worse"), (COSINE, "worse", "better")]:
        assert paired(low, high, owners, card=card).verdict == first
        assert paired(high, low, owners, card=card).verdict == second
        assert paired(low, low, owners, card=card).verdict == "no difference"
        other = molecules(12, "other")
        assert gap(high, other, low, owners, card=card).verdict == second


@pytest.mark.parametrize("card", [ERROR, ROOT, COSINE])
def test_what_float32_rounds_is_no_difference(card):
    # every molecule a little worse, by what other batches change and by far more
    before = np.linspace(0.5, 0.6, 8)
    for change, verdicts in ((1e-6, {"no difference"}), (1e-3, {"better", "worse"})):
        after = before * (1 + change * np.linspace(0.9, 1.1, 8))
        found = paired(samples(after), samples(before), molecules(8), card=card)
        assert found.verdict in verdicts


def test_ratio_needs_a_true_zero_and_something_to_divide_by():
    zero, one, owners = samples([0.0] * 8), samples(np.arange(1.0, 9.0)), molecules(8)
    assert paired(one, zero, owners, card=ERROR).ratio is None
    assert paired(one, one, owners, card=COSINE).ratio is None
    nothing = paired(zero, one, owners, card=ERROR)
    assert nothing.ratio.value == 0
    assert nothing.ratio.low is None
    assert nothing.verdict == "better"


def test_an_interval_beyond_a_factor_of_a_thousand_is_none():
    given = samples([1.0, *[1e-9] * 5])
    found = estimate(given, molecules(6), card=ERROR)
    assert found.low is None
    assert (found.lowest, found.highest) == (1e-9, 1.0)
    compared = gap(given, molecules(6), given, molecules(6, "x"), card=ERROR)
    assert compared.verdict == "cannot be judged"
    assert compared.reason == "the interval is wider than a factor of 1,000"


def test_worst_group():
    given = samples([1.0, 5.0, 2.0, 2.5, np.nan], [9, 3, 3, 3, 3])
    owners = Molecules.of(["b", "b", "c", "a", "d"])
    assert worst_group(given, owners, card=ERROR) == ("a", 2.5)
    assert worst_group(given, owners, card=ROOT) == ("a", np.sqrt(2.5))
    assert worst_group(samples([0.5, -0.5]), molecules(2), card=COSINE) == ("m001", -0.5)
    assert worst_group(samples([1.0, 1.0]), molecules(2), card=ERROR).group == "m000"


def test_samples_of_other_structures_are_refused():
    with pytest.raises(DataError, match="3 samples, but the molecules of 2 structures"):
        estimate(samples([1.0] * 3), molecules(2), card=ERROR)
    with pytest.raises(DataError, match="to keep"):
        paired(samples([1.0] * 3), samples([1.0] * 2), molecules(3), card=ERROR)
