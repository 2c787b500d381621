"""Pairs: prediction beside reference in float64, with what is missing marked."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlffbench.core.errors import DataError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.metrics.samples import Samples

Floats = NDArray[np.float64]
COMPONENTS = 3
"""Cartesian components of one atom's force."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ForcePair:
    """Predicted and reference forces of a batch.

    Attributes:
        predicted: Shape (n_atoms, 3), in eV/Å; NaN in structures that are not complete.
        reference: Shape (n_atoms, 3), in eV/Å; NaN likewise.
        system: Shape (n_atoms,), int64 atom -> structure.
        complete: Shape (n_systems,), bool: every component finite on both sides, and at
            least one atom.
    """

    predicted: Floats
    reference: Floats
    system: NDArray[np.int64]
    complete: NDArray[np.bool_]

    @property
    def error(self) -> Floats:
        """Shape (n_atoms, 3), in eV/Å: prediction minus reference."""
        return self.predicted - self.reference

    def average(
        self,
        atomic: Floats,
        *,
        weight_per_atom: int,
        chosen: NDArray[np.bool_] | None = None,
    ) -> Samples:
        """Return each structure's mean of an atomic quantity, weighted by its atoms.

        Args:
            atomic: Shape (n_atoms,), the quantity of each atom.
            weight_per_atom: 3 for a mean over force components, 1 for a mean over atoms.
            chosen: Shape (n_atoms,), the atoms that take part; all when left out. A
                structure without any is missing.
        """
        n_systems = len(self.complete)
        system = self.system if chosen is None else self.system[chosen]
        values = atomic if chosen is None else atomic[chosen]
        count = np.bincount(system, minlength=n_systems).astype(np.float64)
        total = np.bincount(system, weights=values, minlength=n_systems)
        evaluated = self.complete & (count > 0)
        mean = np.divide(total, count, out=np.zeros(n_systems), where=evaluated)
        return Samples.of(mean, weight=weight_per_atom * count, evaluated=evaluated)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EnergyPair:
    """Energy errors of a batch.

    Attributes:
        error: Shape (n_systems,), in eV: prediction minus reference; NaN if not complete.
        sizes: Shape (n_systems,), float64: atoms of each structure.
        complete: Shape (n_systems,), bool: finite on both sides, and at least one atom.
    """

    error: Floats
    sizes: Floats
    complete: NDArray[np.bool_]


def pair_forces(
    prediction: Labels, reference: Labels, structures: Structures
) -> ForcePair:
    """Return the forces of both labels; a structure with any non-finite one is missing.

    Raises:
        DataError: The labels are not those of these structures.
    """
    for labels in (prediction, reference):
        _check(labels, "forces", len(labels.forces), structures.n_atoms)
    system = structures.system.cpu().numpy()
    predicted, expected = to_float64(prediction.forces), to_float64(reference.forces)
    finite = np.isfinite(predicted).all(axis=1) & np.isfinite(expected).all(axis=1)
    n_systems = structures.n_systems
    finite_atoms = np.bincount(system[finite], minlength=n_systems)
    sizes = np.bincount(system, minlength=n_systems)
    complete = (sizes > 0) & (finite_atoms == sizes)
    keep = complete[system][:, None]
    return ForcePair(
        predicted=np.where(keep, predicted, np.nan),
        reference=np.where(keep, expected, np.nan),
        system=system,
        complete=complete,
    )


def pair_energies(
    prediction: Labels, reference: Labels, structures: Structures
) -> EnergyPair:
    """Return the energy errors; a structure with a non-finite energy is missing.

    Raises:
        DataError: The labels are not those of these structures.
    """
    for labels in (prediction, reference):
        _check(labels, "energies", len(labels.energy), structures.n_systems)
    return energy_errors(prediction.energy, reference.energy, structures)


def energy_errors(
    prediction: Tensor, reference: Tensor, structures: Structures
) -> EnergyPair:
    """Return the errors of bare energies, each of shape (n_systems,), in eV.

    Raises:
        DataError: A tensor is not of that shape.
    """
    for energies in (prediction, reference):
        if tuple(energies.shape) != (structures.n_systems,):
            shape, expected = tuple(energies.shape), (structures.n_systems,)
            msg = f"energies have shape {shape}; these structures need {expected}"
            raise DataError(msg)
    sizes = structures.sizes.cpu().numpy().astype(np.float64)
    predicted, expected_energy = to_float64(prediction), to_float64(reference)
    complete = np.isfinite(predicted) & np.isfinite(expected_energy) & (sizes > 0)
    error = np.full(len(sizes), np.nan)
    np.subtract(predicted, expected_energy, out=error, where=complete)
    return EnergyPair(error=error, sizes=sizes, complete=complete)


def blank(labels: Labels, structures: Structures, *, keep: NDArray[np.bool_]) -> Labels:
    """Return the labels with NaN for every structure outside ``keep``.

    Args:
        labels: Labels of ``structures``.
        structures: What they describe.
        keep: Shape (n_systems,), the structures whose labels stay.
    """
    kept = torch.as_tensor(keep, device=labels.energy.device)
    atoms = kept[structures.system.to(kept.device)][:, None]
    return replace(
        labels,
        energy=torch.where(kept, labels.energy, torch.nan),
        forces=torch.where(atoms, labels.forces, torch.nan),
    )


def to_float64(tensor: Tensor) -> Floats:
    """Return a tensor of any float type, device or autograd state as a float64 array."""
    array: Floats = tensor.detach().to(device="cpu", dtype=torch.float64).numpy()
    return array


def _check(labels: Labels, what: str, found: int, expected: int) -> None:
    if found != expected:
        msg = (
            f"labels of {labels.source!r} have {found} {what}; these structures need "
            f"{expected}: pass labels and structures in the same order and number"
        )
        raise DataError(msg)
