"""How stored numbers (eV, eV/Å) are shown to people."""

from dataclasses import dataclass
from typing import Literal

from mlffbench.core.record import Comparison, MetricValue
from mlffbench.core.units import KCAL_PER_MOL

UnitSystem = Literal["meV", "kcal"]
_BILLION = 1e9


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
    """Return three significant digits, without an exponent below a billion.

    Example:
        >>> number(1234.5), number(0.012345)
        ('1,234', '0.0123')
    """
    if value == 0 or abs(value) >= _BILLION:
        return f"{value:.3g}"
    digits = 2
    for power in (1, 10, 100):
        if abs(value) >= power:
            digits = {1: 2, 10: 1, 100: 0}[power]
    if abs(value) < 1:
        return f"{value:.3g}"
    return f"{value:,.{digits}f}"


def with_interval(metric: MetricValue | None, system: UnitSystem = "meV") -> str:
    """Return ``value [low, high]`` in shown units; a dash when there is no value."""
    if metric is None:
        return "–"
    factor = shown_unit(metric.unit, system).factor
    text = number(metric.value * factor)
    if metric.low is None or metric.high is None:
        return text
    return f"{text} [{number(metric.low * factor)}, {number(metric.high * factor)}]"


def ratio_with_interval(comparison: Comparison | None) -> str:
    """Return ``×ratio [low, high]``; a dash when there is none."""
    if comparison is None or comparison.ratio is None:
        return "–"
    return f"×{with_interval(comparison.ratio)}"
