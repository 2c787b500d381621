"""The networks of ANI, all members of the ensemble in one matrix product.

torchani calls its 8 networks one after another; stacked, the same arithmetic takes about
three quarters of the time on a CPU. The numbers agree to rounding.
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

CELU_ALPHA = 0.1
"""Of the activation between layers, as published."""


class Ensemble:
    """Mean of several networks per element; a layer is a stack of matrices.

    Args:
        weights: Per element and layer, shape (n_networks, n_inputs, n_outputs).
        biases: Per element and layer, shape (n_networks, 1, n_outputs).
    """

    def __init__(
        self, weights: Sequence[Sequence[Tensor]], biases: Sequence[Sequence[Tensor]]
    ) -> None:
        self._weights = [list(layers) for layers in weights]
        self._biases = [list(layers) for layers in biases]
        # The first layer sees the same input in every network: one wide product.
        self._wide = [
            layers[0].permute(1, 0, 2).flatten(1).contiguous() for layers in self._weights
        ]

    @property
    def n_inputs(self) -> int:
        """Length of an atomic environment vector."""
        return self._wide[0].shape[0]

    def to(self, *, device: torch.device, dtype: torch.dtype) -> Self:
        """Return the ensemble on a device and with a floating-point type."""

        def move(stack: list[list[Tensor]]) -> list[list[Tensor]]:
            return [[entry.to(device, dtype) for entry in layers] for layers in stack]

        return type(self)(move(self._weights), move(self._biases))

    def __call__(self, species: Tensor, vectors: Tensor) -> Tensor:
        """Return interaction energies of atoms.

        Args:
            species: Shape (n_atoms,), int64: which element each atom is; any other
                number is no atom and counts 0.
            vectors: Shape (n_atoms, n_inputs): atomic environments.

        Returns:
            Shape (n_atoms,), in hartree: the mean over the networks.
        """
        atoms: list[Tensor] = []
        energies: list[Tensor] = []
        for element in range(len(self._weights)):
            of_element = (species == element).nonzero().flatten()
            if len(of_element):
                atoms.append(of_element)
                of_vectors = vectors.index_select(0, of_element)
                energies.append(self._energies(element, of_vectors))
        total = vectors.new_zeros(len(species))
        if not atoms:
            return total
        return total.index_add(0, torch.cat(atoms), torch.cat(energies))

    def _energies(self, element: int, vectors: Tensor) -> Tensor:
        """Return energies in hartree of atoms of one element, shape (n,)."""
        weights, biases = self._weights[element], self._biases[element]
        n_networks, _, width = weights[0].shape
        hidden = torch.addmm(biases[0].flatten(), vectors, self._wide[element])
        hidden = hidden.view(-1, n_networks, width).transpose(0, 1)
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            hidden = torch.baddbmm(bias, nn.functional.celu(hidden, CELU_ALPHA), weight)
        return hidden[:, :, 0].mean(0)


def stack_networks(networks: Sequence[Sequence[nn.Sequential]]) -> Ensemble:
    """Return several sets of networks as one ensemble.

    Args:
        networks: Per member, per element: Linear layers with CELU between them.
    """
    weights: list[list[Tensor]] = []
    biases: list[list[Tensor]] = []
    for members in zip(*networks, strict=True):
        layers = [[m for m in net if isinstance(m, nn.Linear)] for net in members]
        stacks = list(zip(*layers, strict=True))
        weights.append([torch.stack([m.weight.detach().T for m in s]) for s in stacks])
        biases.append(
            [torch.stack([m.bias.detach() for m in s])[:, None] for s in stacks]
        )
    return Ensemble(weights, biases)
