"""The networks of ANI, all members of the ensemble in one matrix product.

torchani calls its 8 networks one after another; stacked, the same arithmetic takes about
three quarters of the time on a CPU. The numbers agree to rounding.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

CELU_ALPHA = 0.1
"""Of the activation between layers, as published."""


class Ensemble:
    """Mean of several networks per element; a layer is a stack of matrices.

    Args:
        weights: Per element and layer, shape (n_networks, n_inputs, n_outputs); the first
            layer sees the same input in every network, so its matrices stand side by
            side, shape (n_inputs, n_networks · n_outputs): one wide product.
        biases: Per element and layer, shape (n_networks, 1, n_outputs).
    """

    def __init__(
        self, weights: Sequence[Sequence[Tensor]], biases: Sequence[Sequence[Tensor]]
    ) -> None:
        self._weights = [list(layers) for layers in weights]
        self._biases = [list(layers) for layers in biases]

    @property
    def n_inputs(self) -> int:
        """Length of an atomic environment vector."""
        return self._weights[0][0].shape[0]

    @property
    def n_features(self) -> int:
        """Length of what `features` returns for an atom."""
        n_networks = self._biases[0][0].shape[0]
        widest = max(layers[-1].shape[1] for layers in self._weights)
        return n_networks * widest + len(self._weights)

    def to(self, *, device: torch.device, dtype: torch.dtype) -> Self:
        """Return the ensemble on a device and with a floating-point type."""

        def move(stack: list[list[Tensor]]) -> list[list[Tensor]]:
            return [[entry.to(device, dtype) for entry in layers] for layers in stack]

        return type(self)(move(self._weights), move(self._biases))

    def hidden_layers(self) -> dict[str, Tensor]:
        """Return the tensors of all layers but the last, which `features` depends on."""
        return {
            f"{element}.{layer}.{kind}": tensor
            for kind, stack in (("weight", self._weights), ("bias", self._biases))
            for element, layers in enumerate(stack)
            for layer, tensor in enumerate(layers[:-1])
        }

    def with_hidden_layers(self, tensors: Mapping[str, Tensor]) -> Self:
        """Return the ensemble with other hidden layers, named as in `hidden_layers`."""

        def exchange(stack: list[list[Tensor]], kind: str) -> list[list[Tensor]]:
            return [
                [
                    tensors.get(f"{element}.{layer}.{kind}", tensor)
                    for layer, tensor in enumerate(layers)
                ]
                for element, layers in enumerate(stack)
            ]

        return type(self)(
            exchange(self._weights, "weight"), exchange(self._biases, "bias")
        )

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

    def features(self, species: Tensor, vectors: Tensor) -> Tensor:
        """Return the last hidden layer of every network, side by side, and the element.

        Args:
            species: Shape (n_atoms,), int64.
            vectors: Shape (n_atoms, n_inputs): atomic environments.

        Returns:
            Shape (n_atoms, n_features), dimensionless. Narrower layers are filled up with
            zeros; the last columns say 1 for the atom's element, since what a hidden unit
            means differs between elements.
        """
        width = self.n_features - len(self._weights)
        total = vectors.new_zeros(len(species), self.n_features)
        for element in range(len(self._weights)):
            of_element = (species == element).nonzero().flatten()
            if not len(of_element):
                continue
            hidden = self._hidden(element, vectors.index_select(0, of_element))
            hidden = nn.functional.celu(hidden, CELU_ALPHA).transpose(0, 1).flatten(1)
            columns = total.new_zeros(len(of_element), self.n_features)
            columns[:, width + element] = 1.0
            columns = torch.cat([hidden, columns[:, hidden.shape[1] :]], dim=1)
            total = total.index_add(0, of_element, columns)
        return total

    def _energies(self, element: int, vectors: Tensor) -> Tensor:
        """Return energies in hartree of atoms of one element, shape (n,)."""
        hidden = nn.functional.celu(self._hidden(element, vectors), CELU_ALPHA)
        weight, bias = self._weights[element][-1], self._biases[element][-1]
        return torch.baddbmm(bias, hidden, weight)[:, :, 0].mean(0)

    def _hidden(self, element: int, vectors: Tensor) -> Tensor:
        """Return the last hidden layer before its activation, (n_networks, n, width)."""
        weights, biases = self._weights[element], self._biases[element]
        n_networks, _, width = biases[0].shape
        hidden = torch.addmm(biases[0].flatten(), vectors, weights[0])
        hidden = hidden.view(-1, n_networks, width).transpose(0, 1)
        for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True):
            hidden = torch.baddbmm(bias, nn.functional.celu(hidden, CELU_ALPHA), weight)
        return hidden


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
        first, *others = [torch.stack([m.weight.detach().T for m in s]) for s in stacks]
        wide = first.permute(1, 0, 2).flatten(1).contiguous()
        weights.append([wide, *others])
        biases.append(
            [torch.stack([m.bias.detach() for m in s])[:, None] for s in stacks]
        )
    return Ensemble(weights, biases)
