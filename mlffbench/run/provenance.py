"""Where a number came from: versions, git, device, command."""

import importlib.metadata
import platform
import resource
import shlex
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

import mlffbench
from mlffbench.core.card import ModelCard
from mlffbench.core.files import sha256_of
from mlffbench.core.forcefield import ForceField, HasWeights
from mlffbench.core.guards.plain import without_credentials
from mlffbench.core.model_options import tf32_is_on
from mlffbench.core.plugins.plugin_source import source_of
from mlffbench.core.plugins.user_file import parse_user_file
from mlffbench.refine.catalog import REFINERS
from mlffbench.run.model_files import file_hashes

PACKAGES = (
    "torch", "numpy", "scipy", "pandas", "ase", "tblite", "torchani", "mace-torch",
    "e3nn", "rdkit", "torch-geometric", "vesin", "sevenn", "nequip", "nequip-allegro",
    "orb-models", "aimnet", "fairchem-core", "metatrain", "metatomic-torch",
    "torch-sim-atomistic",
)  # fmt: skip
"""Whose versions ``run.json`` states, those that are installed."""


@cache
def versions() -> dict[str, str]:
    """Return the versions of mlffbench, Python and every package that makes numbers."""
    found = {"mlffbench": mlffbench.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@cache
def git_state() -> dict[str, str | bool] | None:
    """Return commit and dirtiness of mlffbench's own checkout, None without one."""
    folder = Path(mlffbench.__file__).parent
    owned = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    commit = _git(folder, "rev-parse", "HEAD")
    if owned is None or commit is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no", ".")
    return {"commit": commit, "dirty": bool(changes)}


def hardware(device: str) -> dict[str, str]:
    """Return what the run computes on, in words."""
    found = {"device": device, "platform": platform.platform()}
    if device == "cuda":
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = torch.version.cuda or "unknown"
        found["tf32"] = "on" if tf32_is_on() else "off"
        in_order = torch.are_deterministic_algorithms_enabled()
        found["deterministic"] = "on" if in_order else "off"
    return found


def peak_memory_mb() -> float:
    """Return the largest resident size of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (1024**2 if sys.platform == "darwin" else 1024)


def command_line() -> str:
    """Return the command that was typed, without passwords in addresses."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    return without_credentials(shlex.join(words))


def mode_files(spec: str) -> dict[str, dict[str, str]]:
    """Return the files of a mode that is not ours as a part of ``run.json``."""
    file, row = parse_user_file(spec), REFINERS.rows().get(spec)
    path = file.path if file else None
    if row is not None and row.package:
        path = source_of(row.target.partition(":")[0])
    return {"files": {path.name: sha256_of(path)}} if path else {}


def model_manifest(spec: str, model: ForceField, card: ModelCard) -> dict[str, Any]:
    """Return what tells a model from others: its name, card, files and weights.

    Where its weights lie is no part of it: a worker may have them elsewhere.
    """
    return {
        "name": model.name,
        "card": dict(replace(card, source=wherever(card.source)).rows()),
        "files": file_hashes(spec),
        "weights_sha256": model.weights_sha256 if isinstance(model, HasWeights) else "",
    }


def wherever(source: str) -> str:
    """Return where weights come from; of a path what is the same on every machine.

    Example:
        >>> wherever("/home/me/models/my.model")
        'my.model'
    """
    path = Path(source)
    if not path.is_absolute():
        return source
    package = Path(mlffbench.__file__).parent
    inside = path.is_relative_to(package)
    return path.relative_to(package.parent).as_posix() if inside else path.name


def _git(folder: Path, *words: str) -> str | None:
    command: list[Any] = ["git", "-C", folder, *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
