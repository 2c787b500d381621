"""Mahalanobis: how many training spreads an atom's features are from the mean."""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from mlffbench.diagnostics.diagnostic import Fitted, Measured, NotMeasurableError, Sample
from mlffbench.diagnostics.distances.features import Atoms, average

LEAST_VARIANCE = 1e-6
"""Least variance of a direction, as a fraction of the mean one."""
MAX_ATOMS = 10_000
"""Training atoms per element that a fit is made to, spread evenly over training."""
N_PARTS = 10
"""Parts of training, each measured against the others."""


def embedding_mahalanobis(train: Sample) -> Fitted:
    """Mean over the atoms of √((x − μ)ᵀ Σ⁻¹ (x − μ)) in the model's features x.

    μ and Σ are those of the training atoms of the element; Σ is shrunk towards a sphere
    (OAS). Where training lacks the element: the least distance to any. A tenth of the
    training structures at a time is compared with the other nine: against a fit that has
    seen them they would lie too close, and every unseen structure would alarm. A fit is
    made to at most 10,000 atoms of an element.
    """
    atoms = Atoms.of(train, "embedding")
    clouds = _Clouds.of(atoms)

    def measure(sample: Sample) -> Measured:
        return average(sample, "embedding", atoms, clouds.distances)

    return Fitted(average(train, "embedding", atoms, _held_out), measure)


def shrunk_covariance(centred: Tensor) -> Tensor:
    """Return the covariance of centred points, shrunk towards a sphere (OAS).

    Σ = (1 − ρ) S + ρ tr(S)/p · I, with the ρ of Chen, Wiesel, Eldar & Hero, IEEE Trans.
    Signal Process. 58, 5016 (2010), eq. 23, which is best for Gaussian points.

    Args:
        centred: Shape (n, p), points minus their mean.

    Returns:
        Shape (p, p).
    """
    n, p = centred.shape
    sample = centred.T @ centred / n
    square = float((sample**2).sum())
    trace = float(sample.trace())
    numerator = (1 - 2 / p) * square + trace**2
    denominator = (n + 1 - 2 / p) * (square - trace**2 / p)
    rho = 1.0 if denominator <= 0 else min(1.0, numerator / denominator)
    sphere = torch.eye(p, dtype=centred.dtype) * (trace / p)
    return (1 - rho) * sample + rho * sphere


@dataclass(frozen=True, slots=True, eq=False)
class _Clouds:
    """Mean and inverse root of the covariance of each element's training atoms."""

    means: dict[int, Tensor]
    roots: dict[int, Tensor]

    @classmethod
    def of(cls, atoms: Atoms) -> Self:
        means: dict[int, Tensor] = {}
        centred: dict[int, Tensor] = {}
        for number in atoms.elements:
            kept = atoms.spread_over(atoms.numbers == number, MAX_ATOMS)
            mine = atoms.features(kept)
            means[number] = mine.mean(0)
            centred[number] = mine - means[number]
        differs = {number: bool(own.any()) for number, own in centred.items()}
        if not any(differs.values()):
            msg = (
                "the training atoms of each element have equal features, so no "
                "Mahalanobis distance; "
            )
            raise NotMeasurableError(msg + "give training structures that differ")
        # an element met once has no spread of its own and takes that of all
        if not all(differs.values()):
            pooled = torch.cat(list(centred.values()))
            centred = {z: own if differs[z] else pooled for z, own in centred.items()}
        roots = {z: _inverse_root(shrunk_covariance(own)) for z, own in centred.items()}
        return cls(means, roots)

    def distances(self, atoms: Atoms) -> Tensor:
        """Return the distance of each atom, shape (n,)."""
        return torch.cat([self._of_piece(atoms, piece) for piece in atoms.pieces()])

    def _of_piece(self, atoms: Atoms, piece: slice) -> Tensor:
        features, numbers = atoms.features(piece), atoms.numbers[piece]
        result = torch.full((len(numbers),), math.inf, dtype=torch.float64)
        for number in torch.unique(numbers).tolist():
            mine = torch.nonzero(numbers == number).flatten()
            known = [number] if number in self.means else list(self.means)
            each = [
                ((features[mine] - self.means[z]) @ self.roots[z]).norm(dim=1)
                for z in known
            ]
            result[mine] = torch.stack(each).amin(0)
        return result


def _held_out(atoms: Atoms) -> Tensor:
    """Return the distance of each training atom to a fit without its part of training.

    Raises:
        NotMeasurableError: Nothing would be left to fit, or only equal features.
    """
    structures, place = torch.unique(atoms.system, return_inverse=True)
    if len(structures) < 2:  # noqa: PLR2004 - one to measure and one to compare with
        msg = "a single training structure has features, so there is nothing to compare "
        raise NotMeasurableError(msg + "it with; give more training structures")
    result = torch.full((len(place),), math.inf, dtype=torch.float64)
    for part in range(min(N_PARTS, len(structures))):
        mine = place % N_PARTS == part
        result[mine] = _Clouds.of(atoms.where(~mine)).distances(atoms.where(mine))
    return result


def _inverse_root(covariance: Tensor) -> Tensor:
    """Return W with W Wᵀ = Σ⁻¹."""
    variances, directions = torch.linalg.eigh(covariance)
    least = LEAST_VARIANCE * float(variances.mean())
    root: Tensor = directions * variances.clamp(min=least).rsqrt()
    return root
