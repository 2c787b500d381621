"""Labels: energies and forces, whoever computed them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from mlffbench.core.errors import DataError


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Labels:
    """Energies and forces of a batch of structures.

    Attributes:
        energy: Shape (n_systems,), in eV. NaN where there is none.
        forces: Shape (n_atoms, 3), in eV/Å. NaN where there are none.
        source: Who computed them and the zero of energy, e.g.
            ``"wB97X/6-31G(d), total energies"`` or ``"model:ani-1x"``.
        failures: Index of a structure -> why it has no labels, e.g. an SCF that did not
            converge. Values of such a structure are NaN, never 0.

    Raises:
        DataError: The shapes are not those of energies and forces.
    """

    energy: Tensor
    forces: Tensor
    source: str
    failures: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.energy.dim() != 1:
            msg = f"Labels.energy has shape {tuple(self.energy.shape)}, not (n_systems,)"
            raise DataError(msg)
        if self.forces.dim() != 2 or self.forces.shape[1] != 3:  # noqa: PLR2004 - x, y, z
            msg = f"Labels.forces has shape {tuple(self.forces.shape)}, not (n_atoms, 3)"
            raise DataError(msg)

    @property
    def has_any(self) -> bool:
        """Whether there is an energy or a force at all."""
        return any(bool(torch.isfinite(one).any()) for one in (self.energy, self.forces))

    @classmethod
    def concatenate(cls, batches: Sequence[Self]) -> Self:
        """Return the labels of several batches, in order, as one.

        Raises:
            DataError: There are no batches.
        """
        if not batches:
            raise DataError("nothing to concatenate: expected at least one batch")
        failures: dict[int, str] = {}
        offset = 0
        for batch in batches:
            failures |= {index + offset: why for index, why in batch.failures.items()}
            offset += len(batch.energy)
        return cls(
            energy=torch.cat([batch.energy for batch in batches]),
            forces=torch.cat([batch.forces for batch in batches]),
            source=batches[0].source,
            failures=failures,
        )
