"""Memory limit: batches that did not fit are not tried again, in this process."""

import torch

from mlffbench.core.structures import Structures

_SAID = (
    "out of memory",  # PyTorch, CUDA
    "failed to allocate",  # Warp
    "alloc_failed",  # cuBLAS, cuSOLVER
    "can't allocate memory",  # PyTorch on the CPU
    "unable to allocate",  # NumPy
)


class MemoryLimits:
    """The smallest batch of each model, on each card, for which memory did not do."""

    def __init__(self) -> None:
        self._atoms: dict[tuple[str, str], int] = {}

    def exceeded_by(self, model: str, structures: Structures) -> bool:
        """Return whether a batch is as large as one that did not fit."""
        limit = self._atoms.get(_key(model, structures))
        return limit is not None and structures.n_atoms >= limit

    def note(self, model: str, structures: Structures, error: BaseException) -> None:
        """Remember a batch that failed, where memory was the reason."""
        if is_out_of_memory(error):
            key = _key(model, structures)
            self._atoms[key] = min(
                self._atoms.get(key, structures.n_atoms), structures.n_atoms
            )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, whoever allocates it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in _SAID)


def _key(model: str, structures: Structures) -> tuple[str, str]:
    return model, str(structures.positions.device)
