"""NequIP and Allegro: networks that the package nequip trained or packaged.

Both kinds of file run code when they are opened, so they need the user's word.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mlffbench.core.card import SYMBOLS, ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.files import sha256_of
from mlffbench.core.graph import Graph
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models import cards
from mlffbench.models.pretrained.families.network_model import (
    NetworkFacts,
    NetworkForceField,
    Reading,
    summed,
)
from mlffbench.models.pretrained.foreign import (
    OPENING_FAULTS,
    file_that_runs_code,
    told_of_file,
    undisturbed,
)

_READOUTS = ("per_atom_energy_readout", "edge_readout", "edge_energy_readout")
"""What turns features into energies: of atoms in NequIP, of edges in Allegro."""
_AFTER = (
    *_READOUTS,
    "edge_eng_sum",
    "per_type_energy_scale_shift",
    "total_energy_sum",
    "pair_potential",
)
_FORM = "expected a .ckpt or .nequip.zip file of nequip: nequip:PATH"


class NequipNetwork(nn.Module):
    """The energy model inside a network of nequip.

    Args:
        model: A ``GraphModel``, as nequip opens it.
        elements: Atomic numbers of its atom types, in order.
    """

    def __init__(self, model: Any, elements: list[int]) -> None:
        super().__init__()
        self.layers = model.model.func
        place = torch.zeros(max(elements) + 1, dtype=torch.int64)
        place[elements] = torch.arange(len(elements))
        self.register_buffer("place", place, persistent=False)
        self._typed = [
            (layer, kind)
            for layer in self.layers.modules()
            for kind in ("_output_dtype", "model_dtype")
            if hasattr(layer, kind)
        ]

    def forward(self, here: Structures, graph: Graph, _radius: float) -> Reading:
        """Return energies and features of structures on a graph."""
        place: Any = self.place
        like = here.positions
        for layer, kind in self._typed:  # else it gives what it was built with
            setattr(layer, kind, like.dtype)
        data: dict[str, Tensor] = {
            "pos": like,
            "edge_index": graph.edges,
            "edge_vectors": graph.vectors(here),
            "atom_types": place[here.numbers],
            "batch": here.system,
            "num_atoms": here.sizes,
        }
        features = like
        for name, layer in self.layers.named_children():
            if name in _READOUTS:
                features = self._features(data, layer, graph, here)
            data = layer(data)
        return Reading(summed(data["atomic_energy"][:, 0], here), features)

    @staticmethod
    def _features(
        data: dict[str, Tensor], readout: Any, graph: Graph, here: Structures
    ) -> Tensor:
        """Return what a readout reads, of edges added up for the atom they belong to."""
        values = data[readout.field]
        if len(values) == here.n_atoms and readout.field.startswith("node"):
            return values
        found = values.new_zeros(here.n_atoms, values.shape[1])
        return found.index_add(0, graph.edges[0], values)


def load_file(options: ModelOptions) -> NetworkForceField:
    """Return the network of a checkpoint or a package: ``nequip:PATH``.

    Raises:
        ModelError: The user did not say that the file may run code, it is no such file,
            or its atom types are no elements.
    """
    path, _ = file_that_runs_code(options, _FORM)
    model = _open(path)
    card = replace(cards.NEQUIP, source=str(path))
    wrapped = wrap(f"nequip:{path.name}", model, card, options)
    wrapped.weights_sha256 = sha256_of(path)
    return wrapped


def wrap(
    name: str, model: Any, card: ModelCard, options: ModelOptions
) -> NetworkForceField:
    """Return a force field of a ``GraphModel`` of nequip.

    Args:
        name: How tables call it.
        model: The network; it becomes this model's own.
        card: What is known of it.
        options: Where to compute, and in what type.

    Raises:
        ModelError: Its atom types are no elements, or it predicts no energies.
    """
    types = list(model.type_names)
    if strange := [kind for kind in types if kind not in SYMBOLS[1:]]:
        msg = f"{name!r} has atom types that are no elements: {', '.join(strange)}"
        raise ModelError(msg)
    elements = [SYMBOLS.index(kind) for kind in types]
    children = dict(getattr(model.model, "func", nn.Module()).named_children())
    if not any(readout in children for readout in _READOUTS):
        msg = f"{name!r} is no NequIP or Allegro energy model; {_FORM}"
        raise ModelError(msg)
    facts = NetworkFacts(
        elements=frozenset(elements),
        cutoff=float(model.metadata["r_max"]),
        trunk=tuple(f"layers.{part}." for part in children if part not in _AFTER),
    )
    network = NequipNetwork(model, elements)
    device, dtype = options.torch_device(), options.torch_dtype(card)
    return NetworkForceField(name, network, facts, card, device=device, dtype=dtype)


def _open(path: Path) -> Any:
    """Return the ``GraphModel`` of a file, whose code runs.

    Raises:
        ModelError: It cannot be read.
    """
    faults = (*OPENING_FAULTS, AssertionError, ImportError)
    with told_of_file(path, _FORM, faults), undisturbed():
        from nequip.model.saved_models.load_utils import load_saved_model
        from nequip.utils.global_state import set_global_state

        set_global_state(allow_tf32=False)
        return load_saved_model(str(path))
