"""MACE model files, opened without running what is in them.

A ``.model`` file is a whole pickled network: opening it the ordinary way runs whatever
Python code (fx graphs) and TorchScript it carries. Here it is opened with
``weights_only=True``, and every class it names becomes an inert `_Shell` that holds
attributes and nothing else. The hyper-parameters are read off the shells, the network is
built anew by the installed mace, and the tensors are copied into it.
"""

import pickle
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mlffbench.core.errors import ModelError
from mlffbench.core.guards.plain import first_line
from mlffbench.models.pretrained.mace_claims import check_tensors
from mlffbench.models.pretrained.mace_network import (
    ACTIVATIONS,
    build,
    describe,
    import_mace,
    is_of_today,
)
from mlffbench.models.weights import check_archive

NETWORK = "ScaleShiftMACE"
"""The one kind of network that is rebuilt; MACE-OFF23 and MACE-MP-0 are of this kind."""
INERT = ("mace.", "e3nn.", "torch.nn.", "torch.fx.", "opt_einsum_fx.")
"""Packages whose classes a file may name; none of them is run."""
NUMBERS = [type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64")]
"""Types of the numpy numbers a file may hold."""
WANTED = "expected the .model file of a whole network, which mace_run_train writes"
_UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError)
_EXPORT = "LAMMPS_MLIAP_MACE"
_WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
}
"""What torch wraps a network into for several cards or for speed -> where that is."""
_FILLER = b"builtins\nbytearray"
"""What torch lets a file make of any size."""
_GZIP = b"\x1f\x8b"
_BEFORE_1_6 = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of a file of torch that is no archive yet, whose names cannot be listed."""


class _Shell(nn.Module):
    """Stands in for any class of a file: attributes, and no behaviour."""

    def __init__(self, *_: object) -> None:
        super().__init__()


def open_network(path: Path) -> nn.Module:
    """Return the network of a MACE model file, on the CPU, without running the file.

    Raises:
        ModelError: The file cannot be read, names something else than parts of a MACE
            network, or holds a network that cannot be rebuilt.
    """
    return rebuild(open_inert(path), path)


def open_trusted(path: Path) -> nn.Module:
    """Return the network of a MACE model file, on the CPU, running whatever is in it.

    A network of a layout that the installed mace no longer runs is built anew.

    Raises:
        ModelError: The file cannot be read, or holds no MACE network.
    """
    modules = import_mace()
    _check_is_archive(path)
    check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated
            content = torch.load(path, map_location="cpu", weights_only=False)
    except (*_UNREADABLE, AttributeError, ImportError) as error:
        raise _unreadable(path, error) from error
    network = _unwrapped(content)
    _check_is_whole(network, path)
    if not isinstance(network, modules.MACE):
        msg = f"{path} holds a {type(network).__name__}, expected a MACE network"
        raise ModelError(msg)
    opened: nn.Module = network
    return opened if is_of_today(opened) else rebuild(opened, path)


def open_inert(path: Path) -> nn.Module:
    """Return the attributes and tensors of a file's network, and nothing that runs.

    Raises:
        ModelError: The file cannot be read, or holds something else.
    """
    import_mace()
    _check_is_archive(path)
    check_archive(path)
    if _head_of(path).startswith(_BEFORE_1_6):
        msg = f"{path} was written as before PyTorch 1.6 and cannot be read without "
        msg += "running it; if you trust the file, load it with --trust, or write it "
        raise ModelError(msg + "again with torch.save of today")
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        stand_ins: list[Any] = [(_stand_in(name, path), name) for name in names]
        stand_ins += [(kind, f"{kind.__module__}.{kind.__name__}") for kind in NUMBERS]
        with torch.serialization.safe_globals(stand_ins):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    network = _unwrapped(content)
    _check_is_whole(network, path)
    kind = type(network).__name__
    if not isinstance(network, _Shell) or kind != NETWORK:
        msg = f"{path} holds a {kind}, expected a {NETWORK} network"
        if not _is_no_mace(network):
            msg += "; if you trust the file, load it with --trust, which runs the code "
            msg += "in it"
        raise ModelError(msg)
    return network


def rebuild(opened: nn.Module, path: Path) -> nn.Module:
    """Return a real network with the hyper-parameters and tensors of what was opened.

    Raises:
        ModelError: The installed mace cannot build it.
    """
    try:
        check_tensors(opened)
        _widen(opened)
        return build(describe(opened), opened.state_dict())
    except (ModelError, AttributeError, TypeError, RuntimeError) as error:
        why = error if isinstance(error, ModelError) else first_line(error)
        msg = f"the network in {path} cannot be rebuilt with the installed mace ({why})"
        if isinstance(opened, _Shell):
            msg += "; if you trust the file, load it with --trust"
        raise ModelError(msg) from error


def _widen(opened: nn.Module) -> None:
    """Turn numbers in bfloat16, which numpy and so a description lacks, into float32."""

    def wider(one: Tensor) -> Tensor:
        return one.float() if one.dtype is torch.bfloat16 else one

    opened._apply(wider)  # type: ignore[no-untyped-call]


def _check_is_archive(path: Path) -> None:
    """Refuse what is no file or cut short, and TorchScript, which holds no network.

    Raises:
        ModelError: It is one of these.
    """
    if not path.is_file():
        msg = f"there is no MACE model file {path}; expected mace:PATH"
        raise ModelError(msg)
    if _head_of(path).startswith(_GZIP):
        msg = f"{path} is packed (gzip); unpack it first (gzip -dk {path.name})"
        raise ModelError(msg)
    if not zipfile.is_zipfile(path):
        return  # files of before PyTorch 1.6; torch says what else is wrong
    try:
        with zipfile.ZipFile(path) as archive:
            script = any(name.endswith("/constants.pkl") for name in archive.namelist())
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            filler = any(_FILLER in archive.read(name) for name in pickles)
    except zipfile.BadZipFile as error:
        raise _unreadable(path, error) from error
    if filler:
        msg = (
            f"{path} names 'bytearray', which is no part of a MACE network, and was not "
        )
        raise ModelError(msg + "opened; get the file again, or another")
    if script:
        msg = (
            f"{path} is a TorchScript export (for LAMMPS, or compiled), out of which no "
            f"network can be taken; {WANTED}"
        )
        raise ModelError(msg)


def _head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_BEFORE_1_6))


def _unwrapped(content: Any) -> Any:
    """Return the network inside what torch wraps networks into, or the content."""
    for _ in _WRAPPERS:  # one inside the other
        inside = _WRAPPERS.get(type(content).__name__)
        content = content if inside is None else getattr(content, inside, content)
    return content


def _is_no_mace(content: Any) -> bool:
    """Return whether what a file names is known and gives no energy as MACE does."""
    modules = import_mace()
    known = getattr(modules, type(content).__name__, None)
    known = known or getattr(nn, type(content).__name__, None)
    return isinstance(known, type) and not issubclass(known, modules.MACE)


def _check_is_whole(content: object, path: Path) -> None:
    """Refuse tensors without a network, and networks inside something for LAMMPS.

    Raises:
        ModelError: It is one of these.
    """
    if type(content).__name__ == _EXPORT:
        msg = f"{path} is an export for LAMMPS (ML-IAP), made for its edge forces only; "
        raise ModelError(msg + WANTED)
    if not isinstance(content, Mapping | Sequence):
        return
    values = content.values() if isinstance(content, Mapping) else ()
    if values and all(isinstance(value, Tensor) for value in values):
        msg = f"{path} is a state dict: tensors without the network they belong to; "
        raise ModelError(msg + WANTED)
    if "model" in content and "optimizer" in content:
        msg = f"{path} is a checkpoint of a training that goes on, without its network; "
        raise ModelError(msg + WANTED)
    msg = f"{path} holds a {type(content).__name__} of other things than a network; "
    raise ModelError(msg + WANTED)


def _stand_in(name: str, path: Path) -> Any:
    """Return what a name in a file is taken for.

    Raises:
        ModelError: The name belongs to no part of a MACE network.
    """
    from e3nn import o3

    plain = [nn.ModuleList, nn.ParameterList, o3.Irreps, o3.Irrep]
    known: dict[str, Any] = {f"{one.__module__}.{one.__qualname__}": one for one in plain}
    known["numpy.dtype"] = _number_type
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


def _number_type(word: str, *_: object) -> Any:
    """Return the type of a numpy number; others may be of any size.

    Raises:
        ValueError: It is the type of something else.
    """
    found = np.dtype(word)
    if found.kind not in "biuf":
        msg = f"numpy's {word!r:.20} is no number"
        raise ValueError(msg)
    return found


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path} is not a readable MACE model file: {first_line(error)}")
