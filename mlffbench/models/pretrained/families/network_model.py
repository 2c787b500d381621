"""NetworkForceField: a published network behind the promises of a force field.

An adapter wraps its package's network into a module that takes our structures and our
graph and returns a `Reading`; everything else is the same for all of them.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mlffbench.core.assembly import predict_rest, refusals, require_supported
from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import CutoffScope
from mlffbench.core.graph import Graph, radius_graph
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.models.copies import OwnsTrunk, without_graph
from mlffbench.models.cutoffs import check_within
from mlffbench.models.empty_batch import filled, no_labels
from mlffbench.models.pretrained.foreign import check_finite, steady_bits


class Reading(NamedTuple):
    """What a network says of a batch, with the autograd graph.

    Attributes:
        energy: Shape (n_systems,), float64, total energies in eV.
        features: Shape (n_atoms, n_features), invariant, before the readout.
        forces: Shape (n_atoms, 3), in eV/Å, of a network that has a head for them; None
            where they are the slope of the energy.
    """

    energy: Tensor
    features: Tensor
    forces: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFacts:
    """What is read off a network.

    Attributes:
        elements: Atomic numbers it knows.
        cutoff: Of its graphs, in Å.
        trunk: Beginnings of the names of parameters that its features depend on.
        scopes: What its envelope can do at a smaller cutoff, its default first.
        multiplicity: The highest that it knows; None takes any.
    """

    elements: frozenset[int]
    cutoff: float
    trunk: tuple[str, ...]
    scopes: tuple[CutoffScope, ...] = ("graph",)
    multiplicity: int | None = None


class NetworkForceField(OwnsTrunk):
    """One published network.

    Args:
        name: How tables call it.
        network: Takes structures whose positions are of the network's dtype, their graph,
            and the radius in Å at which the envelope is to vanish; returns a `Reading`.
            It becomes this model's own.
        facts: What is read off it.
        card: What is known of it; elements and cutoff are those of ``facts``.
        device: Where to compute.
        dtype: Floating-point type to compute in.

    Attributes:
        weights_sha256: Of the weights; empty for a network that came from no file.

    Raises:
        ModelError: A weight of the network is not finite.
    """

    cutoff_scope: CutoffScope
    cutoff_scopes: tuple[CutoffScope, ...]

    def __init__(
        self,
        name: str,
        network: nn.Module,
        facts: NetworkFacts,
        card: ModelCard,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        check_finite(network, name)
        self.name, self.weights_sha256 = name, ""
        self.trained_cutoff = self.cutoff = facts.cutoff
        self.cutoff_scopes, self.cutoff_scope = facts.scopes, facts.scopes[0]
        self.elements = facts.elements
        self._multiplicity = facts.multiplicity
        self.card = replace(card, elements=facts.elements, cutoff=facts.cutoff)
        self._network = network.to(device=device, dtype=dtype).eval()
        self._network.requires_grad_(False)
        self._trunk: dict[str, nn.Parameter] = {
            key: parameter
            for key, parameter in self._network.named_parameters()
            if key.startswith(facts.trunk)
        }
        self._device, self._dtype = device, dtype

    def with_cutoff(self, cutoff: float, scope: CutoffScope | None = None) -> Self:
        """Return the same network on graphs of another radius in Å.

        Args:
            cutoff: In Å, at most the trained one.
            scope: ``"graph"`` keeps the envelope of training, so forces jump at the
                radius; ``"graph+envelope"`` makes it vanish there. None keeps the scope.

        Raises:
            ModelError: The radius is not positive or above the trained one, or the
                network's envelope cannot be moved.
        """
        check_within(cutoff, self.trained_cutoff, self.name, "its envelope is 0")
        other = copy.copy(self)
        other.cutoff = float(cutoff)
        other.cutoff_scope = scope or self.cutoff_scope
        if other.cutoff_scope not in self.cutoff_scopes:
            msg = f"{self.name!r} has no radial envelope that could be moved; use the "
            raise ModelError(msg + "envelope policy 'truncate'")
        return other

    def predict(self, structures: Structures) -> Labels:
        """Return float64 total energies in eV and forces in eV/Å."""
        refused = refusals(structures, self.card) | self._unknown_spins(structures)
        return predict_rest(structures, refused, self._compute)

    def embed(self, structures: Structures) -> Tensor:
        """Return the features before the readout, shape (n_atoms, n_features).

        Raises:
            ModelError: A structure is outside what the network can treat.
        """
        features = self._features(structures, self._frozen())
        return features.detach().to(structures.positions.device)

    def embed_graph(self, structures: Structures) -> Tensor:
        """Return the features of `embed` with the autograd graph, where the network is.

        Raises:
            ModelError: A structure is outside what the network can treat.
        """
        return self._features(structures, self._trunk)

    def labels_graph(self, structures: Structures) -> Labels:
        """Return the labels of `predict` with the autograd graph to `trunk_parameters`.

        Raises:
            ModelError: A structure is outside what the network can treat.
        """
        self._required(structures)
        return self._labels(structures, self._trunk, differentiable=True)

    def _features(self, structures: Structures, trunk: Mapping[str, Tensor]) -> Tensor:
        """Return the features before the readout, where the network is."""
        here = self._required(filled(structures, self.elements))
        with steady_bits():
            reading = self._read(here, here.positions, trunk)
        return reading.features[: structures.n_atoms]

    def _required(self, structures: Structures) -> Structures:
        """Return structures where the network is, if it can treat all of them."""
        require_supported(structures, self.card, self.name)
        for index, reason in self._unknown_spins(structures).items():
            msg = f"{self.name!r} cannot treat {structures.ids[index]!r}: {reason}"
            raise ModelError(msg)
        return structures.to(device=self._device)

    def _unknown_spins(self, structures: Structures) -> dict[int, str]:
        """Return why structures are refused whose multiplicity is above the highest."""
        most = self._multiplicity
        return {
            index: f"multiplicity {number} not supported, at most {most}"
            for index, number in enumerate(structures.multiplicity.tolist())
            if most is not None and number > most
        }

    def _compute(self, structures: Structures) -> Labels:
        return without_graph(
            self._labels(structures, self._frozen(), differentiable=False)
        )

    def _labels(
        self, structures: Structures, trunk: Mapping[str, Tensor], *, differentiable: bool
    ) -> Labels:
        if structures.n_systems == 0:
            return no_labels(structures, f"model:{self.name}, total energies")
        here = structures.to(device=self._device)
        slopes = self.card.conservative
        with_graph = slopes or differentiable
        with torch.set_grad_enabled(with_graph), steady_bits():
            positions = here.positions.detach().to(self._dtype, copy=True)
            positions.requires_grad_(with_graph)
            reading = self._read(here, positions, trunk)
            forces = reading.forces
            if forces is None and not slopes:
                msg = f"{self.name!r} is not conservative, yet has no head for forces"
                raise ModelError(msg)
            if forces is None and reading.energy.requires_grad:
                [slope] = torch.autograd.grad(
                    [reading.energy.sum()],
                    [positions],
                    create_graph=differentiable,
                    materialize_grads=True,
                )
                forces = -slope
            elif forces is None:  # lone atoms: nothing depends on a position
                forces = torch.zeros_like(positions)
        device = structures.positions.device
        return Labels(
            energy=reading.energy.double().to(device),
            forces=forces.double().to(device),
            source=f"model:{self.name}, total energies",
        )

    def _read(
        self, here: Structures, positions: Tensor, trunk: Mapping[str, Tensor]
    ) -> Reading:
        """Return what the network says of structures that lie where it is."""
        graph: Graph = radius_graph(here, self.cutoff)
        placed = replace(
            here, positions=positions.to(self._dtype), cell=here.cell.to(self._dtype)
        )
        moved = self.cutoff_scope == "graph+envelope"
        radius = self.cutoff if moved else self.trained_cutoff
        reading: Reading = functional_call(
            self._network, dict(trunk), (placed, graph, radius)
        )
        return reading


def summed(atomic: Tensor, structures: Structures) -> Tensor:
    """Return energies of structures, float64, from those of atoms, shape (n_atoms,)."""
    atomic = atomic.double()
    return atomic.new_zeros(structures.n_systems).index_add(0, structures.system, atomic)
