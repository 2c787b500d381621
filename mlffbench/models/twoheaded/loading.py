"""What the catalogue points at: a checkpoint by its path, and those that ship."""

from pathlib import Path

from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.twoheaded.checkpoint import load, read_manifest
from mlffbench.models.twoheaded.model import TwoHeaded

SHIPPED = Path(__file__).parent / "shipped"
"""Folder of the checkpoints that come with the package."""


def from_checkpoint(options: ModelOptions) -> TwoHeaded:
    """Return the model of the checkpoint at the path in ``options.argument``.

    Raises:
        ModelError: No path was given, or the checkpoint, device or dtype is not usable.
        MissingExtraError: The network's library is not installed.
    """
    if not options.argument:
        raise ModelError("'checkpoint' needs a path: write checkpoint:PATH/NAME.json")
    return _load(Path(options.argument).expanduser(), options)


def mini_mace(options: ModelOptions) -> TwoHeaded:
    """Return the shipped MACE, trained on a prior and then on the mini set."""
    return _load(SHIPPED / "mini-mace", options)


def mini_schnet(options: ModelOptions) -> TwoHeaded:
    """Return the shipped SchNet, trained on a prior and then on the mini set."""
    return _load(SHIPPED / "mini-schnet", options)


def mini_gemnet(options: ModelOptions) -> TwoHeaded:
    """Return the shipped GemNet, trained on a prior and then on the mini set."""
    return _load(SHIPPED / "mini-gemnet", options)


def mini_mace_scratch(options: ModelOptions) -> TwoHeaded:
    """Return the shipped control: the same MACE, trained on the mini set alone."""
    return _load(SHIPPED / "mini-mace-scratch", options)


def _load(path: Path, options: ModelOptions) -> TwoHeaded:
    device = options.torch_device()
    dtype = options.torch_dtype(read_manifest(path).card())
    return load(path, device=device, dtype=dtype)
