"""MACE model files, opened without running what is in them.

A ``.model`` file is a whole pickled network: opening it the ordinary way runs whatever
Python code (fx graphs) and TorchScript it carries. Here it is opened with
``weights_only=True``, and every class it names becomes an inert `_Shell` that holds
attributes and nothing else. The hyper-parameters are read off the shells, the network is
built anew by the installed mace, and the tensors are copied into it.
"""

import contextlib
import io
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mlffbench.core.errors import ModelError

NETWORK = "ScaleShiftMACE"
"""The one kind of network that is rebuilt; MACE-OFF23 and MACE-MP-0 are of this kind."""
INERT = ("mace.", "e3nn.", "torch.nn.", "torch.fx.", "opt_einsum_fx.")
"""Packages whose classes a file may name; none of them is run."""
ACTIVATIONS = ("silu", "elu", "relu", "gelu", "softplus")
"""Functions that are taken for what they are."""
CONSTANTS = re.compile(r"\._compiled_main|\.graph_opt|_zeroed$")
"""Names of tensors that building the network computes and older files may lack."""
NUMBERS = [type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64")]
"""Types of the numpy numbers a file may hold."""
_UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError)


class _Shell(nn.Module):
    """Stands in for any class of a file: attributes, and no behaviour."""

    def __init__(self, *_: object) -> None:
        super().__init__()


def import_mace() -> Any:
    """Return ``mace.modules``, imported before e3nn, which fails the other way round."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # TorchScript is deprecated, cuequivariance is absent: of no use to a user.
        warnings.simplefilter("ignore")
        import mace.modules
    return mace.modules


def open_network(path: Path) -> nn.Module:
    """Return the network of a MACE model file, on the CPU, without running the file.

    Raises:
        ModelError: The file cannot be read, names something else than parts of a MACE
            network, or holds a network that cannot be rebuilt.
    """
    modules = import_mace()
    _check_exists(path)
    return _rebuild(modules, _open_inert(path), path)


def open_trusted(path: Path) -> nn.Module:
    """Return the network of a MACE model file, on the CPU, running whatever is in it.

    Raises:
        ModelError: The file cannot be read, or holds no MACE network.
    """
    modules = import_mace()
    _check_exists(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated
            network = torch.load(path, map_location="cpu", weights_only=False)
    except (*_UNREADABLE, AttributeError, ImportError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(network, modules.MACE):
        msg = f"{path} holds a {type(network).__name__}, expected a MACE network"
        raise ModelError(msg)
    opened: nn.Module = network
    return opened


def _check_exists(path: Path) -> None:
    if not path.is_file():
        msg = f"there is no MACE model file {path}; expected mace:PATH"
        raise ModelError(msg)


def _open_inert(path: Path) -> nn.Module:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        stand_ins: list[Any] = [(_stand_in(name, path), name) for name in names]
        stand_ins += [(kind, f"{kind.__module__}.{kind.__name__}") for kind in NUMBERS]
        with torch.serialization.safe_globals(stand_ins):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    kind = type(content).__name__
    if not isinstance(content, _Shell) or kind != NETWORK:
        msg = (
            f"{path} holds a {kind}, expected a {NETWORK} network; if you trust the "
            "file, load it with --trust, which runs the code in it"
        )
        raise ModelError(msg)
    return content


def _stand_in(name: str, path: Path) -> Any:
    """Return what a name in a file is taken for.

    Raises:
        ModelError: The name belongs to no part of a MACE network.
    """
    from e3nn import o3

    plain = [nn.ModuleList, nn.ParameterList, np.dtype, o3.Irreps, o3.Irrep]
    known: dict[str, Any] = {f"{one.__module__}.{one.__qualname__}": one for one in plain}
    known["e3nn.o3._irreps._MulIr"] = type(o3.Irreps("0e")[0])
    for core in ("core", "_core"):  # before and since numpy 2
        known[f"numpy.{core}.multiarray.scalar"] = np.float64(0).__reduce__()[0]
    if name in known:
        return known[name]
    module, _, attribute = name.rpartition(".")
    if attribute in ACTIVATIONS and module in {"torch.nn.functional", "torch._C._nn"}:
        return getattr(nn.functional, attribute)
    if name.startswith(INERT):
        return type(attribute, (_Shell,), {"__module__": module})
    msg = (
        f"{path} names {name!r}, which is no part of a MACE network, and was not opened; "
        "if you trust the file, load it with --trust, which runs the code in it"
    )
    raise ModelError(msg)


def _rebuild(modules: Any, shell: nn.Module, path: Path) -> nn.Module:
    """Return a real network with the hyper-parameters and tensors of a shell."""
    from mace.tools.compile import disable_e3nn_codegen
    from mace.tools.scripts_utils import extract_config_mace_model

    state: dict[str, Tensor] = shell.state_dict()
    dtype = next(entry.dtype for entry in state.values() if entry.is_floating_point())
    default = torch.get_default_dtype()
    try:
        config = extract_config_mace_model(shell)
        for role in ("interaction_cls", "interaction_cls_first", "readout_cls"):
            config[role] = getattr(modules.blocks, config[role].__name__)
        torch.set_default_dtype(dtype)
        # Building draws random weights, and TorchScript only costs time here.
        with warnings.catch_warnings(), torch.random.fork_rng([]), disable_e3nn_codegen():
            warnings.simplefilter("ignore")
            network: nn.Module = modules.ScaleShiftMACE(**config)
        keys = network.load_state_dict(state, strict=False)
    except (AttributeError, TypeError, KeyError, ValueError, RuntimeError) as error:
        raise _unknown_network(path, str(error)) from error
    finally:
        torch.set_default_dtype(default)
    missing = [key for key in keys.missing_keys if not CONSTANTS.search(key)]
    strange = [key for key in keys.unexpected_keys if not CONSTANTS.search(key)]
    if missing or strange:
        raise _unknown_network(path, f"missing {missing}, unexpected {strange}")
    return network


def _unreadable(path: Path, error: Exception) -> ModelError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ModelError(f"{path} is not a readable MACE model file: {lines[0][:200]}")


def _unknown_network(path: Path, why: str) -> ModelError:
    lines = why.strip().splitlines() or ["no reason given"]
    return ModelError(
        f"the network in {path} cannot be rebuilt with the installed mace "
        f"({lines[0][:200]}); if you trust the file, load it with --trust"
    )
