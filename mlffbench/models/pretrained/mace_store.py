"""MACE networks as NAME.safetensors and NAME.json, which cannot run code.

A ``.model`` file is converted once::

    python -m mlffbench.models.pretrained.mace_store MACE_SPICE.model mace-spice
"""

import hashlib
import json
import sys
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor, nn

from mlffbench.core.errors import ModelError, first_fault
from mlffbench.core.files import run_tool, sha256_of, write_atomic
from mlffbench.models.pretrained.mace_file import open_inert
from mlffbench.models.pretrained.mace_network import build, describe
from mlffbench.models.weights import read_file

FORMAT = "mlffbench-mace"
"""Tells our JSON from any other."""
SCHEMA_VERSION = 1
"""Raised by one whenever a stored field changes its meaning."""


class StoredNetwork(BaseModel):
    """What NAME.json holds.

    Attributes:
        format: Always `FORMAT`.
        schema_version: Version of this layout.
        hyperparameters: What `mlffbench.models.pretrained.mace_network.build` takes.
        source: Name of the file it was made from.
        source_sha256: Of that file.
        weights_sha256: Of NAME.safetensors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: str
    schema_version: int
    hyperparameters: dict[str, JsonValue]
    source: str
    source_sha256: str
    weights_sha256: str


def convert(path: Path, stem: Path) -> StoredNetwork:
    """Write the network of a MACE model file to STEM.safetensors and STEM.json.

    The file's code is not run, its numbers are not touched.

    Args:
        path: A ``.model`` file of any age.
        stem: Path without suffix; its folder must exist.

    Raises:
        ModelError: The file holds no network that the installed mace can build.
        StoreError: The disk is full, or the folder missing or read-only.
    """
    opened = open_inert(path)
    hyperparameters = describe(opened)
    network = build(hyperparameters, opened.state_dict())
    tensors: dict[str, Tensor] = {
        name: tensor.contiguous() for name, tensor in sorted(network.state_dict().items())
    }
    weights = write_tensors(tensors)
    manifest = StoredNetwork(
        format=FORMAT,
        schema_version=SCHEMA_VERSION,
        hyperparameters=hyperparameters,
        source=path.name,
        source_sha256=sha256_of(path),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True)
    write_atomic(stem.with_name(f"{stem.name}.safetensors"), weights)
    write_atomic(stem.with_name(f"{stem.name}.json"), f"{text}\n".encode())
    return manifest


def open_stored(path: Path) -> nn.Module:
    """Return the network of NAME.json and NAME.safetensors, on the CPU.

    Args:
        path: NAME.json.

    Raises:
        ModelError: A file is missing, damaged, foreign, or does not fit the other.
    """
    manifest = _read_manifest(path)
    file = path.with_suffix(".safetensors")
    weights = read_file(file, "converted MACE")
    if hashlib.sha256(weights).hexdigest() != manifest.weights_sha256:
        msg = f"{file} is not the weights that {path.name} describes: damaged, or from "
        raise ModelError(msg + "another network; fetch or convert both files again")
    try:
        return build(manifest.hyperparameters, read_tensors(weights))
    except (ModelError, SafetensorError) as error:
        msg = f"{file} does not make the network that {path.name} describes: {error}"
        raise ModelError(msg) from error


def _read_manifest(path: Path) -> StoredNetwork:
    try:
        manifest = StoredNetwork.model_validate_json(read_file(path, "converted MACE"))
    except ValidationError as error:
        why = first_fault(error, "the file")
        msg = f"{path} is no JSON of a converted MACE: {why}"
        raise ModelError(msg) from error
    if (manifest.format, manifest.schema_version) != (FORMAT, SCHEMA_VERSION):
        msg = (
            f"{path} is {manifest.format!r} version {manifest.schema_version}, expected "
            f"{FORMAT!r} version {SCHEMA_VERSION}; convert the .model file again"
        )
        raise ModelError(msg)
    return manifest


def main(arguments: list[str]) -> int:
    """Convert the file that the command line names; return the exit code."""

    def told(path: Path, stem: Path) -> str:
        return f"{stem}.safetensors, sha256 {convert(path, stem).weights_sha256}"

    return run_tool(arguments, "mace_store MODEL_FILE STEM", told)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(sys.argv[1:]))
