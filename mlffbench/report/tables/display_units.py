"""How stored numbers (eV, eV/Å) are shown to people."""

import math
from dataclasses import dataclass
from typing import Literal

from mlffbench.core.record import Comparison, MetricValue
from mlffbench.core.units import KCAL_PER_MOL

UnitSystem = Literal["meV", "kcal"]
_MOST_DIGITS = 5


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
    """Return three significant digits, thousands separated.

    Example:
        >>> number(1234.5), number(12.345), number(0.8)
        ('1,234', '12.3', '0.800')
    """
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    if digits > _MOST_DIGITS:
        return f"{value:.3g}"
    return f"{value:,.{max(digits, 0)}f}"


def with_interval(metric: MetricValue | None, system: UnitSystem = "meV") -> str:
    """Return ``value [low, high]`` in shown units; a dash when there is no value."""
    if metric is None:
        return "–"
    factor = shown_unit(metric.unit, system).factor
    text = number(metric.value * factor)
    if metric.low is None or metric.high is None:
        return text
    return f"{text} [{number(metric.low * factor)}, {number(metric.high * factor)}]"


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
    return f"×{with_interval(comparison.ratio)}"
