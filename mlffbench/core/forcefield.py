"""What a force field must offer, and what it may offer on top.

The one required promise is `ForceField`. Everything else is a capability: a further
protocol that a model either satisfies or does not, asked for by name.
"""

from collections.abc import Iterable
from typing import Literal, Protocol, Self, runtime_checkable

from torch import Tensor, nn

from mlffbench.core.card import ModelCard
from mlffbench.core.labels import Labels
from mlffbench.core.spectrum import SpectralReference
from mlffbench.core.structures import Structures

Head = Literal["prior", "ref"]
CutoffScope = Literal["graph", "graph+envelope"]


@runtime_checkable
class ForceField(Protocol):
    """Energies and forces from structures, nothing else.

    Attributes:
        name: How tables call it.
        elements: Atomic numbers it can treat.
    """

    name: str
    elements: frozenset[int]

    def predict(self, structures: Structures) -> Labels:
        """Return detached energies (n_systems,) in eV and forces (n_atoms, 3) in eV/Å.

        The input is left untouched. A structure that cannot be computed is named in
        `Labels.failures` with NaN values; the others of the batch stand.
        """
        ...


@runtime_checkable
class HasCard(Protocol):
    """A model that states its training chemistry, charges, licence and citation."""

    card: ModelCard


@runtime_checkable
class HasWeights(Protocol):
    """A model whose weights come from a file.

    Attributes:
        weights_sha256: Checksum of that file, empty when there is none.
    """

    weights_sha256: str


@runtime_checkable
class HasCutoff(Protocol):
    """A model whose graph cutoff can be changed after training (for RR).

    Attributes:
        cutoff: Cutoff in use, in Å.
        cutoff_scope: ``"graph"``: a new cutoff changes the neighbour list only, so forces
            jump at the radius; ``"graph+envelope"``: the radial envelope follows.
    """

    cutoff: float
    cutoff_scope: CutoffScope

    def with_cutoff(self, cutoff: float) -> Self:
        """Return the same model at another cutoff in Å; weights are shared.

        Raises:
            ModelError: The cutoff cannot work for this model; the message says why.
        """
        ...


@runtime_checkable
class HasEnvelope(HasCutoff, Protocol):
    """A model that can change its cutoff with the radial envelope or without.

    Attributes:
        cutoff_scopes: What `with_cutoff` takes; its own ``cutoff_scope`` is one of them.
    """

    cutoff_scopes: tuple[CutoffScope, ...]

    def with_cutoff(self, cutoff: float, scope: CutoffScope | None = None) -> Self:
        """Return the same model at another cutoff; None keeps the scope in use."""
        ...


@runtime_checkable
class HasPriorHead(Protocol):
    """A model with a second head trained on a cheap prior (for TTT)."""

    def clone(self) -> Self:
        """Return a copy whose parameters can be changed without touching this one."""
        ...

    def representation_parameters(self) -> Iterable[nn.Parameter]:
        """Return the shared parameters, those that test-time training may move."""
        ...

    def forward(self, structures: Structures, head: Head) -> Labels:
        """Return one head's labels with the autograd graph attached."""
        ...

    def predict_prior(self, structures: Structures) -> Labels:
        """Return the prior head's labels, detached, as ``predict`` does for the other."""
        ...


@runtime_checkable
class HasLearningRate(Protocol):
    """A model that remembers how fast its prior head was trained (for TTT).

    Attributes:
        prior_learning_rate: Adam's learning rate of that training.
    """

    prior_learning_rate: float


@runtime_checkable
class HasTrainingSpectrum(Protocol):
    """A model that remembers what the graphs it was trained on look like (for RR).

    Attributes:
        training_spectrum: Of its training graphs at its trained cutoff; None when its
            trainer did not write it down.
    """

    training_spectrum: SpectralReference | None


@runtime_checkable
class HasEmbedding(Protocol):
    """A model that exposes what it thinks of each atom."""

    def embed(self, structures: Structures) -> Tensor:
        """Return per-atom features, shape (n_atoms, n_features), detached."""
        ...
