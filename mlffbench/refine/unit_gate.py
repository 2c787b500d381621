"""UnitGate: whether a unit is far enough from training for a repair, and who says so.

A high loss has two causes: the representation is off, which is to be repaired, or only
the prior head is. In the first case the model is further from the prior than it is on
training molecules, or at least clearly further from it than the head. Where it is
neither, the head is no guide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, cast

from torch import Tensor

from mlffbench.core.forcefield import ForceField, HasPriorHead
from mlffbench.core.structures import Structures
from mlffbench.refine.prior_level import PriorLevel, atom_errors
from mlffbench.refine.refiner import Fact
from mlffbench.refine.units import rows_of

Gate = Literal["training", "off"]
"""Whether only what is further from the prior than training molecules is refined."""
START, START_GAP = 0.98, 0.8
"""Shares of molecules like those of training that are left alone: by loss, by gap."""
TRUST = 0.8
"""A prior head whose loss is below this share of the gap may be followed anyway."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class UnitGate:
    """Losses and gaps of some structures against those of training; see `PriorLevel`.

    Attributes:
        structures: The structures.
        losses: Shape (n_atoms,), in eV/Å; NaN where the prior has no forces.
        gaps: Shape (n_atoms,), in eV/Å.
        most_loss: Highest mean loss in eV/Å that is as on training molecules.
        most_gap: Highest mean gap in eV/Å that is as on training molecules.
    """

    structures: Structures
    losses: Tensor
    gaps: Tensor
    most_loss: float
    most_gap: float

    @classmethod
    def of(
        cls,
        model: ForceField,
        structures: Structures,
        targets: Tensor,
        level: PriorLevel,
        *,
        start: float,
        start_gap: float,
    ) -> Self:
        """Return the gate of some structures.

        Args:
            model: With a prior head, unrefined.
            structures: The structures.
            targets: Shape (n_atoms, 3), the prior's forces in eV/Å.
            level: Of training molecules.
            start: Share of them that has no higher loss than is left alone.
            start_gap: The same for the gap.
        """
        head = cast("HasPriorHead", model).predict_prior(structures).forces
        return cls(
            structures=structures,
            losses=atom_errors(head, targets),
            gaps=atom_errors(model.predict(structures).forces, targets),
            most_loss=level.loss_at(start),
            most_gap=level.gap_at(start_gap),
        )

    def why_not(self, places: Sequence[int]) -> str:
        """Return why structures are left alone together, empty where they are not.

        Args:
            places: Structures that the prior could compute.
        """
        if not places:
            return ""
        loss, gap = self._means(places)
        if not loss >= 0:
            return "the prior head has no forces of it"
        if not gap >= 0:
            return "the model has no forces of it"
        if loss <= self.most_loss:
            return (
                f"the prior loss of {loss:.3f} eV/Å is as on training molecules "
                f"(up to {self.most_loss:.3f})"
            )
        if gap <= self.most_gap and loss >= TRUST * gap:
            return (
                f"the prior head is {loss:.3f} eV/Å from the prior, the model {gap:.3f}, "
                f"as on training molecules (up to {self.most_gap:.3f}): the head is no "
                "guide"
            )
        return ""

    def facts(self, places: Sequence[int]) -> dict[str, Fact]:
        """Return loss and gap of structures together, and what they are compared with."""
        loss, gap = self._means(places) if places else (float("nan"), float("nan"))
        return {
            "prior_loss": loss if loss >= 0 else None,
            "prior_loss_of_training": self.most_loss,
            "prior_gap": gap if gap >= 0 else None,
            "prior_gap_of_training": self.most_gap,
        }

    def _means(self, places: Sequence[int]) -> tuple[float, float]:
        loss, gap = (
            float(rows_of(values, self.structures, places).mean())
            for values in (self.losses, self.gaps)
        )
        return loss, gap
