"""ModelOptions: what a user decides when a model or a prior is loaded."""

import os
import warnings
from dataclasses import dataclass
from typing import Any

import torch

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError

DTYPES = {"float32": torch.float32, "float64": torch.float64}
"""Floating-point types a model may compute in, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """How a model is to be loaded.

    Attributes:
        argument: What follows the colon in ``mace:PATH``; empty when nothing does.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` …
        dtype: ``"float32"``, ``"float64"``, or None for the default of the model's card.
        trust: Whether files that can run code of their own may be loaded.
        workers: Processes of a model that computes in a pool; None for its default.
    """

    argument: str = ""
    device: str = "cpu"
    dtype: str | None = None
    trust: bool = False
    workers: int | None = None

    def torch_device(self) -> torch.device:
        """Return the device to compute on.

        Raises:
            ModelError: torch does not know the device, or it is not there.
        """
        try:
            device = torch.device(self.device)
        except RuntimeError as error:
            msg = f"unknown device {self.device!r}: expected cpu, cuda or cuda:NUMBER"
            raise ModelError(msg) from error
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            msg = (
                f"device {self.device!r} is not there: torch sees "
                f"{torch.cuda.device_count()} CUDA devices; use --device cpu"
            )
            raise ModelError(msg)
        return device

    def torch_dtype(self, card: ModelCard) -> torch.dtype:
        """Return the floating-point type to compute in: the user's, else the card's.

        Raises:
            ModelError: The type is none a model computes in.
        """
        name = self.dtype or card.dtype
        if name not in DTYPES:
            msg = f"unknown dtype {name!r}: expected {' or '.join(DTYPES)}"
            raise ModelError(msg)
        return DTYPES[name]


_STRICT = 2
"""Torch's word for refusing what cannot be done in one order."""


def keep_float32_exact() -> None:
    """Let a card compute float32 in float32, not in the 10 bits of TF32.

    PyTorch's convolutions use TF32 as they come, and packages switch it on for all.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


def keep_order_of_sums() -> None:
    """Let a card add up in one order, so that the same command gives the same numbers.

    Sums over neighbours are made in any order otherwise. What a card cannot do in one
    order it does as it comes: nothing is refused, unless the user has told torch to.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as cuBLAS asks
    if torch.get_deterministic_debug_mode() == _STRICT:
        return
    torch.use_deterministic_algorithms(True, warn_only=True)
    # memory that is written to in any case is not filled before
    settings: Any = torch.utils.deterministic
    settings.fill_uninitialized_memory = False
    told = r".*use_deterministic_algorithms\("  # in every warning of torch about it
    warnings.filterwarnings("ignore", told, UserWarning)


def tf32_is_on() -> bool:
    """Return whether a card may compute float32 in the 10 bits of TF32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return bool(matmul.allow_tf32 or cudnn.allow_tf32)
