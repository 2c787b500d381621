"""Samples: what a metric measured on each structure, before it becomes one number."""

from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """One value and one weight per structure; the metric is Σ w·v / Σ w.

    A structure that could not be measured has weight 0 and value NaN; it counts in no
    denominator.

    Attributes:
        value: Shape (n_systems,), float64, in the metric's unit (in its square where the
            metric is the root of a mean). NaN exactly where ``weight`` is 0.
        weight: Shape (n_systems,), float64, how much each structure counts: 3 times its
            atoms for a quantity pooled over force components, 1 for one value per
            structure, 0 for a missing one.

    Raises:
        DataError: The shapes differ, a weight is negative or not finite, or a value is
            missing where its weight is not, or the other way round.
    """

    value: NDArray[np.float64]
    weight: NDArray[np.float64]

    def __post_init__(self) -> None:
        shapes = self.value.shape, self.weight.shape
        if self.value.ndim != 1 or shapes[0] != shapes[1]:
            msg = f"Samples need one value and one weight per structure, got {shapes}"
            raise DataError(msg)
        if not (np.isfinite(self.weight).all() and (self.weight >= 0).all()):
            raise DataError("Samples.weight must be finite and not negative")
        weighted = self.weight > 0
        wrong = np.flatnonzero(np.where(weighted, ~np.isfinite(self.value), False))
        if len(wrong):
            bad = self.value[wrong[0]]
            msg = (
                f"Samples.value of structure {wrong[0]} is {bad}, yet its weight is not 0"
            )
            raise DataError(msg)
        if not np.isnan(self.value[~weighted]).all():
            raise DataError("Samples.value must be NaN where the weight is 0")

    @classmethod
    def of(
        cls,
        value: NDArray[np.float64],
        *,
        weight: NDArray[np.float64],
        evaluated: NDArray[np.bool_],
    ) -> Self:
        """Return samples in which every structure that was not evaluated is missing.

        Args:
            value: Shape (n_systems,); ignored where not evaluated.
            weight: Shape (n_systems,); ignored where not evaluated.
            evaluated: Shape (n_systems,).

        Raises:
            DataError: A value that was evaluated is not finite.
        """
        return cls(np.where(evaluated, value, np.nan), np.where(evaluated, weight, 0.0))

    @property
    def evaluated(self) -> NDArray[np.bool_]:
        """Shape (n_systems,), bool: the structures that count."""
        return self.weight > 0

    def alike(self) -> "Samples":
        """Return the samples, every structure counting the same."""
        return replace(self, weight=self.evaluated.astype(np.float64))

    def where(self, keep: NDArray[np.bool_]) -> "Samples":
        """Return the samples with every structure outside ``keep`` missing.

        Args:
            keep: Shape (n_systems,).

        Raises:
            DataError: ``keep`` is not one truth value per structure.
        """
        if keep.shape != self.value.shape:
            msg = f"{len(keep)} structures to keep among samples of {len(self.value)}"
            raise DataError(msg)
        kept = self.evaluated & keep
        return Samples.of(self.value, weight=self.weight, evaluated=kept)


class Metric(Protocol):
    """What every row of the catalogue points at."""

    def __call__(
        self, prediction: Labels, reference: Labels, structures: Structures
    ) -> dict[str, Samples]:
        """Return samples by label: ``""`` for a plain metric, else one per part.

        Args:
            prediction: Labels to judge, eV and eV/Å, of any float type or device.
            reference: Labels to judge by, eV and eV/Å.
            structures: What both describe, in the same order of structures and atoms.

        Raises:
            DataError: The labels are not those of these structures.
        """
        ...


def checked(found: dict[str, Samples], structures: Structures) -> dict[str, Samples]:
    """Return what a metric returned, which may be another package's.

    Raises:
        TypeError: It is no dictionary of samples, one value per structure.
    """
    parts: object = found  # as declared; what came is looked at
    if not isinstance(parts, dict):
        msg = f"returned a {type(parts).__name__}, expected a dictionary of Samples"
        raise TypeError(msg)
    for part in parts.values():
        if not isinstance(part, Samples) or len(part.value) != structures.n_systems:
            got = len(part.value) if isinstance(part, Samples) else type(part).__name__
            msg = f"returned {got} where Samples of {structures.n_systems} structures "
            raise TypeError(msg + "were expected")
    return found
