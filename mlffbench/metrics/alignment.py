"""Per-element energy shifts between the zeros of energy of two levels of theory."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.metrics.element_counts import composition
from mlffbench.metrics.pairs import energy_errors

RIDGE = 1e-18
"""λ as a fraction of the trace of XᵀX, X the matrix of element fractions.

It exists to choose the smallest shifts where compositions leave them open. Where they do
not, it moves a shift s by s·λ/σ², σ the singular value: below 1e-10 of s for an element
met once, as one atom of a hundred, among 2,000 structures.
"""
SPAN_TOLERANCE = 1e-8
"""Part of a composition outside the fitted span above which its shift is a guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementShifts:
    """One energy per element that takes predictions to the zero of the reference.

    Attributes:
        elements: Ascending atomic numbers that were fitted.
        energies: Shift of each in eV: what a prediction has too much per atom.
        rank: Independent compositions behind the fit. Below ``len(elements)`` single
            shifts are a choice (the smallest ones), only some sums are determined; with
            rank 1 the shifts absorb the whole mean error.
        n_structures: Structures used.
        null_space: Orthonormal combinations of elements that the data leave open, one
            row of ``len(elements)`` numbers each; empty with full rank.
    """

    elements: tuple[int, ...]
    energies: tuple[float, ...]
    rank: int
    n_structures: int
    null_space: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def fit(cls, prediction: Tensor, reference: Tensor, structures: Structures) -> Self:
        """Return the shifts that best explain prediction − reference, per atom.

        min over s of Σᵢ ((Êᵢ − Eᵢ − Σ_z nᵢ_z s_z) / Nᵢ)² + λ|s|², λ = `RIDGE` · tr XᵀX,
        solved by singular values of X = n / N, without forming XᵀX. A direction with
        σ² ≤ λ is left at zero, which is the ridge's own answer for σ = 0.

        A lone atom takes no part. Its error is that of an atom no model was made for, and
        per atom it weighs as much as a whole molecule: eight of them in 300 structures
        moved aligned energies of molecules from 4 to 180 meV/atom.

        Args:
            prediction: Shape (n_systems,), predicted energies in eV.
            reference: Shape (n_systems,), reference energies in eV.
            structures: The training structures, chosen by the caller. One whose energy
                is not finite on either side takes no part.

        Raises:
            DataError: A shape is wrong, or no molecule has both energies.
        """
        pair = energy_errors(prediction, reference, structures)
        fitted = pair.complete & _is_molecule(structures)
        if not fitted.any():
            msg = (
                f"nothing to fit energy shifts on: none of {structures.n_systems} "
                "structures has both a predicted and a reference energy and two atoms"
            )
            raise DataError(msg)
        elements, counts = composition(structures)
        present = counts[fitted].any(axis=0)
        sizes = pair.sizes[fitted]
        fractions = counts[fitted][:, present] / sizes[:, None]
        solution = _solve_ridge(fractions, pair.error[fitted] / sizes)
        return cls(
            elements=tuple(elements[present].tolist()),
            energies=tuple(solution[0].tolist()),
            rank=len(solution[0]) - len(solution[1]),
            n_structures=int(fitted.sum()),
            null_space=tuple(tuple(row) for row in solution[1].tolist()),
        )

    @property
    def rank_deficient(self) -> bool:
        """Whether the compositions leave some shift open."""
        return self.rank < len(self.elements)

    def unseen(self, structures: Structures) -> tuple[str, ...]:
        """Return the symbols of elements in the structures that were not fitted."""
        numbers = set(structures.numbers.tolist()) - set(self.elements)
        return tuple(SYMBOLS[number] for number in sorted(numbers))

    def undetermined(self, structures: Structures) -> NDArray[np.bool_]:
        """Return which structures the fit cannot align although it knows their elements.

        Their composition is no combination of fitted ones, so their aligned energy rests
        on the ridge, not on data. Never any with full rank.

        Returns:
            Shape (n_systems,), bool.
        """
        counts, seen = self._counts(structures)
        sizes = np.maximum(structures.sizes.cpu().numpy(), 1)
        open_directions = np.array(self.null_space).reshape(-1, len(self.elements))
        outside = np.abs(counts / sizes[:, None] @ open_directions.T) > SPAN_TOLERANCE
        result: NDArray[np.bool_] = seen & outside.any(axis=1)
        return result

    def apply(self, labels: Labels, structures: Structures) -> Labels:
        """Return predicted labels on the reference's zero of energy, energies in float64.

        Energies of structures with an element that was not fitted become NaN; `unseen`
        names those elements. Forces do not change.

        Raises:
            DataError: The labels are not those of these structures.
        """
        if len(labels.energy) != structures.n_systems:
            found, expected = len(labels.energy), structures.n_systems
            msg = f"{found} energies of {labels.source!r} for {expected} structures"
            raise DataError(msg)
        counts, seen = self._counts(structures)
        shift = np.where(seen, counts @ np.array(self.energies), np.nan)
        energy = labels.energy.to(torch.float64)
        return replace(
            labels,
            energy=energy - torch.from_numpy(shift).to(energy.device),
            source=f"{labels.source}, E0-aligned",
        )

    def to_json(self) -> dict[str, object]:
        """Return the shifts as a dict of plain JSON types; `from_json` restores them."""
        return {
            "elements": [SYMBOLS[number] for number in self.elements],
            "energies_ev": list(self.energies),
            "rank": self.rank,
            "n_structures": self.n_structures,
            "null_space": [list(row) for row in self.null_space],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the shifts that `to_json` wrote, to the last bit.

        Args:
            data: What reading the stored JSON gave.

        Raises:
            DataError: The dict is not one that `to_json` writes.
        """
        try:
            shifts = cls(
                elements=tuple(SYMBOLS.index(symbol) for symbol in data["elements"]),
                energies=tuple(float(energy) for energy in data["energies_ev"]),
                rank=int(data["rank"]),
                n_structures=int(data["n_structures"]),
                null_space=tuple(tuple(map(float, row)) for row in data["null_space"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            msg = f"these are not stored energy shifts: {error!r}"
            raise DataError(msg) from error
        n_elements = len(shifts.elements)
        widths = {len(row) for row in shifts.null_space} | {len(shifts.energies)}
        finite = all(math.isfinite(energy) for energy in shifts.energies)
        if widths != {n_elements} or not finite:
            msg = (
                f"stored shifts need one finite energy for each of {n_elements} elements"
            )
            raise DataError(msg)
        return shifts

    def _counts(
        self, structures: Structures
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return atoms of each fitted element, and which structures have no other."""
        elements, counts = composition(structures)
        fitted = np.zeros((structures.n_systems, len(self.elements)), dtype=np.int64)
        known = np.isin(elements, self.elements)
        fitted[:, np.searchsorted(self.elements, elements[known])] = counts[:, known]
        seen: NDArray[np.bool_] = np.logical_not(counts[:, ~known].any(axis=1))
        return fitted, seen


def _is_molecule(structures: Structures) -> NDArray[np.bool_]:
    """Return which structures are no lone atoms, shape (n_systems,)."""
    several = structures.sizes.cpu().numpy() > 1
    result: NDArray[np.bool_] = several | structures.pbc.any(dim=1).cpu().numpy()
    return result


def _solve_ridge(
    fractions: NDArray[np.float64], error: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shifts (n_elements,) and the open directions (n_open, n_elements)."""
    n_rows, n_elements = fractions.shape
    missing = max(n_elements - n_rows, 0)  # rows of zeros complete the right vectors
    matrix = np.vstack([fractions, np.zeros((missing, n_elements))])
    target = np.concatenate([error, np.zeros(missing)])
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    ridge = RIDGE * float((singular**2).sum())
    known = singular > math.sqrt(ridge)
    inverse = np.where(known, singular / (singular**2 + ridge), 0.0)
    return right.T @ (inverse * (left.T @ target)), right[~known]
