"""How often a 95 % interval over molecules holds the truth: the table of methods.md.

Run ``python docs/coverage.py`` (a few minutes on one core). Sets of molecules are
drawn from populations whose mean is known; every method judges the same sets.

- *lognormal σ*: errors of molecules with that standard deviation of their logarithm.
- *one in 20*: σ 0.4, and one molecule in 20 is ten times as wrong.
- *mixture*: σ 0.4, and three molecules in ten are six times as wrong.
- *gamma*: shape 2, a tail of small errors that no lognormal has.
- *suite*: the force errors of two shipped models per molecule of mini-ood
  (``coverage_errors.csv``), each over the mean of its split, drawn with replacement.

``one`` molecule of one size each, or ``many``: 1 to 50 conformers of 5 to 25 atoms, which
counts as weight; errors of conformers scatter by 30 % around that of their molecule.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from mlffbench.metrics.intervals.interval import expanded_spread
from mlffbench.metrics.intervals.resampling import draw_counts
from mlffbench.metrics.intervals.spread import (
    FEWEST,
    Spread,
    difference_ends,
    spread_of_gap,
    spread_of_mean,
    spread_of_pair,
)

Floats = NDArray[np.float64]
Ends = tuple[Floats, Floats]
SIZES = (5, 7, 10, 20, 30, 100)
WITHIN = 0.3
"""Standard deviation of the logarithm over the conformers of one molecule."""
RESAMPLES = 1000
ERRORS = Path(__file__).with_name("coverage_errors.csv")


class Sets(NamedTuple):
    """Sets of molecules; truth: the mean that each is drawn from.

    Attributes:
        this: Shape (n_sets, n, 2), Σ w·v and Σ w of each molecule.
        other: The same for a second mode on the same molecules, of the same mean.
        conformers: Shape (n_sets, n).
        truth: Mean of both.
    """

    this: Floats
    other: Floats
    conformers: Floats
    truth: float


Population = Callable[[np.random.Generator, tuple[int, int]], tuple[Floats, float]]


def lognormal(sigma: float) -> Population:
    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, float]:
        return rng.lognormal(-(sigma**2) / 2, sigma, size=shape), 1.0

    return draw


def contaminated(share: float, factor: float) -> Population:
    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, float]:
        plain, _ = lognormal(0.4)(rng, shape)
        worse = np.where(rng.random(shape) < share, factor, 1.0)
        return plain * worse, 1 + share * (factor - 1)

    return draw


def gamma(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, float]:
    return rng.gamma(2, 0.5, size=shape), 1.0


POPULATIONS: dict[str, Population] = {
    **{f"lognormal {sigma}": lognormal(sigma) for sigma in (0.3, 0.6, 1.0, 1.3, 1.5)},
    "one in 20": contaminated(0.05, 10),
    "mixture": contaminated(0.3, 6),
    "gamma": gamma,
}


def draw_sets(name: str, many: bool, n: int, n_sets: int, seed: int) -> Sets:
    """Return sets of a population, the second mode's ratio lognormal with σ 0.4."""
    rng = np.random.default_rng([seed, n, many, *name.encode()])
    shape = (n_sets, n)
    if name == "suite":
        return _suite_sets(rng, shape)
    level, truth = POPULATIONS[name](rng, shape)
    ratio, _ = lognormal(0.4)(rng, shape)
    conformers = np.ones(shape)
    weight = np.ones(shape)
    if many:
        conformers = rng.integers(1, 51, size=shape).astype(float)
        weight = 3.0 * conformers * rng.integers(5, 26, size=shape)
    noise = rng.normal(scale=WITHIN, size=(2, *shape)) / np.sqrt(conformers)
    this, other = (
        np.stack([weight * e, weight], axis=-1)
        for e in (level * np.exp(noise[0]), level * ratio * np.exp(noise[1]))
    )
    within = np.exp(WITHIN**2 / 2) if not many else _mean_of_noise()
    return Sets(this, other, conformers, truth * within)


def _mean_of_noise() -> float:
    """Return the weighted mean of the noise over 1 to 50 conformers."""
    n = np.arange(1, 51)
    return float((n * np.exp(WITHIN**2 / (2 * n))).sum() / n.sum())


