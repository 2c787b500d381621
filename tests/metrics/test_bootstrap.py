import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_batches import molecules, samples

from mlffbench.core.errors import DataError
from mlffbench.metrics.bootstrap import estimate, gap, paired, worst_group
from mlffbench.metrics.interval import expanded_spread
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.metrics.molecules import Molecules, sum_molecules
from mlffbench.metrics.resampling import draw_counts, resample

ERROR = MetricCard(unit="eV/Å")
ROOT = MetricCard(unit="eV/Å", reduce="root-mean")
COSINE = MetricCard(unit="1", better="higher", bounds=(-1.0, 1.0))
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


def loop(given, groups, drawn: list[list[str]], root: bool = False) -> np.ndarray:
    """The oracle: every resample as an explicit list of structures."""
    found = []
    for draw in drawn:
        numerator = denominator = 0.0
        for key in draw:
            for row, group in enumerate(groups):
                if group == key and given.weight[row] > 0:
                    numerator += given.weight[row] * given.value[row]
                    denominator += given.weight[row]
        found.append(numerator / denominator if denominator else np.nan)
    return np.sqrt(found) if root else np.array(found)


def drawn_keys(keys: list[str], stream: int = 0) -> list[list[str]]:
    counts = draw_counts(len(keys), seed=0, stream=stream)
    return [
        [k for k, c in zip(keys, row, strict=True) for _ in range(c)] for row in counts
    ]


def expanded(resampled: np.ndarray, n: int) -> list[float]:
    level = scipy.stats.norm.cdf(-expanded_spread(n))
    return np.quantile(resampled, [level, 1 - level]).tolist()


@pytest.mark.parametrize("card", [ERROR, ROOT])
def test_estimate_is_the_explicit_loop(card):
    given, groups = random_samples(1)
    found = estimate(given, Molecules.of(groups), card=card)
    root = card.reduce == "root-mean"
    keys = sorted(set(groups))
    assert found.value == pytest.approx(loop(given, groups, [keys], root)[0], rel=1e-14)
    resampled = loop(given, groups, drawn_keys(keys), root)
    assert [found.low, found.high] == pytest.approx(expanded(resampled, 8), rel=1e-12)
    assert found.standard_error == pytest.approx(resampled.std(ddof=1), rel=1e-12)
    assert (found.n, found.n_molecules, found.unit) == (len(groups), 8, "eV/Å")


def test_paired_is_the_explicit_loop_over_shared_structures():
    a, groups = random_samples(2)
    b, _ = random_samples(2)
    rng = np.random.default_rng(0)
    a, b = (
        given.where(rng.random(len(groups)) > 0.2)
        for given in (a, samples(b.value * rng.lognormal(size=len(groups)), b.weight))
    )
    shared = a.evaluated & b.evaluated
    keys = sorted({group for group, keep in zip(groups, shared, strict=True) if keep})
    found = paired(a, b, Molecules.of(groups), card=ERROR)
    draws = drawn_keys(keys)
    loops = [loop(given.where(shared), groups, draws) for given in (a, b)]
    whole = [loop(given.where(shared), groups, [keys])[0] for given in (a, b)]
    n = len(keys)
    assert found.difference.value == pytest.approx(whole[0] - whole[1], rel=1e-12)
    ends = [found.difference.low, found.difference.high]
    assert ends == pytest.approx(expanded(loops[0] - loops[1], n), rel=1e-10)
    assert found.ratio.value == pytest.approx(whole[0] / whole[1], rel=1e-13)
    ends = [found.ratio.low, found.ratio.high]
    assert ends == pytest.approx(expanded(loops[0] / loops[1], n), rel=1e-4)
    assert found.ratio.standard_error == pytest.approx(
        (loops[0] / loops[1]).std(ddof=1), rel=1e-10
    )
    assert (found.difference.n, found.difference.n_molecules) == (shared.sum(), n)
    assert found.ratio.unit == "1"


def test_gap_of_disjoint_sets_is_two_explicit_loops():
    (a, groups_a), (b, groups_b) = random_samples(3, 6, "a"), random_samples(4, 9, "b")
    found = gap(a, Molecules.of(groups_a), b, Molecules.of(groups_b), card=ERROR)
    this = loop(a, groups_a, drawn_keys(sorted(set(groups_a))))
    other = loop(b, groups_b, drawn_keys(sorted(set(groups_b)), stream=1))
    ends = [found.difference.low, found.difference.high]
    assert ends == pytest.approx(expanded(this - other, 6), rel=1e-10)
    assert found.difference.n == len(groups_a) + len(groups_b)
    assert found.difference.n_molecules == 15


def test_two_sets_of_equal_number_are_drawn_independently():
    one, other = draw_counts(50, seed=0), draw_counts(50, seed=0, stream=1)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02


