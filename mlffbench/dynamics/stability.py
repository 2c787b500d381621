"""Stability: when a trajectory has stopped being one of the molecule it started with.

- Bonds (MDsim, Fu et al. 2023): a bond of the start is more than 0.5 Å away from its
  reference mean.
- Explosion (MLIPAudit): more than 10,000 K above the thermostat, or 100 times hotter than
  one frame before.
- Hydrogen drift (MLIPAudit): a hydrogen that was bonded stays more than 2.5 Å from every
  heavy atom until the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import NeighborList, natural_cutoffs
from numpy.typing import NDArray
from torch import Tensor

from mlffbench.core.assembly import singles
from mlffbench.core.card import SYMBOLS
from mlffbench.core.single import Single
from mlffbench.core.structures import Structures

BOND_TOLERANCE = 0.5
"""Å that a bond may leave its reference mean by."""
EXPLOSION_KELVIN = 10_000.0
EXPLOSION_FACTOR = 100.0
HYDROGEN_DRIFT = 2.5
"""Å from every heavy atom at which a hydrogen has left."""
Floats = NDArray[np.float64]


class Criterion(Protocol):
    """Says, frame by frame, which systems have failed."""

    def select(self, members: Sequence[int], device: torch.device) -> "Watch":
        """Return the watch over some of the systems, in that order."""
        ...


class Watch(Protocol):
    """A criterion for the systems of one batch."""

    def faults(self, positions: Tensor, heat: Tensor, before: Tensor) -> dict[int, str]:
        """Return the systems that fail and why.

        Args:
            positions: Shape (n_atoms, 3), in Å, never wrapped.
            heat: Shape (n_systems,), temperatures of this frame, in K.
            before: Shape (n_systems,), those of the frame before.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Bonds:
    """The bonds of one system.

    Attributes:
        pairs: Shape (n_bonds, 2), int64, atoms of the system.
        shifts: Shape (n_bonds, 3), in Å, added to the second atom of a pair.
        reference: Shape (n_bonds,), mean lengths in Å.
        names: e.g. ``"C1–H8"``, atoms counted from 1.
    """

    pairs: Tensor
    shifts: Tensor
    reference: Tensor
    names: tuple[str, ...]

    def lengths(self, positions: Tensor) -> Tensor:
        """Return the lengths in frames of shape (…, n_atoms, 3), in Å."""
        first, second = self.pairs.T
        vectors = positions[..., second, :] + self.shifts - positions[..., first, :]
        lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
        return lengths

    def with_reference(self, frames: Tensor) -> Self:
        """Return the bonds with the mean lengths of frames (n_frames, n_atoms, 3)."""
        return type(self)(
            pairs=self.pairs,
            shifts=self.shifts,
            reference=self.lengths(frames.double()).mean(0),
            names=self.names,
        )


def find_bonds(start: Structures) -> list[Bonds]:
    """Return the bonds of each start: ASE's natural cutoffs with its skin of 0.3 Å.

    The reference lengths are those of the start until `Bonds.with_reference`.
    """
    return [_bonds(single) for single in singles(start)]


def _bonds(single: Single) -> Bonds:
    atoms: Any = Atoms(
        numbers=single.numbers,
        positions=single.positions,
        cell=single.cell,
        pbc=single.pbc,
    )
    neighbours: Any = NeighborList
    cutoffs: Any = natural_cutoffs
    near = neighbours(cutoffs(atoms), self_interaction=False, bothways=False)
    near.update(atoms)
    pairs: list[tuple[int, int]] = []
    shifts: list[Floats] = []
    for first in range(len(atoms)):
        others, offsets = near.get_neighbors(first)
        pairs += [(first, int(other)) for other in others]
        shifts += list(offsets @ np.asarray(atoms.cell))
    bonds = Bonds(
        pairs=torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2),
        shifts=torch.tensor(np.array(shifts).reshape(-1, 3), dtype=torch.float64),
        reference=torch.zeros(len(pairs), dtype=torch.float64),
        names=tuple(
            "–".join(f"{SYMBOLS[single.numbers[atom]]}{atom + 1}" for atom in pair)
            for pair in pairs
        ),
    )
    return bonds.with_reference(torch.from_numpy(np.array(single.positions))[None])


