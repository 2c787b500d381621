"""AniForceField: ANI-1x, ANI-1ccx, ANI-2x and others of their kind."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from mlffbench.core.assembly import predict_rest, refusals, require_supported
from mlffbench.core.card import ModelCard
from mlffbench.core.forcefield import CutoffScope
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.core.units import HARTREE
from mlffbench.models.copies import OwnsTrunk, without_graph
from mlffbench.models.cutoffs import check_within
from mlffbench.models.pretrained.ani_ensemble import Ensemble

MAX_PADDED_PAIRS = {"cpu": 25_000, "cuda": 1_000_000}
"""Atom pairs computed at once, padding included: on a CPU what stays in its caches (200
molecules of 10 atoms; ten times as many take twice as long), elsewhere some 0.1 GB."""
PADDING = -1
"""torchani's species of an atom that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AniParts:
    """What makes a model of the ANI family.

    Attributes:
        aev_computer: torchani's module that turns positions into atomic environments.
        ensemble: The networks of all elements.
        self_energies: Shape (n_elements,), float64, in hartree.
        numbers: Atomic number of each element, in the networks' order.
    """

    aev_computer: Any
    ensemble: Ensemble
    self_energies: Tensor
    numbers: tuple[int, ...]


class _Padded(NamedTuple):
    """Structures side by side: shapes (n, n_max) and (n, n_max, 3)."""

    atoms: Tensor
    species: Tensor
    positions: Tensor


