"""Resampling: molecules drawn with replacement, as a matrix of counts."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

N_RESAMPLES = 2000
"""Resamples behind every interval."""
_CHUNK = 4_000_000
"""Counts converted to float64 at a time (32 MB)."""
_DRAWN_AT_ONCE = 50_000
"""Molecules drawn at a time: few enough to stay in the processor's cache."""


@lru_cache(maxsize=8)
def draw_counts(
    n_molecules: int, *, seed: int, stream: int = 0, n_resamples: int = N_RESAMPLES
) -> NDArray[np.uint8]:
    """Return how often each molecule occurs in each resample of n_molecules draws.

    Each row is a multinomial draw with equal probabilities. The same arguments give the
    same read-only matrix, so all metrics, modes and models of a split meet the same
    resamples; it is kept for the next call.

    Args:
        n_molecules: Molecules to draw from, and draws per resample.
        seed: Seed of the run.
        stream: Independent draws under one seed: 0, 1, …
        n_resamples: Rows.

    Returns:
        Shape (n_resamples, n_molecules). One byte each suffices: in a large set a count
        above 255 has a probability below 1/256!, in a small one it cannot occur.
    """
    generator = np.random.default_rng([seed, stream])
    counts = np.empty((n_resamples, n_molecules), dtype=np.uint8)
    step = max(1, _DRAWN_AT_ONCE // n_molecules)
    for start in range(0, n_resamples, step):
        rows = counts[start : start + step]
        draws = generator.integers(n_molecules, size=rows.shape)
        draws += n_molecules * np.arange(len(rows))[:, None]  # row by row, one count
        rows[:] = np.bincount(draws.ravel(), minlength=rows.size).reshape(rows.shape)
    counts.setflags(write=False)
    return counts


def resample(counts: NDArray[np.uint8], sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums over the molecules of each resample.

    Args:
        counts: Shape (n_resamples, n_molecules), from `draw_counts`.
        sums: Shape (n_molecules, n_columns), what each molecule contributes.

    Returns:
        Shape (n_resamples, n_columns).
    """
    step = max(1, _CHUNK // max(1, counts.shape[1]))
    parts = [
        counts[start : start + step].astype(np.float64) @ sums
        for start in range(0, len(counts), step)
    ]
    return np.concatenate(parts)
