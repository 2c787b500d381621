"""How stored numbers (eV, eV/Å) are shown to people."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mlffbench.core.record import Comparison, MetricValue
from mlffbench.core.units import KCAL_PER_MOL

UnitSystem = Literal["meV", "kcal"]
_MOST_DIGITS = 5
_LARGE = 10.0
_ROUNDING = 1e-9
"""A mean of atoms that all score −1 may differ from it in its last digits."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A unit as shown.

    Attributes:
        name: e.g. ``"meV/Å"``.
        factor: Stored value × factor = shown value.
    """

    name: str
    factor: float


def shown_unit(stored: str, system: UnitSystem) -> Shown:
    """Return how a stored unit is shown; units without an eV stay as they are."""
    if not stored.startswith("eV"):
        return Shown(stored, 1.0)
    rest = stored.removeprefix("eV")
    if system == "kcal":
        return Shown(f"kcal/mol{rest}", 1 / KCAL_PER_MOL)
    return Shown(f"meV{rest}", 1000.0)


def number(value: float) -> str:
    """Return three significant digits, thousands separated; a dash for no number.

    Example:
        >>> number(1234.5), number(12.345), number(0.8)
        ('1,234', '12.3', '0.800')
    """
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    if digits > _MOST_DIGITS:
        return f"{value:.3g}"
    return f"{value:,.{max(digits, 0)}f}"


def factor(value: float) -> str:
    """Return a ratio with as many digits as tell it from 1.

    Example:
        >>> factor(0.98765), factor(0.9996), factor(1.0)
        ('0.988', '0.9996', '1.00')
    """
    text = number(value)
    for digits in range(3, _MOST_DIGITS + 2):
        if value == 1 or float(text.replace(",", "") if value < _LARGE else "0") != 1:
            return text
        text = f"{value:.{digits}f}"
    return text


def with_interval(metric: MetricValue | None, system: UnitSystem = "meV") -> str:
    """Return ``value [low, high]`` in shown units; a dash when there is no value.

    Where molecules are too few for an interval, their range stands in round brackets.
    """
    if metric is None:
        return "–"
    scale = shown_unit(metric.unit, system).factor
    return _spelled(metric, lambda value: number(value * scale))


def _spelled(metric: MetricValue, spell: Callable[[float], str]) -> str:
    text = spell(metric.value)
    if metric.low is not None and metric.high is not None:
        return f"{text} [{spell(metric.low)}, {spell(metric.high)}]"
    if metric.lowest is not None and metric.highest is not None:
        return f"{text} ({spell(metric.lowest)} to {spell(metric.highest)})"
    return text


def cosine_with_interval(metric: MetricValue | None) -> str:
    """Return a mean cosine; a dash where the predicted forces have no direction."""
    if metric is not None and metric.value <= -1 + _ROUNDING:
        return "–"
    return with_interval(metric)


def percent_with_interval(metric: MetricValue | None) -> str:
    """Return a share as ``value [low, high]`` in percent; a dash when there is none."""
    if metric is None:
        return "–"
    if metric.low is None or metric.high is None:
        return str(round(100 * metric.value))
    # whole numbers: no "-0" as text of floats would have
    low, high = round(100 * metric.low), round(100 * metric.high)
    return f"{round(100 * metric.value)} [{low}, {high}]"


def ratio_with_interval(comparison: Comparison | None) -> str:
    """Return ``×ratio [low, high]``; a dash when there is none."""
    if comparison is None or comparison.ratio is None:
        return "–"
    return f"×{_spelled(comparison.ratio, factor)}"
