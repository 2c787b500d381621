"""What is known of a diagnostic without measuring anything."""

from dataclasses import dataclass
from typing import Literal

Evidence = Literal[
    "reference", "prediction", "prior", "embedding", "descriptor", "graphs", "scan"
]
"""What a diagnostic may look at beside the structures themselves."""
Shifted = Literal["elements", "force_norm", "connectivity", "size", "charge", "spin"]

IN_WORDS: dict[Evidence, str] = {
    "reference": "reference labels",
    "prediction": "a model",
    "prior": "prior labels",
    "embedding": "a model with an embedding",
    "descriptor": "the extra [descriptor]",
    "graphs": "a cutoff",
    "scan": "--scans",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosticCard:
    """How to read a diagnostic.

    Attributes:
        label: What its axis is called.
        unit: ``"eV/Å"``, ``"eV"``, ``"e"`` or ``"1"``.
        needs: What it looks at beside the structures.
        kind: The kind of shift it measures; None for an alarm, which reacts to several.
        distance: Whether it is a distance from training, so that larger values are to
            warn; others, such as the number of atoms, may warn with low values too.
    """

    label: str
    unit: str = "1"
    needs: tuple[Evidence, ...] = ()
    kind: Shifted | None = None
    distance: bool = False

    @property
    def axis(self) -> str:
        """Label of the axis, with unit."""
        return self.label if self.unit == "1" else f"{self.label} ({self.unit})"

    @property
    def needs_in_words(self) -> str:
        """What it needs, for people."""
        return ", ".join(IN_WORDS[need] for need in self.needs) or "nothing"

    def rows(self) -> list[tuple[str, str]]:
        """Return (fact, value) pairs for people."""
        kind = self.kind.replace("_", " ") if self.kind else "any: it is an alarm"
        return [
            ("measures", self.label),
            ("unit", self.unit if self.unit != "1" else "none"),
            ("needs", self.needs_in_words),
            ("shift", kind),
        ]
