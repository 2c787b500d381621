"""The loss: energies per atom and the paper's L2-MAE of forces, labelled atoms only."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.training.examples import has_label


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Weights of the parts of a loss.

    Attributes:
        energy: Of the mean |ΔE| / n_atoms, in eV/atom.
        forces: Of the mean over atoms of |ΔF|, in eV/Å.
    """

    energy: float
    forces: float


def labels_loss(
    prediction: Labels, target: Labels, structures: Structures, weights: LossWeights
) -> Tensor:
    """Return the weighted error of energies and forces, a scalar.

    Structures without a finite target count nowhere; with none at all the loss is 0 and
    has no gradient.

    Args:
        prediction: With autograd graph.
        target: On the same device; NaN where there is no label.
        structures: What both are of.
        weights: Of energies and forces.
    """
    there = has_label(target)
    if not bool(there.any()):
        return torch.zeros((), device=prediction.energy.device)
    atoms = there[structures.system]
    difference = target.energy - prediction.energy.to(target.energy.dtype)
    per_atom = difference[there].abs() / structures.sizes[there]
    total = weights.energy * per_atom.mean()
    if weights.forces:
        error = target.forces[atoms] - prediction.forces[atoms].to(target.forces.dtype)
        total = total + weights.forces * l2_mae(error)
    return total


def l2_mae(error: Tensor) -> Tensor:
    """Return the mean over atoms of the Euclidean norm of force errors, in eV/Å.

    Args:
        error: Shape (n_atoms, 3), in eV/Å. Where it is exactly 0 the gradient is 0.
    """
    norms: Tensor = torch.linalg.vector_norm(error, dim=-1)
    return norms.mean()
