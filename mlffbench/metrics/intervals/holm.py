"""Holm: p values that stay honest when many verdicts are looked at together."""

from collections.abc import Sequence


def adjust(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's adjusted p values; what has none keeps none.

    Whoever calls a difference where the adjusted value is below 0.05 calls a false one
    anywhere in the list with a probability of at most 5 % (Holm 1979, Scand. J. Statist.
    6, 65), however the comparisons depend on each other.

    Example:
        >>> adjust([0.01, None, 0.04])
        [0.02, None, 0.04]
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    found: list[float | None] = [None] * len(p_values)
    most = 0.0
    for rank, (p, place) in enumerate(order):
        most = max(most, min(1.0, (len(order) - rank) * p))
        found[place] = most
    return found
