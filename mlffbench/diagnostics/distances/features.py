"""Atomic features element by element: what distances to a training set stand on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from mlffbench.core.card import format_elements
from mlffbench.core.errors import DataError
from mlffbench.diagnostics.diagnostic import (
    AtomFeatures,
    Measured,
    NotMeasurableError,
    Sample,
)
from mlffbench.diagnostics.feature_room import give_back

Kind = Literal["embedding", "descriptor"]

PIECE_BYTES = 24 << 20
"""Of features that are computed on at a time."""
_FLOAT32_COUNTS = 1 << 24
"""Up to which float32 knows every whole number; beyond, a last place may not exist."""


@dataclass(frozen=True, slots=True, eq=False)
class Atoms:
    """The atoms of a sample that have features, which are read a piece at a time.

    Attributes:
        found: The features of all atoms of the sample.
        places: Shape (n,), which rows of them are those of these atoms.
        numbers: Shape (n,), atomic numbers.
        system: Shape (n,), which structure each is in.
    """

    found: AtomFeatures
    places: Tensor
    numbers: Tensor
    system: Tensor

    @classmethod
    def of(cls, sample: Sample, kind: Kind) -> Self:
        """Return the atoms of a sample.

        Raises:
            NotMeasurableError: No structure of the sample has such features.
        """
        found = sample.embedding if kind == "embedding" else sample.descriptor
        if found is None:
            raise NotMeasurableError(sample.why_absent(kind))
        there = has_features(found, sample)
        if not bool(there.any()):
            reason = next(iter(found.reasons.values()), "it is empty")
            msg = f"{sample.name} has no atom with features ({reason})"
            raise NotMeasurableError(msg)
        structures = sample.structures
        return cls(
            found,
            torch.nonzero(there).flatten(),
            structures.numbers.cpu()[there],
            structures.system.cpu()[there],
        )

    @property
    def elements(self) -> list[int]:
        """Atomic numbers that occur, ascending."""
        elements: list[int] = torch.unique(self.numbers).tolist()
        return elements

    def where(self, chosen: Tensor) -> Self:
        """Return some of the atoms.

        Args:
            chosen: Shape (n,), bool.
        """
        return type(self)(
            self.found, self.places[chosen], self.numbers[chosen], self.system[chosen]
        )

    def features(self, chosen: Tensor | slice) -> Tensor:
        """Return the features of some of the atoms, float64, on the CPU."""
        taken = self.found.values.detach()[self.places[chosen]].cpu().double()
        give_back(self.found.mapped)
        return taken

    def pieces(self) -> Iterator[slice]:
        """Yield slices of so many atoms that memory holds their features."""
        yield from _pieces(len(self.places), self.found.values.shape[1])

    def mean(self) -> Tensor:
        """Return the mean of the features, shape (n_features,)."""
        total = sum(self.features(piece).sum(0) for piece in self.pieces())
        return torch.as_tensor(total) / len(self.places)

    def spread_over(self, chosen: Tensor, most: int) -> Tensor:
        """Return at most so many of some atoms, spread evenly over them.

        Args:
            chosen: Shape (n,), bool.
            most: How many at most.

        Returns:
            Their indices among these atoms.
        """
        mine = torch.nonzero(chosen).flatten()
        if len(mine) <= most:
            return mine
        dtype = torch.float64 if len(mine) > _FLOAT32_COUNTS else torch.float32
        return mine[torch.linspace(0, len(mine) - 1, most, dtype=dtype).long()]

    def check_like(self, other: "Atoms") -> None:
        """Check that distances to the features of others mean something.

        Raises:
            DataError: They come from another model, or are of another number.
        """
        mine, theirs = self.found.values.shape[1], other.found.values.shape[1]
        if mine != theirs or self.found.origin != other.found.origin:
            msg = (
                f"the features do not fit together: {mine} per atom of "
                f"{self.found.origin} in training, {theirs} of {other.found.origin} in "
                "the test; compute both with "
                "one model"
            )
            raise DataError(msg)


def has_features(features: AtomFeatures, sample: Sample) -> Tensor:
    """Return which atoms have features, shape (n_atoms,), bool.

    Raises:
        DataError: There is not one row of features per atom.
    """
    values = features.values.detach()
    if values.dim() != 2 or len(values) != sample.structures.n_atoms:  # noqa: PLR2004
        msg = (
            f"{features.origin} gives features of shape {tuple(values.shape)} for the "
            f"{sample.structures.n_atoms} atoms of {sample.name}; expected "
            "(n_atoms, n_features)"
        )
        raise DataError(msg)
    refused = torch.tensor(sorted(features.reasons), dtype=torch.int64)
    allowed = ~torch.isin(sample.structures.system.cpu(), refused)
    finite = torch.ones_like(allowed)
    for piece in _pieces(*values.shape):
        finite[piece] = torch.isfinite(values[piece]).all(dim=1).cpu()
        give_back(features.mapped)
    return finite & allowed


def _pieces(n_atoms: int, n_features: int) -> Iterator[slice]:
    step = max(1, PIECE_BYTES // (8 * max(1, n_features)))
    for start in range(0, n_atoms, step):
        yield slice(start, min(start + step, n_atoms))


def average(
    sample: Sample,
    kind: Kind,
    trained: Atoms,
    distance: Callable[[Atoms], Tensor],
) -> Measured:
    """Return the mean over the atoms of each structure of a distance to training.

    Args:
        sample: What to measure.
        kind: Which features.
        trained: The training atoms.
        distance: Atoms -> their distances, shape (n,).
    """
    found = sample.embedding if kind == "embedding" else sample.descriptor
    if found is None:
        return Measured.nothing(sample, sample.why_absent(kind))
    try:
        atoms = Atoms.of(sample, kind)
    except NotMeasurableError as error:
        return Measured.nothing(sample, str(error))
    trained.check_like(atoms)
    sums = torch.zeros(sample.structures.n_systems, dtype=torch.float64)
    sums.index_add_(0, atoms.system, distance(atoms))
    # a structure counts only when all of its atoms do
    counts = torch.bincount(atoms.system, minlength=len(sums))
    complete = (counts > 0) & (counts == sample.structures.sizes.cpu())
    values = torch.where(complete, sums / counts, torch.nan).numpy()
    missing = np.flatnonzero(np.isnan(values)).tolist()
    default = "features are not finite"
    reasons = {row: found.reasons.get(row, default) for row in missing}
    return Measured(values, reasons, _notes(atoms, trained))


def _notes(atoms: Atoms, trained: Atoms) -> tuple[str, ...]:
    unseen = ~torch.isin(atoms.numbers, trained.numbers)
    if not bool(unseen.any()):
        return ()
    names = format_elements(frozenset(atoms.numbers[unseen].tolist()))
    return (
        f"{int(unseen.sum())} of {len(unseen)} atoms ({names}) are compared with "
        "training atoms of other elements: training has none of theirs",
    )