def test_gap_of_overlapping_sets_is_one_explicit_loop():
    (a, groups_a), (b, groups_b) = random_samples(5, 5), random_samples(6, 9)
    assert set(groups_a) < set(groups_b)
    found = gap(a, Molecules.of(groups_a), b, Molecules.of(groups_b), card=ERROR)
    draws = drawn_keys(sorted({*groups_a, *groups_b}))
    difference = loop(a, groups_a, draws) - loop(b, groups_b, draws)
    kept = difference[np.isfinite(difference)]
    assert 0 < len(difference) - len(kept) < 50  # (4/9)⁹ · 2000 ≈ 1.4 expected
    ends = [found.difference.low, found.difference.high]
    assert ends == pytest.approx(expanded(kept, 5), rel=1e-10)
    assert found.difference.n_molecules == 9


def test_shared_molecules_move_together():
    given, groups = random_samples(7, 10)
    doubled = samples(2 * given.value, given.weight)
    found = gap(doubled, Molecules.of(groups), given, Molecules.of(groups), card=ERROR)
    assert found.ratio.low == pytest.approx(2, rel=1e-12)
    assert found.ratio.high == pytest.approx(2, rel=1e-12)
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
    assert (four.value, four.low, four.high) == (4 * one.value, 4 * one.low, 4 * one.high)
    assert one.low <= one.value <= one.high


def test_plain_mean_agrees_with_scipy():
    rng = np.random.default_rng(8)
    data = rng.lognormal(size=30)
    resampled = resample(draw_counts(30, seed=0), data[:, None])[:, 0] / 30
    theirs = scipy.stats.bootstrap(
        (data,), np.mean, method="percentile", n_resamples=20_000, random_state=rng
    )
    ours = np.quantile(resampled, [0.025, 0.975])
    assert ours.tolist() == pytest.approx(theirs.confidence_interval, rel=0.03)
    assert resampled.std(ddof=1) == pytest.approx(theirs.standard_error, rel=0.05)
    found = estimate(samples(data), molecules(30), card=ERROR)
    assert found.low < ours[0] < ours[1] < found.high  # expanded


def test_frames_of_one_molecule_are_not_independent():
    rng = np.random.default_rng(9)
    levels = rng.lognormal(size=6)
    data = samples(np.repeat(levels, 100))
    whole = estimate(data, Molecules.of([f"m{i // 100}" for i in range(600)]), card=ERROR)
    frames = estimate(data, molecules(600), card=ERROR)
    assert whole.value == pytest.approx(frames.value, rel=1e-14)
    assert whole.high - whole.low > 5 * (frames.high - frames.low)


def test_seed_decides_and_is_all_that_does():
    given, groups = random_samples(10)
    found = [estimate(given, Molecules.of(groups), card=ERROR, seed=s) for s in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[0].value == found[2].value
    assert found[0].low != found[2].low


def test_counts_are_multinomial_and_read_only():
    counts = draw_counts(7, seed=3)
    assert counts.shape == (2000, 7)
    assert (counts.sum(axis=1, dtype=int) == 7).all()
    assert counts.mean() == 1
    assert counts.var() == pytest.approx(6 / 7, rel=0.05)
    assert draw_counts(7, seed=3) is counts
    with pytest.raises(ValueError, match="read-only"):
        counts[0, 0] = 1


def test_chunks_of_a_large_set_add_up():
    sums = np.random.default_rng(0).normal(size=(5000, 2))
    counts = draw_counts(5000, seed=0)
    found = resample(counts, sums)
    np.testing.assert_allclose(found[[0, -1]], counts[[0, -1]].astype(float) @ sums)


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


def test_one_molecule_has_a_value_but_no_interval():
    given, owners = samples([1.0, 2.0]), Molecules.of(["a", "a"])
    found = estimate(given, owners, card=ERROR)
    assert (found.value, found.n, found.n_molecules) == (1.5, 2, 1)
    assert found.low is found.high is found.standard_error is None
    for comparison in (
        paired(given, given, owners, card=ERROR),
        gap(given, owners, samples([1.0] * 9), molecules(9), card=ERROR),
        gap(samples([1.0] * 9), molecules(9), given, owners, card=ERROR),
    ):
        assert comparison.verdict == "undecided"
        assert comparison.difference.low is None
        assert comparison.ratio.low is None


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


def test_ratio_needs_a_true_zero_and_something_to_divide_by():
    zero, one, owners = samples([0.0] * 8), samples(np.arange(1.0, 9.0)), molecules(8)
    assert paired(one, zero, owners, card=ERROR).ratio is None
    assert paired(one, one, owners, card=COSINE).ratio is None
    nothing = paired(zero, one, owners, card=ERROR)
    assert nothing.ratio.value == 0
    assert nothing.ratio.low is None
    assert nothing.verdict == "better"


def test_a_ratio_beyond_floating_point_has_no_interval():
    huge, tiny = samples([1.0, 1e-280]), samples([1e-250, 1.0])
    found = paired(huge, tiny, molecules(2), card=ERROR)
    assert found.ratio.low is None
    assert found.difference.low is not None


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
