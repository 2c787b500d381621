"""The training state: after each epoch, everything a killed training goes on from.

One safetensors file whose metadata hold the numbers as JSON: tensors and numbers cannot
come from different epochs, and nothing is unpickled.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mlffbench.core.errors import StoreError
from mlffbench.core.files import write_atomic

STATE_VERSION = 1
"""Raised by one whenever a stored state changes its meaning."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrainingState:
    """Where a training stands.

    Attributes:
        fingerprint: Of the plan; another plan cannot go on from here.
        stage: Number of the stage.
        numbers: Numbers of the stage and the log so far; anything JSON holds.
        tensors: Weights, averages, best weights and the optimiser's moments, by name.
    """

    fingerprint: str
    stage: int
    numbers: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def state_path(stem: Path) -> Path:
    """Return the file of the state of a training that ends in checkpoint ``stem``."""
    return stem.with_name(f"{stem.name}.training.safetensors")


def write_state(stem: Path, state: TrainingState) -> None:
    """Replace the stored state; killed at any moment, the old one stays.

    Raises:
        StoreError: It cannot be written.
    """
    numbers = {
        "version": STATE_VERSION,
        "fingerprint": state.fingerprint,
        "stage": state.stage,
        "facts": state.numbers,
    }
    tensors = {
        name: tensor.detach().contiguous().cpu() for name, tensor in state.tensors.items()
    }
    content = save(tensors, metadata={"state": json.dumps(numbers)})
    write_atomic(state_path(stem), content)


def read_state(stem: Path) -> TrainingState | None:
    """Return the stored state, None where there is none.

    Raises:
        StoreError: It is broken, or of another version of mlffbench.
    """
    path = state_path(stem)
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            numbers = json.loads((file.metadata() or {})["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        msg = f"{path} is broken ({error}); delete it and train again"
        raise StoreError(msg) from error
    if numbers.get("version") != STATE_VERSION:
        msg = f"{path} has version {numbers.get('version')}, this mlffbench goes on from "
        raise StoreError(msg + f"version {STATE_VERSION}; delete it and train again")
    return TrainingState(
        fingerprint=numbers["fingerprint"],
        stage=numbers["stage"],
        numbers=numbers["facts"],
        tensors=tensors,
    )


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under ``prefix/name``."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of ``prefix/name`` by name."""
    start = f"{prefix}/"
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def optimiser_tensors(
    optimiser: torch.optim.Optimizer, parameters: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the moments of an optimiser as ``parameter/moment``."""
    return {
        f"{name}/{moment}": tensor
        for name, parameter in parameters.items()
        for moment, tensor in optimiser.state.get(parameter, {}).items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer,
    parameters: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
) -> None:
    """Put moments back where `optimiser_tensors` took them from."""
    for key, tensor in tensors.items():
        name, _, moment = key.rpartition("/")
        parameter = parameters[name]
        device = "cpu" if moment == "step" else parameter.device
        optimiser.state[parameter][moment] = tensor.to(device)