def _suite_sets(rng: np.random.Generator, shape: tuple[int, int]) -> Sets:
    table = pd.read_csv(ERRORS)
    parts = []
    for _, rows in table.groupby(["model", "split"]):
        w = rows["components"].to_numpy(dtype=float)
        for mode in ("rr", "ttt", "gfn2_xtb"):
            pair = rows[["baseline", mode]].to_numpy()
            mean = (w[:, None] * pair).sum(axis=0) / w.sum()
            parts.append(np.column_stack([w, pair / mean]))
    pool = np.concatenate(parts)
    drawn = pool[rng.integers(len(pool), size=shape)]
    w = drawn[..., 0]
    this, other = (np.stack([w * drawn[..., k], w], axis=-1) for k in (1, 2))
    return Sets(this, other, np.ones(shape), 1.0)


# the methods: sums (n_sets, n, 2) -> ends of the interval of the mean


def mean_of(sums: Floats) -> Floats:
    found: Floats = sums[..., 0].sum(axis=-1) / sums[..., 1].sum(axis=-1)
    return found


def resampled(sums: Floats, stream: int = 0, power: int = 1) -> Floats:
    """Return Σ c·x over resamples for both columns: shape (n_sets, RESAMPLES, 2)."""
    counts = draw_counts(sums.shape[1], seed=1, stream=stream, n_resamples=RESAMPLES)
    found: Floats = np.einsum(
        "bn,snk->sbk", counts.astype(float), sums**power, optimize=True
    )
    return found


def expanded(value: Floats, drawn: Floats, n: int) -> Ends:
    """Return the percentile interval of the bootstrap, set by set."""
    spread = expanded_spread(n)
    level = float(ndtr(-spread))
    if level < max(1 / RESAMPLES, float(n) ** -n):
        half = spread * drawn.std(axis=1, ddof=1)
        return value - half, value + half
    low, high = np.quantile(drawn, [level, 1 - level], axis=1)
    return low, high


def today(sums: Floats) -> Ends:
    drawn = resampled(sums)
    low, high = expanded(mean_of(sums), drawn[..., 0] / drawn[..., 1], sums.shape[1])
    return np.maximum(low, 0), high


def hierarchical(sums: Floats, conformers: Floats) -> Ends:
    """Resample molecules, then their conformers (drawn as a normal number)."""
    rng = np.random.default_rng(2)
    drawn = resampled(sums)
    noise = (sums[..., 0] * WITHIN) ** 2 / conformers
    second = np.sqrt(resampled(np.stack([noise, noise], axis=-1))[..., 0])
    top = drawn[..., 0] + second * rng.normal(size=second.shape)
    low, high = expanded(mean_of(sums), top / drawn[..., 1], sums.shape[1])
    return np.maximum(low, 0), high


def student(sums: Floats) -> Ends:
    found = spread_of_mean(sums, log=False)
    return found.centre - found.reach, found.centre + found.reach


def log_jackknife(sums: Floats) -> Ends:
    n, mean = sums.shape[1], mean_of(sums)
    shares = [s / s.sum(axis=1, keepdims=True) for s in (sums[..., 0], sums[..., 1])]
    moved = np.log1p(-shares[0]) - np.log1p(-shares[1])
    half = stdtrit(n - 1, 0.975) * np.sqrt((n - 1) / n * (moved**2).sum(axis=1))
    return mean * np.exp(-half), mean * np.exp(half)


