"""Trunks: pretrained models whose per-atom features can be differentiated."""

from collections.abc import Mapping
from typing import Protocol, Self, runtime_checkable

from torch import Tensor, nn

from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import CutoffScope, ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.models.twoheaded.model import TwoHeaded


@runtime_checkable
class HasTrunk(ForceField, Protocol):
    """A model whose per-atom features can be differentiated."""

    def clone(self) -> Self:
        """Return a copy whose parameters can be changed without touching this one."""
        ...

    def trunk_parameters(self) -> Mapping[str, nn.Parameter]:
        """Return the parameters that the features depend on, by name."""
        ...

    def embed_graph(self, structures: Structures) -> Tensor:
        """Return invariant features, shape (n_atoms, n_features), with autograd graph.

        Twice differentiable: with respect to ``structures.positions``, which may require
        a gradient, and to `trunk_parameters`.
        """
        ...

    def labels_graph(self, structures: Structures) -> Labels:
        """Return the model's own labels with the autograd graph to its parameters."""
        ...


class TwoHeadedTrunk:
    """The reference network of a two-headed model, for a new prior head.

    Useful where its own prior head was never trained (recipe ``scratch``).

    Args:
        model: Becomes part of this one.
    """

    def __init__(self, model: TwoHeaded) -> None:
        self.name, self.elements, self.card = model.name, model.elements, model.card
        self.weights_sha256 = model.weights_sha256
        self.cutoff, self.cutoff_scope = model.cutoff, model.cutoff_scope
        self.cutoff_scopes = model.cutoff_scopes
        self._model = model

    def with_cutoff(self, cutoff: float, scope: CutoffScope | None = None) -> Self:
        """Return the same network at another cutoff in Å; see `TwoHeaded.with_cutoff`."""
        return type(self)(self._model.with_cutoff(cutoff, scope))

    def predict(self, structures: Structures) -> Labels:
        """Return detached labels of the reference head."""
        return self._model.predict(structures)

    def clone(self) -> Self:
        """Return a copy whose parameters can be changed without touching this one."""
        return type(self)(self._model.clone())

    def trunk_parameters(self) -> dict[str, nn.Parameter]:
        """Return all parameters of the reference network but its readouts."""
        return {
            f"{owner}-{name}": parameter
            for owner in ("shared", "ref")
            for name, parameter in self._model.parameters_of(owner).items()
            if not name.startswith("readout")
        }

    def embed_graph(self, structures: Structures) -> Tensor:
        """Return the invariant features of all blocks with the autograd graph."""
        return self._model.features_graph(structures)

    def labels_graph(self, structures: Structures) -> Labels:
        """Return the labels of the reference head with the autograd graph."""
        return self._model.forward(structures, "ref")


def as_trunk(model: ForceField) -> HasTrunk:
    """Return a model as one whose features can be differentiated.

    Raises:
        ModelError: It cannot; the message says what it lacks.
    """
    if isinstance(model, TwoHeaded):
        return TwoHeadedTrunk(model)
    if isinstance(model, HasTrunk):
        return model
    wanted = ("clone", "trunk_parameters", "embed_graph", "labels_graph")
    missing = [name for name in wanted if not hasattr(model, name)]
    if missing == list(wanted):
        why = "it is no network with per-atom features that a head could read"
    else:  # somebody is writing one
        why = f"it lacks {', '.join(missing)} (CONTRIBUTING.md)"
    msg = f"model {model.name!r} cannot be given a prior head: {why}"
    raise ModelError(msg)
