"""Faster layers for a MACE network: the same numbers from other packages' kernels."""

import contextlib
import importlib.util
import io
from typing import NamedTuple

import torch
from torch import nn

from mlffbench.core.errors import ModelError
from mlffbench.core.guards.plain import first_line
from mlffbench.models.pretrained.foreign import undisturbed

PLAIN = "e3nn"
"""The layers that every MACE file has."""


class _Backend(NamedTuple):
    """A package with layers of its own.

    Attributes:
        package: What is imported.
        install: What pip installs.
        converter: The command of mace that exchanges the layers.
    """

    package: str
    install: str
    converter: str


BACKENDS = {
    "cueq": _Backend(
        "cuequivariance_torch",
        "cuequivariance-torch cuequivariance-ops-torch-cu12",
        "mace.cli.convert_e3nn_cueq",
    ),
    "oeq": _Backend("openequivariance", "openequivariance", "mace.cli.convert_e3nn_oeq"),
}
"""Name as typed -> package; MACE calls them ``enable_cueq`` and ``enable_oeq``."""


def with_backend(network: nn.Module, backend: str, device: torch.device) -> nn.Module:
    """Return a network with the layers of a backend.

    Args:
        network: With the layers of e3nn; left as it is.
        backend: ``"e3nn"``, ``"cueq"`` or ``"oeq"``; empty for e3nn.
        device: Where it will compute.

    Raises:
        ModelError: There is no such backend, its package is not installed, or it cannot
            replace the layers of this network.
    """
    if backend in {"", PLAIN}:
        return network
    if backend not in BACKENDS:
        known = ", ".join([PLAIN, *BACKENDS])
        msg = f"there is no MACE backend {backend!r}; expected one of {known}"
        raise ModelError(msg)
    wanted = BACKENDS[backend]
    if importlib.util.find_spec(wanted.package) is None:
        msg = (
            f"the MACE backend {backend!r} needs {wanted.package!r}, which is not "
            f"installed; run: pip install {wanted.install}; or leave 'backend' out"
        )
        raise ModelError(msg)
    try:
        with undisturbed(), contextlib.redirect_stdout(io.StringIO()):
            convert = importlib.import_module(wanted.converter).run
            other: nn.Module = convert(network, device=device.type)
    except (
        AttributeError,
        ImportError,
        IndexError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        msg = f"the MACE backend {backend!r} cannot take over the layers of this network "
        raise ModelError(msg + f"({first_line(error)}); leave 'backend' out") from error
    return other
