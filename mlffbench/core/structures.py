"""Structures: a batch of configurations, all that a model may see."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

from mlffbench.core.errors import DataError

FAR = 30.0
"""Å from the origin, within which float32 resolves 2e-6 Å."""
_DTYPES = {
    "numbers": torch.int64,
    "system": torch.int64,
    "pbc": torch.bool,
    "charge": torch.int64,
    "multiplicity": torch.int64,
}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Structures:
    """A batch of configurations laid end to end; it never carries labels.

    Attributes:
        positions: Shape (n_atoms, 3), in Å.
        numbers: Shape (n_atoms,), int64 atomic numbers.
        system: Shape (n_atoms,), int64 ascending: atom -> structure.
        cell: Shape (n_systems, 3, 3), in Å; ROWS are lattice vectors, zeros if none.
        pbc: Shape (n_systems, 3), bool: periodic along each lattice vector.
        charge: Shape (n_systems,), int64 total charge in e.
        multiplicity: Shape (n_systems,), int64 spin multiplicity 2S + 1.
        ids: Stable names, one per structure.
        group: The molecule each structure belongs to: the unit of leak-free splits, of
            intervals, and of test-time training.
        smiles: Atom-mapped SMILES where known, else empty. Topology, for force fields
            that need bonds; never a label.

    Raises:
        DataError: Shapes, types or devices do not fit together. Values are not judged:
            a NaN position is for whoever computes with it to refuse.
    """

    positions: Tensor
    numbers: Tensor
    system: Tensor
    cell: Tensor
    pbc: Tensor
    charge: Tensor
    multiplicity: Tensor
    ids: tuple[str, ...]
    group: tuple[str, ...]
    smiles: tuple[str, ...]

    def __post_init__(self) -> None:
        n_atoms, n_systems = len(self.numbers), len(self.ids)
        expected: dict[str, tuple[int, ...]] = {
            "positions": (n_atoms, 3),
            "numbers": (n_atoms,),
            "system": (n_atoms,),
            "cell": (n_systems, 3, 3),
            "pbc": (n_systems, 3),
            "charge": (n_systems,),
            "multiplicity": (n_systems,),
        }
        for name, shape in expected.items():
            tensor: Tensor = getattr(self, name)
            if tuple(tensor.shape) != shape:
                msg = f"Structures.{name} has shape {tuple(tensor.shape)}, not {shape}"
                raise DataError(msg)
            if tensor.device != self.positions.device:
                msg = f"Structures.{name} is on {tensor.device}, positions elsewhere"
                raise DataError(msg)
            dtype = _DTYPES.get(name, self.positions.dtype)
            if tensor.dtype != dtype:
                msg = f"Structures.{name} is {tensor.dtype}, not {dtype}"
                raise DataError(msg)
        if not self.positions.is_floating_point():
            msg = f"Structures.positions is {self.positions.dtype}, not a float type"
            raise DataError(msg)
        if len(self.group) != n_systems or len(self.smiles) != n_systems:
            msg = f"Structures.group and .smiles must name all {n_systems} structures"
            raise DataError(msg)
        if n_atoms and bool((self.system[1:] < self.system[:-1]).any()):
            raise DataError("Structures.system must be ascending")
        if n_atoms and not 0 <= int(self.system[0]) <= int(self.system[-1]) < n_systems:
            msg = f"Structures.system points outside the {n_systems} structures"
            raise DataError(msg)

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the whole batch."""
        return len(self.numbers)

    @property
    def n_systems(self) -> int:
        """Number of structures."""
        return len(self.ids)

    @property
    def sizes(self) -> Tensor:
        """Shape (n_systems,), int64: atoms per structure."""
        return torch.bincount(self.system, minlength=self.n_systems)

    @classmethod
    def build(
        cls,
        positions: Sequence[Tensor],
        numbers: Sequence[Tensor],
        *,
        ids: Sequence[str],
        group: Sequence[str] | None = None,
        smiles: Sequence[str] | None = None,
        charge: Sequence[int] | None = None,
        multiplicity: Sequence[int] | None = None,
        cell: Tensor | None = None,
        pbc: Tensor | None = None,
    ) -> Self:
        """Return a batch from one positions and one numbers tensor per structure.

        Args:
            positions: Per structure shape (n, 3), in Å; one float dtype for all.
            numbers: Per structure shape (n,), atomic numbers.
            ids: Names of the structures.
            group: Molecule keys; the ids when left out.
            smiles: Atom-mapped SMILES; empty when left out.
            charge: Total charges in e; 0 when left out.
            multiplicity: Spin multiplicities 2S + 1; 1 when left out.
            cell: Shape (n_systems, 3, 3), lattice vectors as rows, in Å; zeros if none.
            pbc: Shape (n_systems, 3), bool; False when left out.

        Raises:
            DataError: Something does not fit together.
        """
        n_systems = len(ids)
        if not len(positions) == len(numbers) == n_systems:
            msg = f"{n_systems} ids, {len(positions)} positions, {len(numbers)} numbers"
            raise DataError(msg)
        dtype = positions[0].dtype if n_systems else torch.float64
        sizes = torch.tensor([len(entry) for entry in numbers], dtype=torch.int64)
        if cell is None:
            cell = torch.zeros((n_systems, 3, 3), dtype=dtype)
        if pbc is None:
            pbc = torch.zeros((n_systems, 3), dtype=torch.bool)
        empty = torch.zeros((0, 3), dtype=dtype)
        return cls(
            positions=torch.cat([empty, *positions]),
            numbers=torch.cat([empty[:, 0].long(), *numbers]).long(),
            system=torch.repeat_interleave(torch.arange(n_systems), sizes),
            cell=cell.to(dtype),
            pbc=pbc,
            charge=torch.tensor(charge or [0] * n_systems, dtype=torch.int64),
            multiplicity=torch.tensor(multiplicity or [1] * n_systems, dtype=torch.int64),
            ids=tuple(ids),
            group=tuple(ids if group is None else group),
            smiles=tuple([""] * n_systems if smiles is None else smiles),
        )

    @classmethod
    def concatenate(cls, batches: Sequence[Self]) -> Self:
        """Return all structures of several batches, in order, as one batch.

        Raises:
            DataError: There are no batches, or their dtypes or devices differ.
        """
        if not batches:
            raise DataError("nothing to concatenate: expected at least one batch")
        kinds = {f"{b.positions.dtype} on {b.positions.device}" for b in batches}
        if len(kinds) > 1:
            msg = f"cannot concatenate {' with '.join(sorted(kinds))}: use .to() first"
            raise DataError(msg)
        offsets = [0]
        for batch in batches:
            offsets.append(offsets[-1] + batch.n_systems)
        tensors: dict[str, Tensor] = {
            name: torch.cat([getattr(batch, name) for batch in batches])
            for name in ("positions", "numbers", "cell", "pbc", "charge", "multiplicity")
        }
        return cls(
            system=torch.cat(
                [b.system + start for b, start in zip(batches, offsets, strict=False)]
            ),
            ids=tuple(name for batch in batches for name in batch.ids),
            group=tuple(name for batch in batches for name in batch.group),
            smiles=tuple(name for batch in batches for name in batch.smiles),
            **tensors,
        )

    def select(self, indices: Sequence[int]) -> Self:
        """Return the structures at ``indices``, in that order, as a new batch."""
        order = torch.as_tensor(
            list(indices), dtype=torch.int64, device=self.system.device
        )
        sizes = self.sizes
        starts = torch.cumsum(sizes, 0) - sizes
        chosen = sizes[order]
        within = torch.arange(int(chosen.sum()), device=order.device)
        within -= torch.repeat_interleave(torch.cumsum(chosen, 0) - chosen, chosen)
        atoms = torch.repeat_interleave(starts[order], chosen) + within
        names = order.tolist()
        return replace(
            self,
            positions=self.positions[atoms],
            numbers=self.numbers[atoms],
            system=torch.repeat_interleave(
                torch.arange(len(names), device=order.device), chosen
            ),
            cell=self.cell[order],
            pbc=self.pbc[order],
            charge=self.charge[order],
            multiplicity=self.multiplicity[order],
            ids=tuple(self.ids[i] for i in names),
            group=tuple(self.group[i] for i in names),
            smiles=tuple(self.smiles[i] for i in names),
        )

    def cut(self, lengths: Sequence[int]) -> Iterator[Self]:
        """Yield stretches of so many consecutive structures, each a new batch."""
        ends = [0, *torch.cumsum(self.sizes, 0).tolist()]
        stop = 0
        for length in lengths:
            start, stop = stop, stop + length
            atoms, own = slice(ends[start], ends[stop]), slice(start, stop)
            yield replace(
                self,
                positions=self.positions[atoms].clone(),
                numbers=self.numbers[atoms].clone(),
                system=self.system[atoms] - start,
                cell=self.cell[own].clone(),
                pbc=self.pbc[own].clone(),
                charge=self.charge[own].clone(),
                multiplicity=self.multiplicity[own].clone(),
                ids=self.ids[own],
                group=self.group[own],
                smiles=self.smiles[own],
            )

    @property
    def centres(self) -> Tensor:
        """Shape (n_systems, 3), mean positions in Å; without gradients."""
        share = self.positions.detach() / self.sizes[self.system, None]
        return torch.zeros_like(self.cell[:, 0]).index_add(0, self.system, share)

    def near_origin(self) -> Self:
        """Return the batch with every structure that lies far out around the origin.

        One whose centre is within `FAR` stays as it is. Energies and forces do not depend
        on where a structure is.
        """
        if bool((self.positions.detach().abs() < FAR / 2).all()):
            return self  # all atoms are within, and so is every centre
        centres = self.centres
        distances = centres.norm(dim=1)
        far = (distances > FAR) & torch.isfinite(distances)
        if not bool(far.any()):
            return self
        offsets = torch.where(far[:, None], centres, torch.zeros_like(centres))
        return replace(self, positions=self.positions - offsets[self.system])

    def to(
        self,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Return the batch on a device and with a float dtype; ids are shared.

        Where the dtype gets narrower, what lies far out is moved to the origin first:
        float32 has no digits left for a bond at 10⁶ Å.
        """
        changes: dict[str, Tensor] = {}
        narrower = dtype is not None and dtype.itemsize < self.positions.dtype.itemsize
        source = self.near_origin() if narrower else self
        for field in fields(self):
            value = getattr(source, field.name)
            if isinstance(value, Tensor):
                floating = dtype if value.is_floating_point() else None
                changes[field.name] = value.to(device=device, dtype=floating)
        return replace(self, **changes)  # type: ignore[arg-type]  # tensors only