class BondCriterion:
    """A bond of the start leaves its reference mean by more than a tolerance.

    Args:
        bonds: Of each system.
        sizes: Atoms of each system.
        tolerance: In Å.
    """

    def __init__(
        self,
        bonds: Sequence[Bonds],
        sizes: Sequence[int],
        tolerance: float = BOND_TOLERANCE,
    ) -> None:
        self._bonds, self._sizes, self._tolerance = bonds, sizes, tolerance

    def select(self, members: Sequence[int], device: torch.device) -> "_BondWatch":
        """Return the watch over some of the systems."""
        bonds = [self._bonds[member] for member in members]
        offsets = np.cumsum([0, *(self._sizes[member] for member in members)]).tolist()
        empty = torch.zeros((0, 2), dtype=torch.int64)
        together = Bonds(
            pairs=torch.cat(
                [empty, *(b.pairs + o for b, o in zip(bonds, offsets, strict=False))]
            ).to(device),
            shifts=torch.cat([b.shifts for b in bonds]).to(device),
            reference=torch.cat([b.reference for b in bonds]).to(device),
            names=tuple(name for b in bonds for name in b.names),
        )
        owner = torch.repeat_interleave(torch.tensor([len(b.names) for b in bonds]))
        return _BondWatch(together, owner.tolist(), self._tolerance)


class _BondWatch:
    """The bond criterion for one batch."""

    def __init__(self, bonds: Bonds, owner: Sequence[int], tolerance: float) -> None:
        self._bonds, self._owner, self._tolerance = bonds, owner, tolerance

    def faults(
        self,
        positions: Tensor,
        heat: Tensor,  # noqa: ARG002 - geometry decides
        before: Tensor,  # noqa: ARG002
    ) -> dict[int, str]:
        """Return the systems with a bond out of bounds, and the bond."""
        lengths = self._bonds.lengths(positions)
        deviation = (lengths - self._bonds.reference).abs()
        reasons: dict[int, str] = {}
        # "not below" also catches NaN
        for bond in (~(deviation <= self._tolerance)).nonzero().flatten().tolist():
            reason = (
                f"bond {self._bonds.names[bond]} is {float(lengths[bond]):.2f} Å, its "
                f"mean {float(self._bonds.reference[bond]):.2f} Å"
            )
            reasons.setdefault(self._owner[bond], reason)
        return reasons


class ExplosionCriterion:
    """MLIPAudit's explosion: far above the thermostat, or much hotter than just before.

    Args:
        temperature: Shape (n_systems,), of the thermostat, in K.
    """

    def __init__(self, temperature: Tensor) -> None:
        self._temperature = temperature

    def select(self, members: Sequence[int], device: torch.device) -> "_ExplosionWatch":
        """Return the watch over some of the systems."""
        return _ExplosionWatch(self._temperature[list(members)].to(device))


class _ExplosionWatch:
    """The explosion criterion for one batch."""

    def __init__(self, temperature: Tensor) -> None:
        self._temperature = temperature

    def faults(
        self,
        positions: Tensor,  # noqa: ARG002 - heat decides
        heat: Tensor,
        before: Tensor,
    ) -> dict[int, str]:
        """Return the systems that explode, and how hot they are."""
        calm = heat <= self._temperature + EXPLOSION_KELVIN
        calm &= heat <= EXPLOSION_FACTOR * before
        return {
            index: f"explosion: {float(heat[index]):,.0f} K"
            for index in (~calm).nonzero().flatten().tolist()
        }


def hydrogen_drift(
    frames: Floats, numbers: NDArray[np.int64], bonds: Bonds
) -> int | None:
    """Return the first frame from which on a bonded hydrogen is gone for good.

    None where no hydrogen leaves. Cells are not wrapped, so a hydrogen that moves to an
    image of a heavy atom counts as gone: for molecules only.

    Args:
        frames: Shape (n_frames, n_atoms, 3), in Å.
        numbers: Shape (n_atoms,).
        bonds: Of the start.
    """
    pairs = bonds.pairs.numpy()
    bonded = np.unique(pairs)
    hydrogens = [atom for atom in bonded.tolist() if numbers[atom] == 1]
    heavy = np.flatnonzero(numbers > 1)
    if not hydrogens or not len(heavy) or not len(frames):
        return None
    vectors = frames[:, hydrogens, None, :] - frames[:, None, heavy, :]
    away = (np.linalg.norm(vectors, axis=-1) > HYDROGEN_DRIFT).all(axis=2)
    # a hydrogen is gone from the frame after the last one in which it was near
    near = ~away
    last_near = np.where(
        near.any(axis=0), len(frames) - 1 - np.argmax(near[::-1], axis=0), -1
    )
    first_gone = int(last_near.min()) + 1
    return None if first_gone >= len(frames) else first_gone
