"""UnitGate: whether a unit is far enough from training for a repair, and who says so.

A high loss has two causes: the representation is off, which is to be repaired, or only
the prior head is. In the first case the model is further from the prior than it is on
training molecules, or at least clearly further from it than the head. Where it is
neither, the head is no guide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, cast

import torch
from torch import Tensor

from mlffbench.core.forcefield import ForceField, HasPriorHead
from mlffbench.core.structures import Structures
from mlffbench.refine.prior_level import PriorLevel, atom_errors
from mlffbench.refine.refined_units import rows_of
from mlffbench.refine.refiner import Fact

Gate = Literal["training", "off"]
"""Whether only what is further from the prior than training molecules is refined."""
START, START_GAP = 0.95, 0.9
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
        forces: Shape (n_atoms,), norms of the prior's forces in eV/Å.
        level: What training molecules have.
        start: Share of them that has no higher loss than is left alone.
        start_gap: The same for the gap.
    """

    structures: Structures
    losses: Tensor
    gaps: Tensor
    forces: Tensor
    level: PriorLevel
    start: float
    start_gap: float

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
            level: What training molecules have.
            start: Share of them that has no higher loss than is left alone.
            start_gap: The same for the gap.
        """
        head = cast("HasPriorHead", model).predict_prior(structures).forces
        return cls(
            structures=structures,
            losses=atom_errors(head, targets),
            gaps=atom_errors(model.predict(structures).forces, targets),
            forces=atom_errors(targets, torch.zeros_like(targets)),
            level=level,
            start=start,
            start_gap=start_gap,
        )

    def why_not(self, places: Sequence[int]) -> str:
        """Return why structures are left alone together, empty where they are not.

        Args:
            places: Structures that the prior could compute.
        """
        if not places:
            return ""
        loss, gap = self._mean(self.losses, places), self._mean(self.gaps, places)
        if not loss >= 0:
            return "the prior head has no forces of it"
        if not gap >= 0:
            return "the model has no forces of it"
        most_loss = self.loss_at(self.start, places)
        most_gap = self.gap_at(self.start_gap, places)
        if loss <= most_loss:
            return (
                f"the prior loss of {loss:.3f} eV/Å is as on training molecules "
                f"(up to {most_loss:.3f})"
            )
        if gap <= most_gap and loss >= TRUST * gap:
            return (
                f"the prior head is {loss:.3f} eV/Å from the prior, the model {gap:.3f}, "
                f"as on training molecules (up to {most_gap:.3f}): the head is no guide"
            )
        return ""

    def loss_at(self, share: float, places: Sequence[int]) -> float:
        """Return the loss in eV/Å that a share of training molecules would stay below.

        Args:
            share: Of molecules like those of training, at forces like these.
            places: Structures that the prior could compute.
        """
        scale = self.level.scale_of(self._mean(self.forces, places))
        return self.level.loss_at(share) * scale

    def gap_at(self, share: float, places: Sequence[int]) -> float:
        """Return the gap in eV/Å; else as `loss_at`."""
        scale = self.level.gap_scale_of(self._mean(self.forces, places))
        return self.level.gap_at(share) * scale

    def facts(self, places: Sequence[int]) -> dict[str, Fact]:
        """Return loss and gap of structures together, and what they are compared with."""
        if not places:
            names = ("prior_loss", "prior_gap")
            return dict.fromkeys(
                [*names, *(f"{name}_of_training" for name in names)], None
            )
        loss, gap = self._mean(self.losses, places), self._mean(self.gaps, places)
        return {
            "prior_loss": loss if loss >= 0 else None,
            "prior_loss_of_training": self.loss_at(self.start, places),
            "prior_gap": gap if gap >= 0 else None,
            "prior_gap_of_training": self.gap_at(self.start_gap, places),
        }

    def _mean(self, values: Tensor, places: Sequence[int]) -> float:
        return float(rows_of(values, self.structures, places).mean())
