"""Curve points: the fine-tunings that a curve is made of."""

from dataclasses import dataclass
from typing import NoReturn

from mlffbench.core.errors import StoreError


@dataclass(frozen=True, slots=True)
class Point:
    """One fine-tuning: where it starts, with how many labels, which draw."""

    number: int
    mode: str
    size: int
    seed: int

    @property
    def rows(self) -> range:
        """As many as progress counts: one."""
        return range(1)


def given_up(point: Point, why: str) -> NoReturn:
    """Refuse to go on: a curve without a point would say something else.

    Raises:
        StoreError: Always.
    """
    msg = f"start {point.mode!r} with {point.size} labels, seed {point.seed}, cannot be "
    msg += (
        f"computed: {why}; give it more memory, and repeat the command with --workers 1"
    )
    raise StoreError(msg)
