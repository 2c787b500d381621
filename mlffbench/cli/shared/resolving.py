"""From what was typed to what is meant."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlffbench.cli.shared.options import Device, Dtype
from mlffbench.core.errors import BenchError

if TYPE_CHECKING:
    from mlffbench.core.model_options import ModelOptions

Value = str | int | float | bool


def resolve_device(device: Device) -> str:
    """Return ``cpu`` or ``cuda``.

    Raises:
        BenchError: CUDA was asked for and there is none.
    """
    import torch

    available = torch.cuda.is_available()
    if device is Device.cuda and not available:
        msg = "--device cuda: torch finds no CUDA device here; use --device cpu, or see "
        raise BenchError(msg + "mlffbench doctor")
    return "cuda" if available and device is not Device.cpu else "cpu"


def resolve_dtype(dtype: Dtype) -> str | None:
    """Return ``float32`` or ``float64``; None for each model's own default."""
    return None if dtype is Dtype.auto else dtype.value


def model_options(device: Device, dtype: Dtype, *, trust: bool) -> "ModelOptions":
    """Return how a model is to be loaded."""
    from mlffbench.core.model_options import ModelOptions

    return ModelOptions(
        device=resolve_device(device), dtype=resolve_dtype(dtype), trust=trust
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
        msg = "an empty name was given for --model, --mode or --split; leave it out"
        raise BenchError(msg)
    return found


def mode_settings(
    values: list[str] | None,
) -> dict[str, dict[str, Value]]:
    """Return mode -> settings of texts like ``"rr.criterion=quantile"``.

    Raises:
        BenchError: A text is not of that form.
    """
    settings: dict[str, dict[str, Value]] = {}
    for text in values or []:
        target, equals, value = text.partition("=")
        mode, dot, name = target.rpartition(".")  # a path to a mode holds dots itself
        if not (equals and dot and mode and name.isidentifier() and value):
            msg = f"--set {text!r} is not MODE.NAME=VALUE, e.g. rr.criterion=quantile"
            raise BenchError(msg)
        settings.setdefault(mode, {})[name] = _number_or_text(value)
    return settings


def _number_or_text(value: str) -> Value:
    if value in {"true", "false"}:
        return value == "true"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
