"""Nearest neighbours: how far an atom's features are from those of training atoms."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from mlffbench.diagnostics.diagnostic import Fitted, Measured, Sample
from mlffbench.diagnostics.distances.features import Atoms, Kind, average

N_NEIGHBOURS = 5
"""Training atoms that an atom is compared with."""
MAX_ATOMS = 5000
"""Training atoms kept per element, spread evenly over the training set."""
_ROWS = 256
"""Atoms compared at a time."""


def embedding_distance(train: Sample) -> Fitted:
    """Mean over the atoms of the distance of model features to the nearest of training.

    Of an atom: the mean Euclidean distance to the 5 nearest training atoms of its
    element; where training lacks the element, of any. A training structure is compared
    with the others.
    """
    return _fit(train, "embedding")


def descriptor_distance(train: Sample) -> Fitted:
    """The same distance in a fixed descriptor, normalised SOAP, which needs no model."""
    return _fit(train, "descriptor")


def _fit(train: Sample, kind: Kind) -> Fitted:
    atoms = Atoms.of(train, kind)
    forest = _Forest.of(atoms)

    def measure(sample: Sample) -> Measured:
        return average(sample, kind, atoms, forest.distances)

    own = average(train, kind, atoms, lambda these: forest.distances(these, own=True))
    return Fitted(own, measure)


@dataclass(frozen=True, slots=True, eq=False)
class _Tree:
    """Training atoms to compare with.

    Attributes:
        features: Shape (n, n_features).
        owner: Shape (n,), training structure of each.
        most: Atoms of one structure among them at most.
    """

    features: Tensor
    owner: Tensor
    most: int

    @classmethod
    def of(cls, atoms: Atoms, chosen: Tensor, centre: Tensor) -> Self:
        kept = atoms.spread_over(chosen, MAX_ATOMS)
        owner = atoms.system[kept]
        features = atoms.features(kept) - centre
        return cls(features, owner, int(torch.bincount(owner).max()))

    def distances(self, points: Tensor, owner: Tensor | None) -> Tensor:
        """Return the mean distance to the nearest, those of the owner left out.

        Returns:
            Shape (n_points,); inf where nothing is left to compare with.
        """
        n_candidates = N_NEIGHBOURS + (0 if owner is None else self.most)
        n_candidates = min(n_candidates, len(self.owner))
        parts = []
        for start in range(0, len(points), _ROWS):
            rows = slice(start, start + _ROWS)
            near = torch.cdist(points[rows], self.features)
            found = near.topk(n_candidates, largest=False).indices
            # again without the matrix product, which loses half of the digits
            exact = (points[rows, None] - self.features[found]).norm(dim=-1)
            if owner is not None:
                same = self.owner[found] == owner[rows, None]
                exact = exact.masked_fill(same, torch.inf)
            parts.append(exact.sort(dim=1).values[:, :N_NEIGHBOURS])
        nearest = torch.cat(parts)
        there = torch.isfinite(nearest)
        total = nearest.masked_fill(~there, 0.0).sum(1)
        return torch.where(there.any(1), total / there.sum(1), torch.inf)


@dataclass(frozen=True, slots=True, eq=False)
class _Forest:
    """One tree per element, and one of all training atoms."""

    by_element: dict[int, _Tree]
    anything: _Tree
    centre: Tensor

    @classmethod
    def of(cls, atoms: Atoms) -> Self:
        centre = atoms.mean()
        trees = {
            number: _Tree.of(atoms, atoms.numbers == number, centre)
            for number in atoms.elements
        }
        every = torch.ones_like(atoms.numbers, dtype=torch.bool)
        return cls(trees, _Tree.of(atoms, every, centre), centre)

    def distances(self, atoms: Atoms, *, own: bool = False) -> Tensor:
        """Return the distance of each atom, NaN where there is nothing to compare with.

        Args:
            atoms: Any atoms.
            own: Whether they are the training atoms, whose structure is then left out.
        """
        parts = [self._of_piece(atoms, piece, own) for piece in atoms.pieces()]
        result = torch.cat(parts)
        return result.masked_fill(torch.isinf(result), torch.nan)

    def _of_piece(self, atoms: Atoms, piece: slice, own: bool) -> Tensor:
        """Return the distances of some of the atoms, inf where there are none."""
        features = atoms.features(piece) - self.centre
        numbers, system = atoms.numbers[piece], atoms.system[piece]
        result = torch.full((len(numbers),), torch.inf, dtype=torch.float64)
        for number in torch.unique(numbers).tolist():
            mine = torch.nonzero(numbers == number).flatten()
            tree = self.by_element.get(number)
            if tree is not None:
                owner = system[mine] if own else None
                result[mine] = tree.distances(features[mine], owner)
        rest = torch.nonzero(torch.isinf(result)).flatten()
        if len(rest):
            owner = system[rest] if own else None
            result[rest] = self.anything.distances(features[rest], owner)
        return result
