"""The paper's rule for "out of distribution", beside ours in `mlffbench.datasets.shifts`.

Kreiman & Krishnapriyan in their answers to reviewers: a structure is out of distribution
where a quantity is more than one standard deviation from its mean over training, on
either side. The quantities are the mean atomic |F| and the connectivity, which their
figures give as the share of Laplacian eigenvalues in [0.9, 1.1]. Elements are new where
no training structure has them, as in ours.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlffbench.core.errors import DataError
from mlffbench.core.roles import ShiftKind
from mlffbench.core.spectrum import share_near_one
from mlffbench.core.structures import Structures
from mlffbench.datasets.shifts import Scores, mean_force_norm

N_DEVIATIONS = 1.0
"""Standard deviations from the training mean that are still in distribution."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation of a quantity over training; NaN where not known."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Scores) -> Self:
        """Return the spread of what is finite, dividing by the number of values."""
        known = values[np.isfinite(values)]
        if not len(known):
            return cls(float("nan"), float("nan"))
        return cls(float(known.mean()), float(known.std()))

    def outside(self, values: Scores) -> NDArray[np.bool_]:
        """Return where values are further than one deviation away; never where NaN."""
        away = np.abs(values - self.mean)
        return np.asarray(away > N_DEVIATIONS * self.deviation, dtype=np.bool_)

    @property
    def in_words(self) -> str:
        """The range that is in distribution."""
        low, high = self.mean - self.deviation, self.mean + self.deviation
        return f"{low:.4g} to {high:.4g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviationRule:
    """What a training set holds, as far as the paper's rule needs it.

    Attributes:
        elements: Atomic numbers that occur.
        force_norm: Of the mean atomic |F| in eV/Å.
        connectivity: Of the share of eigenvalues in [0.9, 1.1].
        cutoff: Radius of the graphs in Å.
    """

    elements: frozenset[int]
    force_norm: Spread
    connectivity: Spread
    cutoff: float

    @classmethod
    def of(
        cls, structures: Structures, forces: Tensor | None = None, cutoff: float = 5.0
    ) -> Self:
        """Return the rule of a training set.

        Args:
            structures: The training structures.
            forces: Shape (n_atoms, 3), their reference forces in eV/Å, if known.
            cutoff: Radius of the graphs, in Å.

        Raises:
            DataError: There is no structure, or ``forces`` has another shape.
        """
        if not structures.n_systems:
            raise DataError("a training set without structures has no mean to be far of")
        return cls(
            elements=frozenset(structures.numbers.tolist()),
            force_norm=Spread.of(mean_force_norm(structures, forces)),
            connectivity=Spread.of(share_near_one(structures, cutoff)),
            cutoff=cutoff,
        )

    def labels(
        self, structures: Structures, forces: Tensor | None = None
    ) -> list[frozenset[ShiftKind]]:
        """Return which shifts each structure carries; what is not known is none.

        Args:
            structures: Any structures, labelled or not.
            forces: Shape (n_atoms, 3), their reference forces in eV/Å, if known.

        Raises:
            DataError: ``forces`` has another shape.
        """
        found: dict[ShiftKind, list[bool]] = {
            "force_norm": self.force_norm.outside(
                mean_force_norm(structures, forces)
            ).tolist(),
            "connectivity": self.connectivity.outside(
                share_near_one(structures, self.cutoff)
            ).tolist(),
            "elements": [
                not set(part.tolist()) <= self.elements
                for part in torch.split(structures.numbers, structures.sizes.tolist())
            ],
        }
        return [
            frozenset(kind for kind, flags in found.items() if flags[place])
            for place in range(structures.n_systems)
        ]
