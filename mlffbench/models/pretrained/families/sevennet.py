"""SevenNet: 7net-0 inside the package sevenn, and any checkpoint of the user's."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.files import sha256_of
from mlffbench.core.graph import Graph
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models import cards
from mlffbench.models.model_spec import split_settings
from mlffbench.models.pretrained.families.network_model import (
    NetworkFacts,
    NetworkForceField,
    Reading,
    summed,
)
from mlffbench.models.pretrained.foreign import told_of_file, undisturbed
from mlffbench.models.weights import check_archive

_FORM = "expected a checkpoint of SevenNet: sevennet:PATH[?modal=NAME]"
_READOUT = ("reduce_", "rescale_", "force_output", "modal_")
"""Beginnings of the names of modules that come after the features."""
_PLAIN = (
    *(np.ndarray, np.dtype),
    *(type(np.dtype(name)) for name in ("f4", "f8", "i4", "i8", "b1")),
)
"""Types of numpy that hold numbers only, which checkpoints of SevenNet are full of."""


class SevenNetwork(nn.Module):
    """A network of sevenn that takes our structures.

    Args:
        layers: As sevenn builds it.
        modal: Which of its training sets it is to speak for, if it knows several.
    """

    def __init__(self, layers: Any, modal: str) -> None:
        super().__init__()
        layers.delete_module_by_key("force_output")
        layers.set_is_batch_data(True)
        self.layers = layers
        self._modal = modal
        self._envelope = layers.edge_embedding.cutoff_function
        self._ends = {
            name: float(getattr(self._envelope, name))
            for name in ("r_cut", "r_on", "cutoff_length")
            if hasattr(self._envelope, name)
        }

    def forward(self, here: Structures, graph: Graph, radius: float) -> Reading:
        """Return energies and features of structures on a graph."""
        share = radius / max(self._ends.values())
        for name, end in self._ends.items():
            setattr(self._envelope, name, end * share)
        data: dict[str, Any] = {
            "atomic_numbers": here.numbers,
            "pos": here.positions,
            "edge_index": graph.edges,
            "edge_vec": graph.vectors(here),
            "batch": here.system,
            "num_atoms": here.sizes,
            "cell_volume": here.positions.new_ones(here.n_systems),
            "x": here.numbers,
        }
        if self._modal:
            data["data_modality"] = [self._modal] * here.n_systems
        features = here.positions.new_zeros(0)
        data = self.layers._preprocess(data)
        for name, layer in self.layers.named_children():
            if name == "reduce_input_to_hidden":
                features = data["x"]
            data = layer(data)
            if name == "onehot_idx_to_onehot":  # float32 whatever the network is
                data |= {key: data[key].to(here.positions) for key in ("x", "node_attr")}
        return Reading(summed(data["atomic_energy"][:, 0], here), features)


def load_0(options: ModelOptions) -> NetworkForceField:
    """Return 7net-0 (11 July 2024), whose weights are inside the package sevenn.

    Raises:
        ModelError: The installed sevenn carries no such weights.
    """
    from sevenn import _const

    path = Path(_const.SEVENNET_0_11Jul2024)
    if not path.is_file():
        msg = f"the installed sevenn carries no 7net-0 weights in {path}; install "
        raise ModelError(msg + "sevenn 0.13.0")
    return _load(path, "7net-0", cards.SEVENNET_0, "", options)


def load_file(options: ModelOptions) -> NetworkForceField:
    """Return the network of a checkpoint: ``sevennet:PATH[?modal=NAME]``.

    Raises:
        ModelError: The file is no checkpoint of SevenNet, or has no such modality.
    """
    path, settings = split_settings(options.argument)
    if unknown := settings.keys() - {"modal"}:
        msg = f"sevennet:PATH knows ?modal=NAME, not {', '.join(sorted(unknown))}"
        raise ModelError(msg)
    card = replace(cards.SEVENNET, source=str(path))
    modal = settings.get("modal", "")
    return _load(path, f"sevennet:{path.name}", card, modal, options)


def _load(
    path: Path, name: str, card: ModelCard, modal: str, options: ModelOptions
) -> NetworkForceField:
    layers, config = _open(path)
    known = list(layers.modal_map or {})
    if (known or modal) and modal not in known:
        has = f"it knows {', '.join(known)}" if known else "it has only one"
        msg = f"{name!r} needs a modality and {modal!r} is none of its own; {has}: "
        raise ModelError(msg + "sevennet:PATH?modal=NAME")
    facts = NetworkFacts(
        elements=frozenset(layers.type_map),
        cutoff=round(float(config["cutoff"]), 6),
        trunk=tuple(
            f"layers.{part}."
            for part, _ in layers.named_children()
            if not part.startswith(_READOUT)
        ),
        scopes=("graph+envelope", "graph"),
    )
    model = NetworkForceField(
        name,
        SevenNetwork(layers, modal),
        facts,
        card,
        device=options.torch_device(),
        dtype=options.torch_dtype(card),
    )
    model.weights_sha256 = sha256_of(path)
    return model


def _numbers_only() -> list[Any]:
    """Return what a checkpoint may name: numpy's arrays and scalars of numbers."""
    makers: list[Any] = [value.__reduce__()[0] for value in (np.zeros(0), np.float32(0))]
    named = [
        (maker, f"{home}.multiarray.{maker.__name__}")
        for maker in makers
        for home in ("numpy.core", "numpy._core")
    ]
    return [*_PLAIN, *named]


def _open(path: Path) -> tuple[Any, Mapping[str, Any]]:
    """Return the layers of a checkpoint and what they were built with.

    Raises:
        ModelError: The file cannot be read without running code, or does not fit.
    """
    from sevenn import checkpoint

    check_archive(path)
    with told_of_file(path, _FORM):
        with torch.serialization.safe_globals(_numbers_only()):
            stored = torch.load(path, map_location="cpu", weights_only=True)
        opened = checkpoint.SevenNetCheckpoint(path)
        with undisturbed():  # it warns of its own version, and of defaults
            opened._config = checkpoint._config_cp_routine(stored["config"])
            opened._model_state_dict = stored["model_state_dict"]
            opened._loaded = True
            layers = opened.build_model()
    config: Mapping[str, Any] = opened.config
    return layers, config
