"""First and second derivatives of the features of a trunk, and finite differences."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.training.trunk import HasTrunk

STEP = 1e-5


@dataclass(frozen=True)
class FeatureSlope:
    """The slope of Σ tanh(features) as all atoms move one way.

    Attributes:
        trunk: What embeds; `mixed_differences` moves a parameter of it and moves it back.
        structures: Where the slope is taken.
        way: How far each atom moves per unit of distance, shape (n_atoms, 3).
    """

    trunk: HasTrunk
    structures: Structures
    way: Tensor

    def with_graph(self) -> Tensor:
        """Return it as autograd finds it, differentiable in the parameters."""
        positions = self.structures.positions.clone().requires_grad_()
        energy = self._features(positions).tanh().sum()
        [slope] = torch.autograd.grad(energy, [positions], create_graph=True)
        return (slope * self.way).sum()

    def value(self) -> float:
        return float(self.with_graph().detach())

    def differences(self) -> float:
        """Return it by finite differences of the features."""
        positions = self.structures.positions
        up, down = (
            float(self._features(positions + by * self.way).detach().tanh().sum())
            for by in (STEP, -STEP)
        )
        return (up - down) / (2 * STEP)

    def mixed(self, weight: Tensor, side: Tensor) -> float:
        """Return how it changes as a parameter moves to a side, as autograd finds it."""
        [found] = torch.autograd.grad(self.with_graph(), [weight])
        return float((found * side).sum())

    def mixed_differences(self, weight: Tensor, side: Tensor) -> float:
        """Return the same by finite differences of the slope."""
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                weight += sign * STEP * side
            ends.append(self.value())
            with torch.no_grad():
                weight -= sign * STEP * side
        return (ends[0] - ends[1]) / (2 * STEP)

    def _features(self, positions: Tensor) -> Tensor:
        return self.trunk.embed_graph(replace(self.structures, positions=positions))


def with_moving_trunk(model: Any, structures: Structures) -> tuple[Any, Labels]:
    """Return a clone whose trunk takes gradients, and its labels, detached.

    All of its trunk moves the forces, and the trunk of the model stays without gradients.
    """
    twin = model.clone()
    trunk = list(twin.trunk_parameters().values())
    for parameter in trunk:
        parameter.requires_grad_()
    labels = twin.labels_graph(structures)
    slopes = torch.autograd.grad(labels.forces.square().sum(), trunk)
    assert all(bool(slope.any()) for slope in slopes)
    assert not any(p.requires_grad for p in model.trunk_parameters().values())
    forces, energy = labels.forces.detach(), labels.energy.detach()
    return twin, replace(labels, energy=energy, forces=forces)