def _logs(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean and variance of the logarithms, and Kish's n."""
    w = sums[..., 1] / sums[..., 1].sum(axis=1, keepdims=True)
    x = np.log(sums[..., 0] / sums[..., 1])
    middle, n = (w * x).sum(axis=1), 1 / (w**2).sum(axis=1)
    return middle, (w * (x - middle[:, None]) ** 2).sum(axis=1) * n / (n - 1), n


def cox(sums: Floats) -> Ends:
    """Modified Cox: of a lognormal's mean, centred where a lognormal has it."""
    middle, s2, n = _logs(sums)
    half = stdtrit(n - 1, 0.975) * np.sqrt(s2 / n + s2**2 / (2 * (n - 1)))
    return np.exp(middle + s2 / 2 - half), np.exp(middle + s2 / 2 + half)


def generalised(sums: Floats) -> Ends:
    """Generalised interval of a lognormal's mean (Krishnamoorthy & Mathew 2003)."""
    rng = np.random.default_rng(3)
    middle, s2, n = (x[:, None] for x in _logs(sums))
    u = rng.chisquare(n - 1, size=(len(middle), RESAMPLES))
    variance = (n - 1) * s2 / u
    found = middle + rng.normal(size=u.shape) * np.sqrt(variance / n) + variance / 2
    with np.errstate(over="ignore"):
        low, high = np.exp(np.quantile(found, [0.025, 0.975], axis=1))
    return low, high


def studentised(sums: Floats) -> Ends:
    """Bootstrap t of the logarithm of the mean."""
    mean, first = mean_of(sums), resampled(sums)
    top, bottom = first[..., 0], first[..., 1]
    again = top / bottom
    cross = resampled(np.stack([sums[..., 0] * sums[..., 1], sums[..., 0]], axis=-1))
    second = resampled(sums, power=2)
    square = second[..., 0] - 2 * again * cross[..., 0] + again**2 * second[..., 1]
    error = np.sqrt(np.maximum(square, 0)) / top
    weight = sums[..., 1]
    own = np.sqrt(((sums[..., 0] - mean[:, None] * weight) ** 2).sum(axis=1))
    own = own / sums[..., 0].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.log(again / mean[:, None]) / error
    t = np.nan_to_num(t, nan=0.0, posinf=1e9, neginf=-1e9)
    low, high = np.quantile(t, [0.025, 0.975], axis=1)
    with np.errstate(over="ignore"):
        return mean * np.exp(-high * own), mean * np.exp(-low * own)


def bca(sums: Floats) -> Ends:
    """Bias-corrected and accelerated percentiles (Efron 1987)."""
    mean, drawn = mean_of(sums), resampled(sums)
    values = np.sort(drawn[..., 0] / drawn[..., 1], axis=1)
    below = (values < mean[:, None]).mean(axis=1)
    bias = ndtri(np.clip(below, 1 / RESAMPLES, 1 - 1 / RESAMPLES))
    whole = sums.sum(axis=1, keepdims=True) - sums
    left = whole[..., 0] / whole[..., 1]
    away = left.mean(axis=1, keepdims=True) - left
    pace = (away**3).sum(axis=1) / (6 * (away**2).sum(axis=1) ** 1.5)
    ends = []
    for z in (-1.959964, 1.959964):
        level = ndtr(bias + (bias + z) / (1 - pace * (bias + z)))
        row = np.clip((level * RESAMPLES).astype(int), 0, RESAMPLES - 1)
        ends.append(np.take_along_axis(values, row[:, None], axis=1)[:, 0])
    return ends[0], ends[1]


def ours(sums: Floats) -> Ends:
    found = spread_of_mean(sums, log=True)
    return np.exp(found.centre - found.reach), np.exp(found.centre + found.reach)


# what is judged


def covered(ends: Ends, truth: float) -> float:
    return 100 * float(((ends[0] <= truth) & (truth <= ends[1])).mean())


def hits(found: Spread, truth: float = 1.0) -> float:
    return covered(
        (np.exp(found.centre - found.reach), np.exp(found.centre + found.reach)), truth
    )


def percentile_pair(a: Floats, b: Floats, *, apart: bool) -> tuple[Ends, Ends]:
    """Return today's intervals of the difference and of the ratio."""
    drawn = [resampled(a), resampled(b, stream=1 if apart else 0)]
    x, y = (one[..., 0] / one[..., 1] for one in drawn)
    n = min(a.shape[1], b.shape[1])
    difference = expanded(mean_of(a) - mean_of(b), x - y, n)
    low, high = expanded(np.log(mean_of(a) / mean_of(b)), np.log(x / y), n)
    return difference, (np.exp(low), np.exp(high))


def differences(a: Floats, b: Floats, found: Spread) -> Ends:
    """Return the ends of the difference that belong to a ratio, set by set."""
    ends = []
    one, two = spread_of_mean(a, log=True), spread_of_mean(b, log=True)
    for row in range(len(a)):
        parts = [Spread(*(np.asarray(x[row]) for x in s)) for s in (one, two, found)]
        ends.append(difference_ends(*parts, log=True))
    low, high = np.asarray(ends).T
    return low, high


def sign_test(a: Floats, b: Floats) -> float:
    """Return the false verdicts of the exact sign test of the molecules' ratios, in %."""
    n = a.shape[1]
    ups = (a[..., 0] > b[..., 0]).sum(axis=1)
    steps = np.cumsum(np.r_[1, np.cumprod((n - np.arange(n)) / (np.arange(n) + 1))])
    p = 2 * steps[np.minimum(ups, n - ups)] / 2.0**n
    return 100 * float((p < 0.05).mean())


def permutation_test(a: Floats, b: Floats) -> float:
    """Return the false verdicts of a test that swaps the modes of molecules, in %."""
    rng = np.random.default_rng(4)
    moved = a[..., 0] - b[..., 0]
    signs = rng.choice([-1.0, 1.0], size=(RESAMPLES, a.shape[1]))
    null = np.abs(moved @ signs.T)
    p = (null >= np.abs(moved.sum(axis=1))[:, None] * (1 - 1e-9)).mean(axis=1)
    return 100 * float((p < 0.05).mean())


METHODS: dict[str, Callable[[Floats], Ends]] = {
    "expanded percentile (before)": today,
    "Student": student,
    "jackknife of the log": log_jackknife,
    "bootstrap t of the log": studentised,
    "BCa": bca,
    "modified Cox": cox,
    "generalised lognormal": generalised,
    "ours": ours,
}


def cases() -> Iterator[tuple[str, bool]]:
    for name in POPULATIONS:
        yield name, False
        yield name, True
    yield "suite", True


def methods_table(n_sets: int) -> Iterator[str]:
    """Yield the least, mean and largest coverage of each method over the populations.

    After the bar: the population of which one molecule in 20 is ten times as wrong.
    """
    yield "| method | n = 5 | 10 | 30 | 100 |"
    yield "|---|---:|---:|---:|---:|"
    for name, method in [*METHODS.items(), ("hierarchical", None)]:
        cells = []
        for n in (5, 10, 30, 100):
            found: dict[bool, list[float]] = {True: [], False: []}
            for population, many in cases():
                sets = draw_sets(population, many, n, n_sets, 0)
                ends = (
                    hierarchical(sets.this, sets.conformers)
                    if method is None
                    else method(sets.this)
                )
                found[population == "one in 20"].append(covered(ends, sets.truth))
            most, rare = found[False], np.mean(found[True])
            span = f"{min(most):.0f}–{max(most):.0f}"
            cells.append(f"{span} ({np.mean(most):.0f}) / {rare:.0f}")
        yield f"| {name} | " + " | ".join(cells) + " |"


def coverage_table(what: str, n_sets: int) -> Iterator[str]:
    """Yield before → after of one quantity, population by population."""
    yield (
        f"| {what}: population | conformers | "
        + " | ".join(f"n = {n}" for n in SIZES)
        + " |"
    )
    yield "|---|---|" + "---:|" * len(SIZES)
    for population, many in cases():
        cells = []
        for n in SIZES:
            sets = draw_sets(population, many, n, n_sets, 0)
            more = draw_sets(population, many, max(n, 10), n_sets, 1)
            cells.append(COLUMNS[what](sets, more))
        yield (
            f"| {population} | {'many' if many else 'one'} | " + " | ".join(cells) + " |"
        )


def _mean(sets: Sets, _: Sets) -> str:
    old, new = today(sets.this), ours(sets.this)
    return f"{covered(old, sets.truth):.0f} → {covered(new, sets.truth):.0f}"


def _gap(sets: Sets, more: Sets) -> str:
    _, old = percentile_pair(sets.this, more.this, apart=True)
    new = hits(spread_of_gap(sets.this, more.this, log=True))
    return f"{covered(old, 1.0):.0f} → {new:.0f}"


def _paired(sets: Sets, _: Sets) -> str:
    _, old = percentile_pair(sets.other, sets.this, apart=False)
    new = hits(spread_of_pair(sets.other, sets.this, log=True))
    return f"{covered(old, 1.0):.0f} → {new:.0f}"


def _difference(sets: Sets, more: Sets) -> str:
    three = more.this * np.array([3.0, 1.0])  # three times as wrong out of distribution
    n = sets.this.shape[1]
    three = three[:, :n]
    old, _ = percentile_pair(three, sets.this, apart=True)
    found = spread_of_gap(three, sets.this, log=True)
    new = differences(three, sets.this, found)
    truth = 2 * sets.truth
    return f"{covered(old, truth):.0f} → {covered(new, truth):.0f}"


COLUMNS: dict[str, Callable[[Sets, Sets], str]] = {
    "mean": _mean,
    "ratio to ID (≥ 10 molecules)": _gap,
    "paired ratio": _paired,
    "difference of a threefold error": _difference,
}


def verdict_table(n_sets: int) -> Iterator[str]:
    """Yield false verdicts where nothing differs, and true ones where something does."""
    sizes = (5, 7, 10, 30)
    head = " | ".join(f"n = {n}" for n in sizes)
    yield f"| verdicts, % | {head} |"
    yield "|---|" + "---:|" * len(sizes)
    rows: dict[str, list[str]] = {}
    for n in sizes:
        found: dict[str, list[float]] = {}
        for population, many in cases():
            sets = draw_sets(population, many, n, n_sets, 0)
            more = draw_sets(population, many, max(n, 10), n_sets, 1)
            for name, rate in _rates(sets, more).items():
                found.setdefault(name, []).append(rate)
        for name, rates in found.items():
            rows.setdefault(name, []).append(f"{np.mean(rates):.1f} (≤ {max(rates):.0f})")
    for name, cells in rows.items():
        yield f"| {name} | " + " | ".join(cells) + " |"


def _rates(sets: Sets, more: Sets) -> dict[str, float]:
    a, b = sets.other, sets.this
    less, larger = a * np.array([0.5, 1.0]), more.this * np.array([3.0, 1.0])
    larger = larger[:, : b.shape[1]]
    pair, gap = spread_of_pair(a, b, log=True), spread_of_gap(b, more.this, log=True)
    old = percentile_pair(a, b, apart=False)[0]
    old_gap = percentile_pair(b, more.this, apart=True)[0]
    half = spread_of_pair(less, b, log=True)
    three = spread_of_gap(larger, b, log=True)
    return {
        "false, paired: before": 100 - covered(old, 0.0),
        "false, paired: after": 100 - hits(pair),
        "false, paired: sign test": sign_test(a, b),
        "false, paired: permutation test": permutation_test(a, b),
        "false, to ID: before": 100 - covered(old_gap, 0.0),
        "false, to ID: after": 100 - hits(gap),
        "seen, half the error, paired: before": 100
        - covered(percentile_pair(less, b, apart=False)[0], 0.0),
        "seen, half the error, paired: after": 100 - hits(half),
        "seen, three times the error, to ID: before": 100
        - covered(percentile_pair(larger, b, apart=True)[0], 0.0),
        "seen, three times the error, to ID: after": 100 - hits(three),
    }


def contradictions(n_sets: int) -> str:
    """Return how often the interval of the difference and of the ratio disagree."""
    counted = np.zeros(3, dtype=int)
    for population, many in cases():
        for n in (5, 10):
            sets = draw_sets(population, many, n, n_sets, 0)
            for scale in (1.0, 0.7):
                a, b = sets.other * np.array([scale, 1.0]), sets.this
                old = percentile_pair(a, b, apart=False)
                found = spread_of_pair(a, b, log=True)
                ends = differences(a, b, found)
                ratio = found.centre - found.reach, found.centre + found.reach
                counted += [
                    len(a),
                    _disagree(old[0], tuple(map(np.log, old[1]))),
                    _disagree(ends, ratio),
                ]
    total, old, new = counted
    return f"Contradictions in {total:,} comparisons: before {old:,}, after {new:,}."


def _disagree(one: Ends, two: Ends) -> int:
    sides = [np.where(low > 0, 1, np.where(high < 0, -1, 0)) for low, high in (one, two)]
    return int((sides[0] != sides[1]).sum())


PARTS: dict[str, Callable[[int], list[Iterator[str]]]] = {
    "methods": lambda n: [methods_table(n)],
    "coverage": lambda n: [coverage_table(what, n) for what in COLUMNS],
    "verdicts": lambda n: [verdict_table(n), iter([contradictions(min(n, 200))])],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=1000, help="sets per cell")
    parser.add_argument("--part", choices=PARTS, help="one part; all if left out")
    given = parser.parse_args()
    print(f"{given.sets} sets per cell, fewest molecules {FEWEST}\n")
    for part in [given.part] if given.part else PARTS:
        for lines in PARTS[part](given.sets):
            for line in lines:
                print(line, flush=True)
            print(flush=True)


if __name__ == "__main__":
    main()
