"""What is known of a metric without computing it."""

import math
from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher"]
Reduce = Literal["mean", "root-mean"]
Energies = Literal["raw", "aligned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricCard:
    """How a metric's samples become one number, and how to read it.

    Attributes:
        unit: Unit of the number: ``"eV/Å"``, ``"eV/atom"`` or ``"1"``.
        better: Which direction is good.
        reduce: ``"mean"``: Σ w·v / Σ w; ``"root-mean"``: its square root.
        energies: Which predicted energies it reads: as they come, or E0-aligned; None
            when it reads forces only.
        headline: Whether it is a column of a table: of the energy table when it reads
            energies, else of the force table, which is the first of a report.
        label: Heading of that column, without unit; left out: the metric's name.
        bounds: Smallest and largest value it can take.
    """

    unit: str
    better: Better = "lower"
    reduce: Reduce = "mean"
    energies: Energies | None = None
    headline: bool = False
    label: str = ""
    bounds: tuple[float, float] = (0.0, math.inf)

    @property
    def has_ratio(self) -> bool:
        """Whether one value over another means something: never below zero."""
        return self.bounds[0] >= 0

    @property
    def _column(self) -> str:
        """Where a reader meets it, in words."""
        if not self.headline:
            return "no: records.jsonl and report --format csv hold it"
        table = "energy" if self.energies else "force"
        return f"a column of the {table} table (score --wide, report)"

    def rows(self) -> list[tuple[str, str]]:
        """Return (fact, value) pairs for people."""
        averages = {"mean": "weighted mean", "root-mean": "root of the weighted mean"}
        reads = "forces" if self.energies is None else f"{self.energies} energies"
        return [
            ("unit", self.unit if self.unit != "1" else "none"),
            ("better", self.better),
            ("average", averages[self.reduce]),
            ("reads", reads),
            ("in tables", self._column),
        ]
