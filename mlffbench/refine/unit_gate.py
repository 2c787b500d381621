"""UnitGate: whether a unit is far enough from training for a repair, and who says so.

A high loss has two causes: the representation is off, which is to be repaired, or only
the prior head is. In the first case the model is clearly further from the prior than the
head, or it is further from it than on training molecules and errs the way its head does.
Where it is neither, the head is no guide. Nor is a head that hardly knows the prior on
training molecules, nor a prior that is far from the model there, where it is right.
"""

import math
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
START, START_GAP = 0.97, 0.9
"""Shares of molecules like those of training that are left alone: by loss, by gap."""
TRUST = 0.8
"""A prior head whose loss is below this share of the gap may be followed anyway."""
ALIKE = 0.2
"""Cosine between the differences of head and model from the prior above which a head
that is no nearer to the prior than that says what is wrong with the model."""
HEAD_SHARE = 0.5
"""A head whose typical loss on training molecules is above this share of the model's
typical gap there is never followed."""
PRIOR_SHARE = 0.33
"""A prior from which the model is further on training molecules than this share of its
typical force there is never followed."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class UnitGate:
    """Losses and gaps of some structures against those of training; see `PriorLevel`.

    Attributes:
        structures: The structures.
        losses: Shape (n_atoms,), in eV/Å; NaN where the prior has no forces.
        gaps: Shape (n_atoms,), in eV/Å.
        products: Shape (n_atoms,), scalar products of the differences of head and model
            from the prior, in (eV/Å)².
        forces: Shape (n_atoms,), norms of the prior's forces in eV/Å.
        level: What training molecules have.
        start: Share of them that has no higher loss than is left alone.
        start_gap: The same for the gap.
    """

    structures: Structures
    losses: Tensor
    gaps: Tensor
    products: Tensor
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
        found = model.predict(structures).forces
        wanted = targets.double().cpu()
        apart = [one.detach().double().cpu() - wanted for one in (head, found)]
        return cls(
            structures=structures,
            losses=atom_errors(head, targets),
            gaps=atom_errors(found, targets),
            products=(apart[0] * apart[1]).sum(1),
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
        if loss <= most_loss:
            return (
                f"the prior loss of {loss:.3f} eV/Å is as on training molecules "
                f"(up to {most_loss:.3f})"
            )
        return self._no_guide(places, loss, gap)

    def _no_guide(self, places: Sequence[int], loss: float, gap: float) -> str:
        """Return why head or prior is not to be followed, empty where they guide."""
        share = self.level.head_share
        if share > HEAD_SHARE:
            return (
                f"on training molecules the prior head is {share:.2f} times as far from "
                f"the prior as the model is, above {HEAD_SHARE:g}: the head is no guide"
            )
        share = self.level.prior_share
        if share > PRIOR_SHARE:
            return (
                f"on training molecules the model is {share:.2f} times the prior's force "
                f"away from the prior, above {PRIOR_SHARE:g}: the prior is no guide"
            )
        if loss < TRUST * gap:
            return ""
        most_gap, alike = self.gap_at(self.start_gap, places), self.alike(places)
        apart = f"the prior head is {loss:.3f} eV/Å from the prior, the model {gap:.3f}"
        if gap <= most_gap:
            return (
                f"{apart}, as on training molecules (up to {most_gap:.3f}): the head is "
                "no guide"
            )
        if alike <= ALIKE:
            return (
                f"{apart}, each in a way of its own (cosine {alike:.2f}): the head is no "
                "guide"
            )
        return ""

    def alike(self, places: Sequence[int]) -> float:
        """Return the cosine between the differences of head and model from the prior.

        Args:
            places: Structures that the prior could compute.
        """
        squares = [
            float((rows_of(one, self.structures, places) ** 2).sum())
            for one in (self.losses, self.gaps)
        ]
        product = float(rows_of(self.products, self.structures, places).sum())
        size = math.sqrt(squares[0] * squares[1])
        return product / size if size else 0.0

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
            of_training = (f"{name}_of_training" for name in names)
            return dict.fromkeys([*names, *of_training, "prior_alike"], None)
        loss, gap = self._mean(self.losses, places), self._mean(self.gaps, places)
        return {
            "prior_loss": loss if loss >= 0 else None,
            "prior_loss_of_training": self.loss_at(self.start, places),
            "prior_gap": gap if gap >= 0 else None,
            "prior_gap_of_training": self.gap_at(self.start_gap, places),
            "prior_alike": self.alike(places) if loss >= 0 and gap >= 0 else None,
        }

    def _mean(self, values: Tensor, places: Sequence[int]) -> float:
        return float(rows_of(values, self.structures, places).mean())
