"""MaceForceField: one head of a MACE network."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mlffbench.core.assembly import predict_rest, refusals, require_supported
from mlffbench.core.card import SYMBOLS, ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import CutoffScope
from mlffbench.core.graph import radius_graph
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.models.copies import OwnsTrunk, without_graph
from mlffbench.models.cutoffs import check_within
from mlffbench.models.empty_batch import filled, no_labels
from mlffbench.models.pretrained.foreign import check_finite, steady_bits
from mlffbench.models.pretrained.mace_inputs import (
    charges_of,
    inputs_of,
    spin_refusals,
    values_of,
)

_TRUNK = (
    "node_embedding.",
    "joint_embedding.",
    "radial_embedding.",
    "interactions.",
    "products.",
)
"""Parts of a network that its node features depend on; the readouts come after."""
_CONSTANT = "embedding_readout"
"""Part of a network that reads an energy off element, charge and spin."""
_ENVELOPE = "radial_embedding.cutoff_fn.r_max"
"""Where the polynomial envelope of a network ends; its Bessel basis has a radius of its
own."""


class MaceForceField(OwnsTrunk):
    """One head of a MACE network.

    Args:
        name: How tables call it.
        network: A MACE network; it becomes this model's own.
        card: What is known of it; elements and cutoff are read off the network.
        head: Which head to use; may be empty where there is only one, or a default.
        device: Where to compute.
        dtype: Floating-point type to compute in.

    Attributes:
        weights_sha256: Name of the weights file -> its checksum; empty for a network
            that came from no file.

    Raises:
        ModelError: There is no such head, or the network wants inputs we do not have.
    """

    cutoff_scope: CutoffScope = "graph"
    cutoff_scopes: tuple[CutoffScope, ...] = ("graph", "graph+envelope")

    def __init__(
        self,
        name: str,
        network: nn.Module,
        card: ModelCard,
        *,
        head: str,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        parts: Any = network
        self._specs = inputs_of(network, name)
        self.name = name
        self.weights_sha256 = ""
        numbers: list[int] = parts.atomic_numbers.tolist()
        _check_network(network, numbers, name)
        # some are trained with kinds of atoms that are no elements
        self.elements = frozenset(z for z in numbers if 0 < z < len(SYMBOLS))
        # A cutoff kept in float32 is 4.3000002 Å.
        self.trained_cutoff = self.cutoff = round(float(parts.r_max), 6)
        self.card = replace(
            card,
            elements=self.elements,
            cutoff=self.cutoff,
            charges=charges_of(self._specs),
        )
        self._head = _find_head(list(getattr(network, "heads", [])), head, name)
        energies: Tensor = parts.atomic_energies_fn.atomic_energies.reshape(
            -1, len(numbers)
        )
        self._atomic_energies = energies[self._head].double().to(device)
        self._network = network.to(device=device, dtype=dtype).requires_grad_(False)
        # Handed over in every call, so one network serves the model and its clones.
        self._trunk: dict[str, nn.Parameter] = {
            name: parameter
            for name, parameter in self._network.named_parameters()
            if name.startswith(_TRUNK)
        }
        self._buffers = frozenset(name for name, _ in self._network.named_buffers())
        self._device, self._dtype = device, dtype
        place = torch.zeros(len(SYMBOLS), dtype=torch.int64)
        for index, number in enumerate(numbers):
            if number in self.elements:
                place[number] = index
        self._place = place.to(device)

    def with_cutoff(self, cutoff: float, scope: CutoffScope | None = None) -> Self:
        """Return the same network on graphs of another radius in Å.

        Args:
            cutoff: In Å, at most the trained one.
            scope: ``"graph"`` keeps the radial envelope of training, so forces jump at
                the radius; ``"graph+envelope"`` makes the envelope vanish there too. The
                radial basis stays as trained. None keeps the scope in use.

        Raises:
            ModelError: The radius is not positive, or above the trained one, where every
                further edge is multiplied by an envelope of 0; or the network has another
                envelope than MACE's own.
        """
        why = "the envelope is 0, so that further edges are inert"
        check_within(cutoff, self.trained_cutoff, self.name, why)
        other = copy.copy(self)
        other.cutoff = float(cutoff)
        other.cutoff_scope = scope or self.cutoff_scope
        if other.cutoff_scope == "graph+envelope" and _ENVELOPE not in self._buffers:
            msg = f"{self.name!r} has no radial envelope {_ENVELOPE!r} to move; "
            raise ModelError(msg + "use the envelope policy 'truncate'")
        return other

    def predict(self, structures: Structures) -> Labels:
        """Return float64 total energies in eV and forces in eV/Å."""
        refused = refusals(structures, self.card)
        refused = {**spin_refusals(self._specs, structures), **refused}
        return predict_rest(structures, dict(sorted(refused.items())), self._compute)

    def embed(self, structures: Structures) -> Tensor:
        """Return invariant node features of all layers, shape (n_atoms, n_features).

        Raises:
            ModelError: A structure is outside what the network can treat.
        """
        features = self._features(structures, self._frozen())
        return features.detach().to(structures.positions.device)

    def embed_graph(self, structures: Structures) -> Tensor:
        """Return the features of `embed` with the autograd graph, where the network is.

        Twice differentiable with respect to the positions and to `trunk_parameters`.

        Raises:
            ModelError: A structure is outside what the network can treat.
        """
        with steady_bits():
            return self._features(structures, self._trunk)

    def labels_graph(self, structures: Structures) -> Labels:
        """Return the labels of `predict` with the autograd graph to `trunk_parameters`.

        Raises:
            ModelError: A structure is outside what the network can treat.
        """
        self._require(structures)
        with steady_bits():
            return self._labels(structures, self._trunk, training=True)

    def network_with(self, trunk: Mapping[str, Tensor]) -> nn.Module:
        """Return a copy of the network, in float64, in which some weights are others."""
        network: Any = copy.deepcopy(self._network).double()
        network.load_state_dict({**network.state_dict(), **trunk})
        energies: Tensor = network.atomic_energies_fn.atomic_energies
        # what the network keeps may have been rounded to float32
        energies.view(-1, len(self._atomic_energies))[self._head] = self._atomic_energies
        copied_network: nn.Module = network
        return copied_network

    def _require(self, structures: Structures) -> None:
        require_supported(structures, self.card, self.name)
        for index, reason in spin_refusals(self._specs, structures).items():
            msg = f"{self.name!r} cannot treat {structures.ids[index]!r}: {reason}"
            raise ModelError(msg)

    def _compute(self, structures: Structures) -> Labels:
        with steady_bits():
            labels = self._labels(structures, self._frozen(), training=False)
        return without_graph(labels)

    def _features(self, structures: Structures, trunk: Mapping[str, Tensor]) -> Tensor:
        """Return invariant node features of all layers with the autograd graph."""
        from e3nn import o3

        whole = filled(structures, self.elements)
        self._require(whole)
        here = whole.to(device=self._device)
        features = self._run(here, trunk, compute_force=False)["node_feats"]
        parts: Any = self._network
        scalars: list[Tensor] = []
        start = 0
        for product in parts.products:
            irreps = o3.Irreps(str(product.linear.irreps_out))
            scalars += [
                features[:, start + columns.start : start + columns.stop]
                for columns, (_, irrep) in zip(irreps.slices(), irreps, strict=True)
                if irrep.l == 0 and irrep.p == 1
            ]
            start += irreps.dim
        return torch.cat(scalars, dim=1)[: structures.n_atoms]

    def _labels(
        self, structures: Structures, trunk: Mapping[str, Tensor], *, training: bool
    ) -> Labels:
        source = f"model:{self.name}, total energies"
        if not structures.n_atoms:
            return no_labels(structures, source)
        here = structures.to(device=self._device)
        with torch.enable_grad():
            outputs = self._run(here, trunk, training=training)
            # Total energies are thousands of eV: isolated atoms are added in float64.
            atomic = self._atomic_energies[self._place[here.numbers]]
            bonding = outputs["node_energy"] - atomic.to(self._dtype).double()
            if _CONSTANT in outputs:  # of element, charge and spin alone
                bonding = bonding + outputs[_CONSTANT][:, self._head].double()
            energy = atomic.new_zeros(here.n_systems)
            energy = energy.index_add(0, here.system, atomic + bonding)
            device = structures.positions.device
            return Labels(
                energy=energy.to(device),
                forces=outputs["forces"].double().to(device),
                source=source,
            )

    def _run(
        self, structures: Structures, trunk: Mapping[str, Tensor], **flags: bool
    ) -> dict[str, Tensor]:
        """Return what MACE's forward returns, with the values of a trunk."""
        inputs = (self._inputs(structures),)
        values = {**trunk}
        if self.cutoff_scope == "graph+envelope" and self.cutoff < self.trained_cutoff:
            radius = torch.tensor(self.cutoff, dtype=self._dtype, device=self._device)
            values[_ENVELOPE] = radius
        kept: list[Tensor] = []
        parts: Any = self._network
        hook = None
        if hasattr(parts, _CONSTANT):  # MACE leaves it out of the energies of atoms
            hook = parts.embedding_readout.register_forward_hook(
                lambda _module, _inputs, output: kept.append(output)
            )
        try:
            outputs: dict[str, Tensor] = functional_call(
                self._network, values, inputs, flags
            )
        finally:
            if hook is not None:
                hook.remove()
        return {**outputs, _CONSTANT: kept[0]} if kept else outputs

    def _inputs(self, structures: Structures) -> dict[str, Tensor]:
        """Return what MACE's forward takes; all of it fresh, for forward changes it."""
        graph = radius_graph(structures, self.cutoff)
        system, cell = structures.system, structures.cell.to(self._dtype)
        shifts = graph.shifts.to(self._dtype)
        of_edges = cell[system[graph.edges[0]]]
        stops = torch.cumsum(structures.sizes, 0)
        return {
            "positions": structures.positions.to(self._dtype, copy=True),
            "node_attrs": nn.functional.one_hot(
                self._place[structures.numbers], len(self._atomic_energies)
            ).to(self._dtype),
            "edge_index": graph.edges,
            "shifts": torch.einsum("es,esx->ex", shifts, of_edges),
            "unit_shifts": shifts,
            "cell": cell.reshape(-1, 3),
            "batch": system,
            "ptr": torch.cat([stops.new_zeros(1), stops]),
            "head": torch.full_like(structures.charge, self._head),
            **values_of(self._specs, structures, self._dtype),
        }


def _check_network(network: nn.Module, numbers: Sequence[int], name: str) -> None:
    """Refuse what would give no number, or that of another element.

    Raises:
        ModelError: A weight is not finite, or an element stands in the table twice.
    """
    check_finite(network, name)
    if len(set(numbers)) < len(numbers):
        msg = f"the network of {name!r} has an element twice in its table, {numbers}; "
        raise ModelError(msg + "get the file again, or another")


def _find_head(heads: Sequence[str], wanted: str, name: str) -> int:
    """Return the place of a head among those of the network."""
    if wanted:
        if wanted in heads:
            return heads.index(wanted)
        known = ", ".join(heads) or "one without a name"
        msg = f"{name!r} has no head {wanted!r}; it has: {known}"
        raise ModelError(msg)
    if len(heads) <= 1:
        return 0
    for index, head in enumerate(heads):
        if head.lower() == "default":
            return index
    msg = f"{name!r} has the heads {', '.join(heads)}; choose one: mace:PATH?head=NAME"
    raise ModelError(msg)
