"""Networks that other packages open, build and run: the process stays as it was."""

import pickle
import warnings
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
from torch import nn

from mlffbench.core.errors import ModelError
from mlffbench.core.guards.plain import first_line
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.model_spec import split_settings

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


def check_finite(network: nn.Module, name: str) -> None:
    """Raise ModelError where a weight of a network is no number.

    Args:
        network: Of any package.
        name: How tables call the model.
    """
    for key, weights in network.named_parameters():
        if not bool(torch.isfinite(weights).all()):
            msg = f"weights {key!r} of {name!r} are not finite: the training that wrote "
            raise ModelError(msg + "them went wrong, or the file is damaged")


def file_that_runs_code(
    options: ModelOptions, form: str, settings: Collection[str] = ()
) -> tuple[Path, dict[str, str]]:
    """Return the path that was typed, and the settings after its question mark.

    Args:
        options: Its argument is ``PATH[?NAME=VALUE&…]``.
        form: What was expected, for the message.
        settings: Names that there are.

    Raises:
        ModelError: A setting is not known, there is no such file, or the user did not
            say that it may run code.
    """
    path, told = split_settings(options.argument)
    if unknown := told.keys() - set(settings):
        msg = f"{form}; got {', '.join(sorted(unknown))} too"
        raise ModelError(msg)
    if not path.is_file():
        msg = f"there is no file {path}; {form}"
        raise ModelError(msg)
    if not options.trust:
        msg = f"{path} runs code when it is opened; if you know and trust where it is "
        raise ModelError(msg + "from, repeat the command with --trust")
    return path, told


def the_one_of(owner: str, what: str, known: list[str], wanted: str, form: str) -> str:
    """Return what is wanted of what a file knows, or the only one there is.

    Args:
        owner: The model, for the message.
        what: What it knows several of, e.g. ``"task"``.
        known: Their names.
        wanted: What the user named; empty for nothing.
        form: What was expected, for the message.

    Raises:
        ModelError: There is no such one, or several and none is named.
    """
    if wanted in known or (len(known) == 1 and not wanted):
        return wanted or known[0]
    asked = f"no {what} {wanted!r}" if wanted else f"no single {what}"
    msg = f"{owner!r} has {asked}: it has {', '.join(known) or 'none'}; {form}"
    raise ModelError(msg)


def steady_bits() -> AbstractContextManager[None]:
    """Return a context in which TorchScript gives the same bits on every call.

    What it optimises after its first calls changes the last bits: a resumed training
    would end in other weights.
    """
    context: AbstractContextManager[None] = torch.jit.optimized_execution(False)  # type: ignore[attr-defined]  # public
    return context
