"""TwoHeaded: one representation, a prior's head and the reference's head."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

import torch
from pydantic import JsonValue
from torch import Tensor, nn
from torch.func import functional_call

from mlffbench.core.assembly import predict_rest, refusals
from mlffbench.core.card import ModelCard, format_elements
from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import CutoffScope, ForceField, Head
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import DTYPES
from mlffbench.core.spectrum import SpectralReference
from mlffbench.core.structures import Structures
from mlffbench.models.empty_batch import filled, no_labels
from mlffbench.models.twoheaded.architecture import Architecture
from mlffbench.models.twoheaded.atom_energies import zero_energies
from mlffbench.models.twoheaded.backbone import Atomwise, Backbone, Known
from mlffbench.models.twoheaded.networks import make_backbone
from mlffbench.models.twoheaded.owned_parameters import OWNERS, Owner, OwnsParameters
from mlffbench.models.twoheaded.partition import side
from mlffbench.models.twoheaded.prepared import Fixed, Prepared, prepare, split
from mlffbench.models.twoheaded.unit_stack import UnitStack, predict_clones

HEADS: tuple[Head, ...] = ("prior", "ref")
UNKNOWN_RATE = 1e-3
"""Learning rate of a prior head whose training is not known."""


class TwoHeaded(OwnsParameters):
    """A network with two heads; make one with `build` or `checkpoint.load`.

    The energy of head h is Σ_atoms (scale_h · network_h + E0_h[element]). A head is the
    network with the shared parameters and its own, so one head costs one network.

    Attributes:
        name: How tables call it.
        architecture: Everything about it but the weights.
        elements: Atomic numbers it can treat, learned or not.
        card: What is known of it.
        history: What its trainer wrote down.
        cutoff: Cutoff in use, in Å.
        cutoff_scope: Whether the radial envelope follows a changed cutoff.
        cutoff_scopes: What it can be.
        atomic_energies: Head -> atomic number -> E0 in eV; the fitted ones only, an
            element that was not fitted counts 0.
        scale: Head -> eV per unit of the network's output.
        weights_sha256: Of the weights file it was loaded from, else empty.
        device: Where it computes.
        dtype: What it computes in.
    """

    cutoff_scopes: tuple[CutoffScope, ...] = ("graph", "graph+envelope")

    def __init__(
        self,
        architecture: Architecture,
        backbone: Backbone,
        *,
        atomic_energies: Mapping[Head, Mapping[int, float]],
        scale: Mapping[Head, float],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.name: str = architecture.network
        self.architecture = architecture
        self.elements = frozenset(architecture.elements)
        self.card = ModelCard(
            elements=self.elements,
            periodic=True,
            cutoff=architecture.cutoff,
            conservative=not architecture.direct_forces,
        )
        self.history: Mapping[str, JsonValue] = {}
        self.cutoff = architecture.cutoff
        self.cutoff_scope: CutoffScope = "graph"
        self.atomic_energies = {head: dict(atomic_energies[head]) for head in HEADS}
        self.scale = {head: float(scale[head]) for head in HEADS}
        self.weights_sha256 = ""
        self.device, self.dtype = device, dtype
        self._backbone = backbone.to(device=device, dtype=dtype)
        self._zeros = {
            head: zero_energies(
                architecture, head, self.atomic_energies[head], self.scale[head]
            ).to(device)
            for head in HEADS
        }
        self._given: Mapping[str, Tensor] = {}
        self._parameters: dict[Owner, dict[str, nn.Parameter]] = {o: {} for o in OWNERS}
        for name, parameter in self._backbone.named_parameters():
            shared = side(architecture, name) == "shared"
            owners: tuple[Owner, ...] = ("shared",) if shared else HEADS
            for owner in owners:
                self._parameters[owner][name] = nn.Parameter(parameter.detach().clone())

    @classmethod
    def build(
        cls,
        architecture: Architecture,
        *,
        atomic_energies: Mapping[Head, Mapping[int, float]],
        scale: Mapping[Head, float],
        seed: int,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> Self:
        """Return an untrained model; both heads start from the same weights.

        Args:
            architecture: What to build.
            atomic_energies: Head -> atomic number -> E0 in eV, for the fitted elements.
            scale: Head -> eV per unit of the network's output, e.g. the standard
                deviation of the force components.
            seed: Of the initial weights; the random state of the process stays.
            device: Where to compute.
            dtype: ``"float32"`` or ``"float64"``.

        Raises:
            MissingExtraError: The network's library is not installed.
            ModelError: An E0 or a scale is no number or for an unknown element.
        """
        return cls(
            architecture,
            make_backbone(architecture, seed=seed),
            atomic_energies=atomic_energies,
            scale=scale,
            device=torch.device(device),
            dtype=DTYPES[dtype],
        )

    def predict(self, structures: Structures) -> Labels:
        """Return detached labels of the reference head; energies are float64.

        Structures with an element outside the table are named in ``failures``.
        """
        return self._predict(structures, "ref")

    def predict_prior(self, structures: Structures) -> Labels:
        """Return detached labels of the prior head; else as `predict`."""
        return self._predict(structures, "prior")

    def predict_clones(
        self, clones: Sequence[ForceField], parts: Sequence[Structures]
    ) -> list[Labels] | None:
        """Return what each clone predicts of its part, together; None if it cannot."""
        plain = type(self).predict is TwoHeaded.predict
        return predict_clones(self, clones, parts) if plain else None

    def predict_prepared(self, batch: Prepared) -> Labels:
        """Return detached labels of the reference head."""
        return self._labels(self._prepared(batch), "ref", differentiable=False)

    def prepare(self, structures: Structures) -> Prepared:
        """Return a batch with its neighbour list, to be used many times.

        Raises:
            ModelError: An element is not in the table of the network.
        """
        return prepare(
            structures,
            elements=self.architecture.elements,
            cutoff=self.cutoff,
            max_neighbours=self.architecture.max_neighbours,
            device=self.device,
            dtype=self.dtype,
        )

    def prepare_for(self, structures: Structures, head: Head) -> Prepared:
        """Return a batch for a head whose own parameters stay while the shared ones move.

        What does not change then is computed once; the other head may be asked as well.

        Raises:
            ModelError: An element is not in the table of the network.
        """
        batch, radius, owned = self.prepare(structures), self._radius, self._owned(head)
        own = {f"backbone.{name}": value for name, value in owned.items()}
        inputs = batch.vectors(batch.positions), radius, self.architecture.shared_blocks
        known = functional_call(_Known(self._backbone), own, inputs)
        mine = [owned[name] for name in self._parameters[head]]
        return replace(batch, fixed=Fixed.of(head, radius, mine, known))

    def forward(self, structures: Structures | Prepared, head: Head) -> Labels:
        """Return one head's labels with the autograd graph attached.

        Args:
            structures: A batch, or what `prepare` made of it.
            head: Which head.

        Returns:
            Energies in float64, forces in the dtype of the model; both can be
            differentiated with respect to the parameters.

        Raises:
            ModelError: An element is not in the table, or the batch was prepared for
                another cutoff, device or dtype.
        """
        return self._labels(self._prepared(structures), head, differentiable=True)

    def forward_energy(self, structures: Structures | Prepared, head: Head) -> Tensor:
        """Return one head's energies only, shape (n_systems,), in eV, float64."""
        batch = self._prepared(structures)
        return self._energy(batch, batch.positions, head)

    def embed(self, structures: Structures) -> Tensor:
        """Return the invariant features of the last shared block, detached.

        Returns:
            Shape (n_atoms, n_features).

        Raises:
            ModelError: An element is not in the table of the network.
        """
        batch = self.prepare(filled(structures, self.elements))
        with torch.no_grad():
            atoms = self._run(batch, batch.positions, "ref")
        return atoms.features[self.architecture.shared_blocks - 1][: structures.n_atoms]

    def features_graph(self, structures: Structures) -> Tensor:
        """Return the invariant features of all blocks under the reference head.

        Gradients flow to the positions and to the parameters.

        Returns:
            Shape (n_atoms, n_features), where the model computes.

        Raises:
            ModelError: An element is not in the table of the network.
        """
        whole = filled(structures, self.elements)
        batch = self.prepare(whole)
        positions = whole.positions.to(batch.positions)
        features = torch.cat(self._run(batch, positions, "ref").features, dim=1)
        return features[: structures.n_atoms]

    def with_cutoff(self, cutoff: float, scope: CutoffScope | None = None) -> Self:
        """Return the same model at another cutoff; weights are shared.

        Args:
            cutoff: In Å, at most the trained one.
            scope: ``"graph"`` drops the neighbours beyond the cutoff, so forces jump
                there; ``"graph+envelope"`` makes the radial envelope vanish at the cutoff
                too. None keeps the scope in use. The radial basis stays as trained: when
                it followed, the networks took every bond for a longer one.

        Raises:
            ModelError: The cutoff is no radius, or above the trained one.
        """
        self.architecture.check_cutoff(cutoff, self.name)
        twin = copy.copy(self)
        twin.cutoff = float(cutoff)
        twin.cutoff_scope = scope or self.cutoff_scope
        return twin

    @property
    def trained_heads(self) -> frozenset[Head]:
        """Heads that its trainer fitted; both where ``history`` does not say."""
        fitted = self.history.get("trained_heads")
        return frozenset(h for h in HEADS if not isinstance(fitted, list) or h in fitted)

    @property
    def training_spectrum(self) -> SpectralReference | None:
        """The reference that its trainer wrote down, if any."""
        return SpectralReference.from_json(self.history.get("spectral_reference"))

    @property
    def prior_learning_rate(self) -> float:
        """Learning rate of the stage that trained the prior head, 1e-3 if unknown."""
        plan = self.history.get("plan")
        stages = plan.get("stages") if isinstance(plan, dict) else None
        for stage in stages if isinstance(stages, list) else []:
            if isinstance(stage, dict) and "prior" in str(stage.get("parts")):
                rate = stage.get("learning_rate")
                return float(rate) if isinstance(rate, int | float) else UNKNOWN_RATE
        return UNKNOWN_RATE

    def stack(
        self, units: Sequence[Structures], head: Head | None = None
    ) -> UnitStack | None:
        """Return units for one pass, each with a representation of its own.

        None for a network that is not made of layers and embeddings alone.

        Args:
            units: A batch each.
            head: As in `prepare_for`; None for either head.

        Raises:
            ModelError: An element is not in the table of the network.
        """
        if not self._backbone.stackable:
            return None
        everything = Structures.concatenate(units)
        whole = self.prepare_for(everything, head) if head else self.prepare(everything)
        return UnitStack.of(self, split(whole, [one.n_systems for one in units]))

    @torch.no_grad()
    def copy_elements(self, sources: Mapping[int, int]) -> None:
        """Give elements the weights that others have learned.

        Args:
            sources: Atomic number -> atomic number whose weights it takes.

        Raises:
            ModelError: An element is not in the table of the network.
        """
        if unknown := {*sources, *sources.values()} - self.elements:
            msg = f"no weights for {format_elements(frozenset(unknown))} to copy"
            raise ModelError(msg)
        place = {z: index for index, z in enumerate(self.architecture.elements)}
        into = [place[z] for z in sources]
        come = [place[z] for z in sources.values()]
        for slices in self._backbone.element_slices(self._parameters["shared"]):
            slices[into] = slices[come]

    def _predict(self, structures: Structures, head: Head) -> Labels:
        def compute(rest: Structures) -> Labels:
            if not rest.n_atoms:
                return no_labels(rest, _source(self.name, head), self.dtype)
            return self._labels(self.prepare(rest), head, differentiable=False)

        return predict_rest(structures, refusals(structures, self.card), compute)

    def _prepared(self, structures: Structures | Prepared) -> Prepared:
        if not isinstance(structures, Prepared):
            return self.prepare(structures)
        positions = structures.positions
        found = structures.cutoff, positions.device, positions.dtype
        expected = self.cutoff, torch.zeros(0, device=self.device).device, self.dtype
        if found != expected:
            msg = f"the batch was prepared for {found}, this model needs {expected}"
            raise ModelError(msg)
        return structures

    def _labels(self, batch: Prepared, head: Head, *, differentiable: bool) -> Labels:
        direct = self.architecture.direct_forces
        with torch.set_grad_enabled(differentiable or not direct):
            positions = batch.positions.clone().requires_grad_(not direct)
            atoms = self._run(batch, positions, head)
            energy = self._sum(batch, atoms.energy, head)
            if atoms.forces is not None:
                forces = self.scale[head] * atoms.forces
            else:
                [slope] = torch.autograd.grad(
                    energy.sum(), [positions], create_graph=differentiable
                )
                forces = -slope
        energy = energy if differentiable else energy.detach()
        return Labels(energy=energy, forces=forces, source=_source(self.name, head))

    def _energy(self, batch: Prepared, positions: Tensor, head: Head) -> Tensor:
        return self._sum(batch, self._run(batch, positions, head).energy, head)

    def _sum(self, batch: Prepared, atoms: Tensor, head: Head) -> Tensor:
        """Return energies of structures from those of their atoms."""
        atoms = self.scale[head] * atoms.double()
        atoms = atoms + self._zeros[head][batch.element_index]
        return atoms.new_zeros(batch.n_systems).index_add(0, batch.system, atoms)

    @property
    def _radius(self) -> float:
        """Where the radial envelope vanishes, in Å."""
        narrow = self.cutoff_scope == "graph+envelope"
        return self.cutoff if narrow else self.architecture.cutoff

    def _owned(self, head: Head) -> dict[str, Tensor]:
        """Return the parameters of the network under a head, by name."""
        mine = self._parameters
        return {**mine["shared"], **mine[head], **self._given}

    def _run(self, batch: Prepared, positions: Tensor, head: Head) -> Atomwise:
        radius, vectors, owned = self._radius, batch.vectors(positions), self._owned(head)
        mine = [owned[name] for name in self._parameters[head]]
        known = batch.fixed.known_to(head, radius, mine) if batch.fixed else ()
        inputs = batch.element_index, batch.edges, vectors, radius, known
        atoms: Atomwise = functional_call(
            self._backbone, owned, inputs, tie_weights=False
        )
        return atoms


class _Known(nn.Module):
    """What a network knows before its shared parameters are."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, vectors: Tensor, radius: float, first: int) -> tuple[Known, ...]:
        return self.backbone.known_of(vectors, radius, first)


def _source(name: str, head: Head) -> str:
    return f"model:{name}" + ("" if head == "ref" else f"/{head}")
