"""The ANI family: ANI-1x inside torchani, and folders of the ANI model zoo."""

import hashlib
import struct
import warnings
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch

from mlffbench.core.card import SYMBOLS, ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.guards.plain import first_line
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.plugins.install import install_line
from mlffbench.models import cards
from mlffbench.models.pretrained.ani_ensemble import stack_networks
from mlffbench.models.pretrained.ani_model import AniForceField, AniParts

KNOWN = {
    "e7505e2a05321fbee07f3e815f5461effa91865c59e9e6787708c16f19a8199e": (
        "ani-1x",
        cards.ANI_1X,
    ),
    "2f192680a13d22e7cffc1fa17ae73ca0ba5c639d53d4d190f4a0e64a1e88d33a": (
        "ani-1ccx",
        cards.ANI_1CCX,
    ),
    "f417959bbf3ef285adf5e879d77cbfb98c18e1a0dc062ba35c8280685d0f98a3": (
        "ani-2x",
        cards.ANI_2X,
    ),
}
"""Checksum of a folder -> what it is; see `checksum`."""
_INSIDE_TORCHANI = "resources/ani-1x_8x"
_SELF_ENERGIES = "sae_linfit.dat"
_FILES = {".params", ".nnf", ".wparam", ".bparam"}
_FORM = (
    "expected a folder of the ANI model zoo: one *.params file, sae_linfit.dat, and "
    "train0, train1 … with a folder networks each"
)


def load(options: ModelOptions) -> AniForceField:
    """Return ANI-1x with the weights inside the installed torchani.

    Raises:
        ModelError: The installed torchani carries no ANI-1x weights.
    """
    folder = Path(str(_import_torchani().__file__)).parent / _INSIDE_TORCHANI
    if not (folder / "train0" / "networks").is_dir():
        msg = f"the installed torchani carries no ANI-1x weights in {folder}; "
        raise ModelError(msg + f"run: {install_line('ani')} (torchani 2.2.4)")
    return _load(folder, "ani-1x", cards.ANI_1X, options)


def load_folder(options: ModelOptions) -> AniForceField:
    """Return the ensemble of a folder in NeuroChem's layout: ``ani:FOLDER``.

    ANI-1x, ANI-1ccx and ANI-2x are recognised by their content.

    Raises:
        ModelError: The folder is not there, or not of that layout.
    """
    folder = Path(options.argument).expanduser()
    if not folder.is_dir():
        msg = f"there is no folder {folder}; {_FORM}"
        raise ModelError(msg)
    name, card = f"ani:{folder.name}", cards.ANI
    found = KNOWN.get(checksum(folder))
    if found is not None:
        name, card = found
    return _load(folder, name, replace(card, source=str(folder)), options)


def checksum(folder: Path) -> str:
    """Return one sha256 over the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in _FILES or path.name == _SELF_ENERGIES:
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _load(
    folder: Path, name: str, card: ModelCard, options: ModelOptions
) -> AniForceField:
    device, dtype = options.torch_device(), options.torch_dtype(card)
    parts = _read(folder)
    model = AniForceField(name, parts, card, device=device, dtype=dtype)
    model.weights_sha256 = checksum(folder)
    return model


def _read(folder: Path) -> AniParts:
    """Return the networks of a folder.

    Raises:
        ModelError: A file is missing or damaged.
    """
    torchani = _import_torchani()
    from lark.exceptions import LarkError

    constants_files = sorted(folder.glob("*.params"))
    n_networks = 0
    while (folder / f"train{n_networks}" / "networks").is_dir():
        n_networks += 1
    if len(constants_files) != 1 or n_networks == 0:
        msg = (
            f"{folder} holds {len(constants_files)} *.params files and {n_networks} "
            f"networks; {_FORM}"
        )
        raise ModelError(msg)
    neurochem = torchani.neurochem
    try:
        constants = neurochem.Constants(str(constants_files[0]))
        shifter = neurochem.load_sae(str(folder / _SELF_ENERGIES))
        networks = neurochem.load_model_ensemble(
            constants.species, str(folder / "train"), n_networks
        )
        ensemble = stack_networks([list(network.values()) for network in networks])
        numbers = tuple(SYMBOLS.index(symbol) for symbol in constants.species)
        parts = AniParts(
            aev_computer=torchani.AEVComputer(**constants),
            ensemble=ensemble,
            self_energies=shifter.self_energies.double(),
            numbers=numbers,
        )
    except (
        OSError,
        AttributeError,
        ValueError,
        IndexError,
        NotImplementedError,
        RuntimeError,
        struct.error,
        LarkError,
    ) as error:
        why = first_line(error)
        msg = f"{folder} cannot be read as a folder of ANI networks ({why}); unpack "
        raise ModelError(msg + "the download again") from error
    if not torch.isfinite(parts.self_energies).all() or len(numbers) != len(
        parts.self_energies
    ):
        msg = f"{folder / _SELF_ENERGIES} has {len(parts.self_energies)} energies for "
        raise ModelError(
            msg + f"{len(numbers)} elements; expected one finite number each"
        )
    return parts


def _import_torchani() -> ModuleType:
    with warnings.catch_warnings():
        # "cuaev not installed", pkg_resources, lark's sre_parse: of no use to a user.
        warnings.simplefilter("ignore")
        import torchani
    module: ModuleType = torchani
    return module
