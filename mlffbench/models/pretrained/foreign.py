"""Networks that other packages open, build and run: the process stays as it was."""

import pickle
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch

from mlffbench.core.errors import ModelError
from mlffbench.core.guards.plain import first_line

OPENING_FAULTS = (
    OSError,
    EOFError,
    pickle.UnpicklingError,
    RuntimeError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
)
"""What a package raises on a file that is not what it takes it for."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep random numbers and the default dtype of torch; warnings are not shown."""
    dtype = torch.get_default_dtype()
    try:
        with torch.random.fork_rng([]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(dtype)


@contextmanager
def told_of_file(
    path: Path, form: str, faults: tuple[type[Exception], ...] = OPENING_FAULTS
) -> Iterator[None]:
    """Turn what opening a file raises into one sentence.

    Args:
        path: The file.
        form: What was expected, for the message.
        faults: What may be raised; anything else passes.

    Raises:
        ModelError: The file cannot be read.
    """
    try:
        yield
    except faults as error:
        msg = f"cannot read {path}: {first_line(error)}; {form}"
        raise ModelError(msg) from error


def steady_bits() -> AbstractContextManager[None]:
    """Return a context in which TorchScript gives the same bits on every call.

    What it optimises after its first calls changes the last bits: a resumed training
    would end in other weights.
    """
    context: AbstractContextManager[None] = torch.jit.optimized_execution(False)  # type: ignore[attr-defined]  # public
    return context
