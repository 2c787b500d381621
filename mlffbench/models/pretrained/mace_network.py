"""Hyper-parameters of a MACE network as plain values, and the network built from them.

Between a file of any age and a running network stands a table that JSON could hold: it is
read off whatever a file carries, and the installed mace builds the network anew.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mlffbench.core.errors import ModelError
from mlffbench.core.guards.plain import first_line
from mlffbench.models.pretrained.foreign import undisturbed
from mlffbench.models.pretrained.mace_claims import check_claims

ACTIVATIONS = ("silu", "elu", "relu", "gelu", "softplus")
"""Functions of torch that are taken for what they are."""
CONSTANTS = re.compile(r"\._compiled_main|\.graph_opt|_zeroed$")
"""Names of tensors that building the network computes and other versions may lack."""
_LORA = ".lora_"
"""In the names of weights that fine-tuning adds to others."""
_SHOWN = 3
"""Names of tensors in a message."""
_BLOCKS = ("interaction_cls", "interaction_cls_first", "readout_cls")
_IRREPS = ("hidden_irreps", "edge_irreps", "MLP_irreps")

Hyperparameters = dict[str, Any]
"""Keyword of ``ScaleShiftMACE`` -> number, text, list or None; classes by their name."""


def import_mace() -> Any:
    """Return ``mace.modules``, imported before e3nn, which fails the other way round."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # TorchScript is deprecated, cuequivariance is absent: of no use to a user.
        warnings.simplefilter("ignore")
        import mace.modules
    return mace.modules


def describe(network: nn.Module) -> Hyperparameters:
    """Return the hyper-parameters of a network, or of a shell that holds its attributes.

    Networks of 2022 keep ``r_max`` as a number and ``atomic_numbers`` as a list, and do
    not count their layers; other radial functions than Bessel's are not counted either.

    Args:
        network: Left as it is, but for those attributes.

    Raises:
        ModelError: The network is of layers for CUDA only, or lacks an attribute.
    """
    from mace.tools.scripts_utils import extract_config_mace_model

    _modernise(network)
    try:
        found: dict[str, Any] = extract_config_mace_model(network)
    except (AttributeError, TypeError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(first_line(error)) from error
    if found.pop("cueq_config", None) is not None:
        msg = "it was saved with the layers of cuEquivariance; turn it back with "
        raise ModelError(msg + "mace_convert_cueq_e3nn")
    for role in _BLOCKS:
        found[role] = found[role].__name__
    for role in _IRREPS:
        found[role] = None if found[role] is None else str(found[role])
    gate = found["gate"]
    found["gate"] = None if gate is None else str(getattr(gate, "__name__", gate))
    return {key: _plain(value) for key, value in sorted(found.items())}


def build(hyperparameters: Hyperparameters, state: Mapping[str, Tensor]) -> nn.Module:
    """Return the network that hyper-parameters and tensors make, on the CPU.

    Args:
        hyperparameters: As `describe` returns them.
        state: Name -> tensor; what building computes may be left out.

    Raises:
        ModelError: The installed mace builds another network than the tensors fit, or
            a larger one is claimed.
    """
    modules = import_mace()
    from mace.tools.compile import disable_e3nn_codegen

    dtype = next(entry.dtype for entry in state.values() if entry.is_floating_point())
    try:
        check_claims(hyperparameters, state)
        keywords = _keywords(modules, hyperparameters)
        # Building draws random weights, and TorchScript only costs time here.
        with undisturbed(), disable_e3nn_codegen():
            torch.set_default_dtype(dtype)
            network: nn.Module = modules.ScaleShiftMACE(**keywords)
        known = _with_facts(network, state)
        keys = network.load_state_dict(known, strict=False)
    except (AttributeError, TypeError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(first_line(error)) from error
    missing = [key for key in keys.missing_keys if not CONSTANTS.search(key)]
    strange = [key for key in keys.unexpected_keys if not CONSTANTS.search(key)]
    if any(_LORA in key for key in strange):
        msg = "its LoRA layers are not merged into its weights, which merge_lora_weights "
        raise ModelError(msg + "of mace.modules.lora does")
    if missing or strange:
        msg = f"missing {_first(missing)}, unexpected {_first(strange)}"
        raise ModelError(msg)
    return network


def _first(names: list[str]) -> str:
    """Return a few names, and how many there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{names[:_SHOWN]}{more}"


def is_of_today(network: nn.Module) -> bool:
    """Return whether a network keeps its facts where the installed mace looks."""
    facts = ("r_max", "atomic_numbers", "num_interactions")
    return all(isinstance(getattr(network, fact, None), Tensor) for fact in facts)


def _modernise(network: Any) -> None:
    """Keep the facts of an old network where those of today keep them."""
    numbers = getattr(network, "atomic_numbers", None)
    if not isinstance(numbers, Tensor | None):
        network.atomic_numbers = torch.tensor([int(number) for number in numbers])
    radius = getattr(network, "r_max", None)
    if not isinstance(radius, Tensor | None):
        network.r_max = torch.tensor(float(radius))
    layers = getattr(network, "num_interactions", None)
    if not isinstance(layers, Tensor):
        count = len(network.interactions) if layers is None else int(layers)
        network.num_interactions = torch.tensor(count)
    # mace counts the radial functions by the weights that Bessel's alone have
    radial = getattr(network, "radial_embedding", None)
    basis: Any = getattr(radial, "bessel_fn", None)
    for name in ("gaussian_weights", "n"):
        known = getattr(basis, name, None)
        if isinstance(known, Tensor) and not hasattr(basis, "bessel_weights"):
            basis.bessel_weights = known.detach().reshape(-1)


def _with_facts(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with those facts that old files keep elsewhere."""
    facts = ("r_max", "atomic_numbers", "num_interactions")
    built = network.state_dict()
    return {**{fact: built[fact] for fact in facts}, **state}


def _keywords(modules: Any, hyperparameters: Hyperparameters) -> dict[str, Any]:
    """Return what ``ScaleShiftMACE`` takes, from plain values.

    Raises:
        ValueError: A name stands for nothing that may be used.
    """
    from e3nn import o3

    keywords = dict(hyperparameters)
    for role in _BLOCKS:
        block = getattr(modules.blocks, keywords[role], None)
        if not (isinstance(block, type) and issubclass(block, nn.Module)):
            msg = f"the installed mace has no block {keywords[role]!r}"
            raise ValueError(msg)
        keywords[role] = block
    for role in _IRREPS:
        if keywords.get(role) is not None:
            keywords[role] = o3.Irreps(keywords[role])
    if keywords["gate"] is not None:
        if keywords["gate"] not in ACTIVATIONS:
            msg = f"the activation {keywords['gate']!r} is none of {ACTIVATIONS}"
            raise ValueError(msg)
        keywords["gate"] = getattr(nn.functional, keywords["gate"])
    for role in ("atomic_energies", "atomic_inter_scale", "atomic_inter_shift"):
        keywords[role] = np.asarray(keywords[role])
    return keywords


def _plain(value: Any) -> Any:
    """Return a value as JSON could hold it."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return value
