"""Atomic features element by element: what distances to a training set stand on."""

from collections.abc import Callable
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

Kind = Literal["embedding", "descriptor"]


@dataclass(frozen=True, slots=True, eq=False)
class Atoms:
    """The atoms of a sample that have features.

    Attributes:
        features: Shape (n, n_features), float64, on the CPU.
        numbers: Shape (n,), atomic numbers.
        system: Shape (n,), which structure each is in.
        origin: Whose features they are, in words.
    """

    features: Tensor
    numbers: Tensor
    system: Tensor
    origin: str

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
            found.values.detach().cpu().double()[there],
            structures.numbers.cpu()[there],
            structures.system.cpu()[there],
            found.origin,
        )

    @property
    def elements(self) -> list[int]:
        """Atomic numbers that occur, ascending."""
        return sorted(set(self.numbers.tolist()))

    def where(self, chosen: Tensor) -> Self:
        """Return some of the atoms.

        Args:
            chosen: Shape (n,), bool.
        """
        return type(self)(
            self.features[chosen], self.numbers[chosen], self.system[chosen], self.origin
        )

    def check_like(self, other: "Atoms") -> None:
        """Check that distances to the features of others mean something.

        Raises:
            DataError: They come from another model, or are of another number.
        """
        mine, theirs = self.features.shape[1], other.features.shape[1]
        if mine != theirs or self.origin != other.origin:
            msg = (
                f"the features do not fit together: {mine} per atom of {self.origin} in "
                f"training, {theirs} of {other.origin} in the test; compute both with "
                "one model"
            )
            raise DataError(msg)


def has_features(features: AtomFeatures, sample: Sample) -> Tensor:
    """Return which atoms have features, shape (n_atoms,), bool.

    Raises:
        DataError: There is not one row of features per atom.
    """
    values = features.values.detach().cpu()
    if values.dim() != 2 or len(values) != sample.structures.n_atoms:  # noqa: PLR2004
        msg = (
            f"{features.origin} gives features of shape {tuple(values.shape)} for the "
            f"{sample.structures.n_atoms} atoms of {sample.name}; expected "
            "(n_atoms, n_features)"
        )
        raise DataError(msg)
    refused = torch.tensor(sorted(features.reasons), dtype=torch.int64)
    allowed = ~torch.isin(sample.structures.system.cpu(), refused)
    return torch.isfinite(values).all(dim=1) & allowed


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
