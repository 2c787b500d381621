"""Shift labels: pure rules that say how a structure differs from a training set.

================  ==============================================================
label             a structure carries it when
================  ==============================================================
``elements``      it contains an element that no training structure contains
``force_norm``    its mean atomic |F| is above the 99th percentile of training
``connectivity``  its spectral distance to the mean training spectrum is above
                  the 99th percentile of the distances in training
``size``          it has more atoms than any training structure
``charge``        no training structure has its total charge
================  ==============================================================

A structure may carry several labels, or none. What cannot be judged, such as the
connectivity of a cell smaller than the cutoff, is no shift and is named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlffbench.core.errors import DataError
from mlffbench.core.roles import ShiftKind
from mlffbench.core.spectrum import SpectralReference, known_spectra, spectra
from mlffbench.core.structures import Structures

DEFAULT_CUTOFF = 5.0
"""Å: radius of the graphs whose spectra are compared, unless told otherwise."""
PERCENTILE = 99.0
"""Of training; a value above it is a shift."""
ROUNDING = 1e-9
"""A value must exceed its limit by more than this share of it to count as above."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftReference:
    """What a training set holds, as far as the rules need it.

    Attributes:
        n_structures: How many structures there were.
        elements: Atomic numbers that occur.
        charges: Total charges that occur, in e.
        max_atoms: Atoms of the largest structure.
        force_norm_p99: 99th percentile of the mean atomic |F|, in eV/Å; None where no
            forces are known, and then no structure is labelled by its forces.
        spectral: The mean spectrum, with its cutoff.
        spectral_p99: 99th percentile of the distances to the mean spectrum.
    """

    n_structures: int
    elements: frozenset[int]
    charges: frozenset[int]
    max_atoms: int
    force_norm_p99: float | None
    spectral: SpectralReference
    spectral_p99: float

    @classmethod
    def of(
        cls,
        structures: Structures,
        forces: Tensor | None = None,
        cutoff: float = DEFAULT_CUTOFF,
    ) -> Self:
        """Return the reference of a training set.

        Args:
            structures: The training structures.
            forces: Shape (n_atoms, 3), their reference forces in eV/Å, if known. NaN
                where one has none: it is left out of the percentile.
            cutoff: Radius of the graphs whose spectra are compared, in Å.

        Raises:
            DataError: There is no structure, or no graph of one, or ``forces`` has
                another shape.
        """
        known = known_spectra(structures, cutoff)
        if known.reasons and not known.rows:
            why = next(iter(known.reasons.values()))
            msg = f"no training structure has a radius graph: {why}"
            raise DataError(msg)
        spectral = SpectralReference.of(structures.select(known.rows), cutoff)
        distances: Scores = spectral.padded_l2(known.spectra)[0].cpu().numpy()
        return cls(
            n_structures=structures.n_systems,
            elements=frozenset(structures.numbers.tolist()),
            charges=frozenset(structures.charge.tolist()),
            max_atoms=int(structures.sizes.max()),
            force_norm_p99=percentile(mean_force_norm(structures, forces)),
            spectral=spectral,
            spectral_p99=percentile(distances) or 0.0,
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ShiftScores:
    """How far structures are from a training set, one number per rule and structure.

    Attributes:
        new_elements: Shape (n_systems,): how many elements training does not have.
        force_norm: Shape (n_systems,): mean atomic |F| in eV/Å; NaN where not known.
        spectral: Shape (n_systems,): ‖λ − λ̄‖₂ to the mean training spectrum; NaN for a
            structure without a graph.
        n_atoms: Shape (n_systems,): atoms.
        new_charge: Shape (n_systems,): 1 where training does not have the charge, else 0.
        reasons: Index of a structure -> why it has no graph.
    """

    new_elements: Scores
    force_norm: Scores
    spectral: Scores
    n_atoms: Scores
    new_charge: Scores
    reasons: Mapping[int, str] = field(default_factory=dict)

    def labels(self, reference: ShiftReference) -> list[frozenset[ShiftKind]]:
        """Return the labels of each structure."""
        limit = reference.force_norm_p99
        flags: dict[ShiftKind, NDArray[np.bool_]] = {
            "elements": self.new_elements > 0,
            "force_norm": above(self.force_norm, np.inf if limit is None else limit),
            "connectivity": above(self.spectral, reference.spectral_p99),
            "size": self.n_atoms > reference.max_atoms,
            "charge": self.new_charge > 0,
        }
        return [
            frozenset(kind for kind, flag in flags.items() if flag[i])
            for i in range(len(self.n_atoms))
        ]

    def unknown(self, reference: ShiftReference) -> dict[str, int]:
        """Return how many structures could not be judged, by the rules that need more."""
        without = int(np.isnan(self.force_norm).sum())
        return {
            "force_norm": (
                len(self.n_atoms) if reference.force_norm_p99 is None else without
            ),
            "connectivity": int(np.isnan(self.spectral).sum()),
        }


def shift_scores(
    structures: Structures, reference: ShiftReference, forces: Tensor | None = None
) -> ShiftScores:
    """Return how far structures are from a training set.

    Args:
        structures: Any structures, labelled or not.
        reference: What the training set holds.
        forces: Shape (n_atoms, 3), their reference forces in eV/Å, if known.

    Raises:
        DataError: ``forces`` has another shape.
    """
    known = known_spectra(structures, reference.spectral.cutoff)
    spectral = np.full(structures.n_systems, np.nan)
    spectral[list(known.rows)] = (
        reference.spectral.padded_l2(known.spectra)[0].double().cpu().numpy()
    )
    sizes = structures.sizes.tolist()
    ends = np.cumsum(sizes)[:-1].astype(np.int64)
    new = [
        len(set(numbers.tolist()) - reference.elements)
        for numbers in np.split(structures.numbers.cpu().numpy(), ends)
    ][: structures.n_systems]
    charges = structures.charge.tolist()
    return ShiftScores(
        new_elements=np.array(new, dtype=np.float64),
        force_norm=mean_force_norm(structures, forces),
        spectral=spectral,
        n_atoms=np.array(sizes, dtype=np.float64),
        new_charge=np.array([c not in reference.charges for c in charges], np.float64),
        reasons=known.reasons,
    )


def shift_labels(
    structures: Structures, reference: ShiftReference, forces: Tensor | None = None
) -> list[frozenset[ShiftKind]]:
    """Return which shifts each structure carries.

    Args:
        structures: Any structures, labelled or not.
        reference: What the training set holds.
        forces: Shape (n_atoms, 3), their reference forces in eV/Å; without them no
            structure is labelled ``force_norm``.

    Raises:
        DataError: ``forces`` has another shape, or a position is not finite.

    Example:
        >>> water = Structures.build(
        ...     [torch.eye(3)], [torch.tensor([8, 1, 1])], ids=["water"]
        ... )
        >>> thiol = Structures.build(
        ...     [torch.eye(3)], [torch.tensor([16, 1, 1])], ids=["thiol"], charge=[1]
        ... )
        >>> sorted(shift_labels(thiol, ShiftReference.of(water))[0])
        ['charge', 'elements']
    """
    return shift_scores(structures, reference, forces).labels(reference)


def mean_force_norm(structures: Structures, forces: Tensor | None) -> Scores:
    """Return the mean over the atoms of each structure of |F|, in eV/Å.

    Returns:
        Shape (n_systems,); NaN without forces, or where one is NaN.

    Raises:
        DataError: ``forces`` is not of shape (n_atoms, 3).
    """
    if forces is None:
        return np.full(structures.n_systems, np.nan)
    if tuple(forces.shape) != (structures.n_atoms, 3):
        msg = f"forces have shape {tuple(forces.shape)}; expected "
        raise DataError(msg + f"{(structures.n_atoms, 3)}, as the structures have")
    norms = torch.linalg.vector_norm(forces.detach().double(), dim=1)
    total = norms.new_zeros(structures.n_systems)
    total.index_add_(0, structures.system, norms)
    values: Scores = (total / structures.sizes).cpu().numpy()
    return values


def spectral_distance(structures: Structures, reference: SpectralReference) -> Scores:
    """Return ‖λ − λ̄‖₂ of each structure to a mean spectrum, at its cutoff.

    Returns:
        Shape (n_systems,), dimensionless.

    Raises:
        DataError: A position is not finite.
    """
    found = spectra(structures, [reference.cutoff])
    distances: Scores = reference.padded_l2(found)[0].double().cpu().numpy()
    return distances


def percentile(scores: Scores | Sequence[float]) -> float | None:
    """Return the 99th percentile of what is finite, None where nothing is.

    Example:
        >>> percentile([0.0, 50.0, 100.0, float("nan")])
        99.0
    """
    values: NDArray[Any] = np.asarray(scores, dtype=np.float64)
    values = values[np.isfinite(values)]
    return float(np.percentile(values, PERCENTILE)) if len(values) else None


def above(scores: Scores, limit: float) -> NDArray[np.bool_]:
    """Return where scores are above a limit by more than rounding; never where NaN."""
    if not np.isfinite(limit):
        return np.zeros(len(scores), dtype=np.bool_)
    # Equal graphs have spectra that are equal to about 1e-12, not bit for bit.
    return np.asarray(scores > limit + ROUNDING * max(1.0, abs(limit)), dtype=np.bool_)
