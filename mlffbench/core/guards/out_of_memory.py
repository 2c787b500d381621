"""How libraries say that memory ran out."""

import torch

_SAID = (
    "out of memory",  # PyTorch, CUDA
    "failed to allocate",  # Warp
    "alloc_failed",  # cuBLAS, cuSOLVER
    "can't allocate memory",  # PyTorch on the CPU
    "unable to allocate",  # NumPy
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, whoever allocates it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in _SAID)
