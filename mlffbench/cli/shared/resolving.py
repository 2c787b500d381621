"""From what was typed to what is meant."""

from collections.abc import Sequence

import torch

from mlffbench.cli.shared.options import Device, Dtype
from mlffbench.core.errors import BenchError
from mlffbench.core.model_options import ModelOptions


def resolve_device(device: Device) -> str:
    """Return ``cpu`` or ``cuda``.

    Raises:
        BenchError: CUDA was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if device is Device.cuda and not available:
        msg = "--device cuda: torch finds no CUDA device here; use --device cpu, or see "
        raise BenchError(msg + "mlffbench doctor")
    return "cuda" if available and device is not Device.cpu else "cpu"


def model_options(device: Device, dtype: Dtype, *, trust: bool) -> ModelOptions:
    """Return how a model is to be loaded."""
    return ModelOptions(
        device=resolve_device(device),
        dtype=None if dtype is Dtype.auto else dtype.value,
        trust=trust,
    )


def split_commas(values: Sequence[str] | None) -> list[str]:
    """Return the values of an option that may be repeated or separated by commas."""
    words = [word.strip() for value in values or [] for word in value.split(",")]
    return list(dict.fromkeys(word for word in words if word))


def names(values: list[str] | None) -> tuple[str, ...]:
    """Return the names of an option that may be repeated or separated by commas.

    Raises:
        BenchError: It was given and holds no name.
    """
    found = tuple(split_commas(values))
    if values and not found:
        raise BenchError("an empty name was given for --model or --mode; leave it out")
    return found


def mode_settings(values: list[str] | None) -> dict[str, dict[str, str | int | float]]:
    """Return mode -> settings of texts like ``"rr.criterion=quantile"``.

    Raises:
        BenchError: A text is not of that form.
    """
    settings: dict[str, dict[str, str | int | float]] = {}
    for text in values or []:
        target, equals, value = text.partition("=")
        mode, dot, name = target.rpartition(".")  # a path to a mode holds dots itself
        if not (equals and dot and mode and name.isidentifier() and value):
            msg = f"--set {text!r} is not MODE.NAME=VALUE, e.g. rr.criterion=quantile"
            raise BenchError(msg)
        settings.setdefault(mode, {})[name] = _number_or_text(value)
    return settings


def _number_or_text(value: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