class AniForceField(OwnsTrunk):
    """A model of the ANI family, batched by padding; networks run on real atoms only.

    Args:
        name: How tables call it.
        parts: Environments, networks and self-energies.
        card: What is known of it; elements and cutoff are read off the parts.
        device: Where to compute.
        dtype: Floating-point type to compute in.

    Attributes:
        weights_sha256: Of its files; empty where they come with torchani.
        cutoff: Radius of the radial terms, in Å; that of the angular terms is the trained
            one or, where it is less, the same.
        cutoff_scope: Always ``"graph+envelope"``: torchani lists neighbours up to where
            its cosine envelope vanishes, so the two move together.
    """

    cutoff_scope: CutoffScope = "graph+envelope"

    def __init__(
        self,
        name: str,
        parts: AniParts,
        card: ModelCard,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.name = name
        self.weights_sha256 = ""
        self._aev_computer: Any = parts.aev_computer.to(device=device, dtype=dtype)
        self.trained_cutoff = self.cutoff = float(self._aev_computer.Rcr)
        self._angular_cutoff = float(self._aev_computer.Rca)
        self.elements = frozenset(parts.numbers)
        self.card = replace(card, elements=self.elements, cutoff=self.cutoff)
        self._ensemble = parts.ensemble.to(device=device, dtype=dtype)
        self._trunk = {
            key: nn.Parameter(value, requires_grad=False)
            for key, value in self._ensemble.hidden_layers().items()
        }
        self._self_energies = parts.self_energies.double().to(device=device)
        self._device, self._dtype = device, dtype
        species = torch.full((max(self.elements) + 1,), PADDING)
        species[list(parts.numbers)] = torch.arange(len(parts.numbers))
        self._species = species.to(device)

    def predict(self, structures: Structures) -> Labels:
        """Return float64 energies in eV and forces in eV/Å."""
        refused = refusals(structures, self.card)
        return predict_rest(structures, refused, self._compute)

    def with_cutoff(self, cutoff: float) -> Self:
        """Return the same networks on environments of another radius in Å.

        Both envelopes end there, the angular one only where it would reach farther. The
        symmetry functions stay where they are.

        Raises:
            ModelError: The radius is not positive, or above the trained one, beyond which
                the networks never saw a neighbour.
        """
        why = "its networks never saw a neighbour"
        check_within(cutoff, self.trained_cutoff, self.name, why)
        twin = copy.copy(self)
        twin.cutoff = float(cutoff)
        twin._aev_computer = copy.copy(self._aev_computer)
        twin._aev_computer.Rcr = twin.cutoff
        twin._aev_computer.Rca = min(self._angular_cutoff, twin.cutoff)
        return twin

    def embed(self, structures: Structures) -> Tensor:
        """Return atomic environment vectors, shape (n_atoms, n_inputs), dimensionless.

        Raises:
            ModelError: A structure has elements or a cell that the model does not know.
        """
        require_supported(structures, self.card, self.name)
        vectors = torch.zeros(
            (structures.n_atoms, self._ensemble.n_inputs), dtype=self._dtype
        ).to(self._device)
        for padded in self._padded(structures, structures.positions.detach()):
            real = padded.species != PADDING
            vectors[padded.atoms[real]] = self._environments(padded)[real]
        return vectors.to(structures.positions.device)

    def embed_graph(self, structures: Structures) -> Tensor:
        """Return the networks' last hidden layers with the autograd graph.

        Shape (n_atoms, n_features), where the networks are; the last columns are 1 for
        the atom's element. Twice differentiable with respect to the positions and to
        `trunk_parameters`.

        Raises:
            ModelError: A structure has elements or a cell that the model does not know.
        """
        require_supported(structures, self.card, self.name)
        ensemble = self._ensemble.with_hidden_layers(self._trunk)
        total = torch.zeros(
            (structures.n_atoms, ensemble.n_features),
            dtype=self._dtype,
            device=self._device,
        )
        for padded in self._padded(structures, structures.positions):
            real = padded.species != PADDING
            features = ensemble.features(
                padded.species[real], self._environments(padded)[real]
            )
            total = total.index_add(0, padded.atoms[real], features)
        return total

    def labels_graph(self, structures: Structures) -> Labels:
        """Return the labels of `predict` with the autograd graph to `trunk_parameters`.

        Raises:
            ModelError: A structure has elements or a cell that the model does not know.
        """
        require_supported(structures, self.card, self.name)
        ensemble = self._ensemble.with_hidden_layers(self._trunk)
        with torch.enable_grad():
            return self._labels(structures, ensemble, differentiable=True)

    def _compute(self, structures: Structures) -> Labels:
        ensemble = self._ensemble.with_hidden_layers(self._frozen())
        labels = self._labels(structures, ensemble, differentiable=False)
        return without_graph(labels)

    def _labels(
        self, structures: Structures, ensemble: Ensemble, *, differentiable: bool
    ) -> Labels:
        shape = (structures.n_atoms, 3)
        forces = torch.zeros(shape, dtype=torch.float64, device=self._device)
        atomic = torch.zeros(structures.n_atoms, dtype=torch.float64, device=self._device)
        for padded in self._padded(structures, structures.positions.detach()):
            padded.positions.requires_grad_()
            vectors = self._environments(padded).flatten(0, 1)
            interaction = ensemble(padded.species.flatten(), vectors)
            (gradient,) = torch.autograd.grad(
                interaction.sum(), padded.positions, create_graph=differentiable
            )
            real = padded.species != PADDING
            atoms, species = padded.atoms[real], padded.species[real]
            if not differentiable:
                interaction = interaction.detach()
            energies = interaction[real.flatten()].double() + self._self_energies[species]
            forces = forces.index_add(0, atoms, -gradient[real].double())
            atomic = atomic.index_add(0, atoms, energies)
        energy = forces.new_zeros(structures.n_systems)
        energy = energy.index_add(0, structures.system.to(self._device), atomic)
        device = structures.positions.device
        return Labels(
            energy=(energy * HARTREE).to(device),
            forces=(forces * HARTREE).to(device),
            source=f"model:{self.name}, total energies",
        )

    def _environments(self, padded: _Padded) -> Tensor:
        """Return environment vectors, shape (n, n_max, n_inputs); zeros for padding."""
        environments: Tensor = self._aev_computer((padded.species, padded.positions))[1]
        return environments

    def _padded(self, structures: Structures, positions: Tensor) -> Iterator[_Padded]:
        """Yield all structures, those of similar size together, within bounded memory."""
        sizes = structures.sizes.cpu()
        starts = torch.cumsum(sizes, 0) - sizes
        order = torch.argsort(sizes, stable=True).tolist()
        species = self._species[structures.numbers.to(self._device)]
        positions = positions.to(self._device, self._dtype)
        most = MAX_PADDED_PAIRS.get(self._device.type, MAX_PADDED_PAIRS["cuda"])
        first = 0
        for stop in range(1, len(order) + 1):
            fits = (stop + 1 - first) * int(sizes[order[stop % len(order)]]) ** 2 <= most
            if stop < len(order) and fits:
                continue
            chunk = torch.tensor(order[first:stop])
            first = stop
            column = torch.arange(int(sizes[chunk].max()))
            missing = (column >= sizes[chunk, None]).to(self._device)
            atoms = (starts[chunk, None] + column).clamp(max=structures.n_atoms - 1)
            atoms = atoms.to(self._device)
            yield _Padded(
                atoms=atoms,
                species=species[atoms].masked_fill(missing, PADDING),
                positions=positions[atoms].masked_fill(missing[:, :, None], 0.0),
            )
