"""MACE: MACE-SPICE, MACE-OFF23, MACE-MP-0 and any model file of the user's."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.files import sha256_of
from mlffbench.core.model_options import ModelOptions
from mlffbench.models import cards
from mlffbench.models.model_spec import split_settings
from mlffbench.models.pretrained.mace_backend import with_backend
from mlffbench.models.pretrained.mace_file import open_network, open_trusted
from mlffbench.models.pretrained.mace_model import MaceForceField
from mlffbench.models.pretrained.mace_store import open_stored
from mlffbench.models.weights import Weights, fetch, trust

SPICE = Path(__file__).parent / "shipped" / "mace-spice.json"
"""Made by mace_store of MACE_SPICE.model, see its card."""

_OFF = "https://github.com/ACEsuit/mace-off/raw/main/mace_off23"
_MP = "https://github.com/ACEsuit/mace-mp/releases/download/mace_mp_0"


def _off(size: str, sha256: str) -> Weights:
    file = f"MACE-OFF23_{size}.model"
    return Weights(file=file, url=f"{_OFF}/{file}", sha256=sha256)


# The three checksums were seen in one third-party file; the first real download confirms.
OFF23_SMALL = _off(
    "small", "165cce4cfec5a34b9c64d4ebf95de15d71106bb584b7291c8470f0749977c46f"
)
OFF23_MEDIUM = _off(
    "medium", "4842c52ad210d6e1f84d6cf1ffa70fae25a7e0d755ed55cf223f43913f587db7"
)
OFF23_LARGE = _off(
    "large", "a29e397dbf3e7a24ac50a9b0dfc919bd5a62efa346f5895a6237b0950c1d76f4"
)
MP_0 = Weights(
    file="2023-12-03-mace-128-L1_epoch-199.model",
    url=f"{_MP}/2023-12-03-mace-128-L1_epoch-199.model",
)


def load_off23_small(options: ModelOptions) -> MaceForceField:
    """Return MACE-OFF23 small, downloaded on first use."""
    card = cards.MACE_OFF23_SMALL
    return _load_published("mace-off23-small", OFF23_SMALL, card, options)


def load_off23_medium(options: ModelOptions) -> MaceForceField:
    """Return MACE-OFF23 medium, downloaded on first use."""
    card = cards.MACE_OFF23_MEDIUM
    return _load_published("mace-off23-medium", OFF23_MEDIUM, card, options)


def load_off23_large(options: ModelOptions) -> MaceForceField:
    """Return MACE-OFF23 large, downloaded on first use."""
    card = cards.MACE_OFF23_LARGE
    return _load_published("mace-off23-large", OFF23_LARGE, card, options)


def load_mp_0(options: ModelOptions) -> MaceForceField:
    """Return MACE-MP-0 medium, downloaded on first use."""
    return _load_published("mace-mp-0", MP_0, cards.MACE_MP_0, options)


def load_file(options: ModelOptions) -> MaceForceField:
    """Return the model of a file: ``PATH[?head=NAME&backend=NAME]`` in the options.

    Raises:
        ModelError: The file cannot be opened safely, or the argument makes no sense.
    """
    path, settings = split_settings(options.argument)
    if unknown := settings.keys() - {"head", "backend"}:
        msg = f"mace:PATH knows ?head=NAME&backend=NAME, not {', '.join(sorted(unknown))}"
        raise ModelError(msg)
    network = _open(path, trust=options.trust)
    backend = settings.get("backend", "")
    network = with_backend(network, backend, options.torch_device())
    card = replace(cards.MACE, source=str(path))
    model = _wrap(f"mace:{path.name}", network, card, options, settings.get("head", ""))
    model.weights_sha256 = sha256_of(path)
    return model


def load_spice(options: ModelOptions) -> MaceForceField:
    """Return the MACE that OpenMM-ML trained on SPICE 1; it ships in the package."""
    network = open_stored(SPICE)
    model = _wrap("mace-spice", network, cards.MACE_SPICE, options, head="")
    model.weights_sha256 = sha256_of(SPICE.with_suffix(".safetensors"))
    return model


def _open(path: Path, *, trust: bool) -> nn.Module:
    if path.suffix == ".json":
        return open_stored(path)
    return open_trusted(path) if trust else open_network(path)


def _load_published(
    name: str, weights: Weights, card: ModelCard, options: ModelOptions
) -> MaceForceField:
    path = fetch(weights)
    try:
        network = open_network(path)
    except ModelError:
        # A published checksum has been verified by now: it is the file that everybody
        # opens the ordinary way. Without one, opening it so is for the user to say.
        if weights.sha256 is None and not options.trust:
            raise
        network = open_trusted(path)
    trust(weights)
    model = _wrap(name, network, card, options, head="")
    model.weights_sha256 = sha256_of(path)
    return model


def _wrap(
    name: str, network: nn.Module, card: ModelCard, options: ModelOptions, head: str
) -> MaceForceField:
    return MaceForceField(
        name,
        network,
        card,
        head=head,
        device=options.torch_device(),
        dtype=options.torch_dtype(card),
    )
