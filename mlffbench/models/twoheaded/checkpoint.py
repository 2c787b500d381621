"""Checkpoints: NAME.safetensors for the weights, NAME.json for everything else.

Neither can run code. The same model and history give the same bytes.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.files import write_atomic
from mlffbench.core.forcefield import Head
from mlffbench.core.guards.sizes import shown
from mlffbench.models.twoheaded.architecture import Architecture
from mlffbench.models.twoheaded.model import HEADS, TwoHeaded
from mlffbench.models.twoheaded.networks import make_backbone
from mlffbench.models.weights import read_file

SCHEMA_VERSION = 1
"""Raised by one whenever a stored field changes its meaning."""
FORMAT = "mlffbench-two-headed"
"""Tells our JSON from any other."""
SUFFIXES = (".safetensors", ".json")


Element = Annotated[int, Field(ge=1, le=118)]


class Manifest(BaseModel):
    """What NAME.json holds.

    Attributes:
        format: Always `FORMAT`.
        schema_version: Version of this layout.
        architecture: The network.
        atomic_energies: Head -> atomic number -> E0 in eV, of the fitted elements.
        untrained: Head -> elements of the table without a fitted E0.
        scale: Head -> eV per unit of the network's output.
        weights_sha256: Of NAME.safetensors.
        history: What the trainer wrote down; ``facts`` in the file. ``level_of_theory``,
            ``training_sets``, ``charges``, ``licence`` and ``citation`` appear on the
            model's card.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )

    format: str
    schema_version: int
    architecture: Architecture
    atomic_energies: dict[Head, dict[Element, float]]
    untrained: dict[Head, list[Element]]
    scale: dict[Head, float]
    weights_sha256: str
    history: dict[str, JsonValue] = Field(
        validation_alias="facts", serialization_alias="facts"
    )

    def card(self) -> ModelCard:
        """Return what a reader needs to judge the numbers.

        Raises:
            ModelError: Something that belongs on the card is of another type.
        """
        try:
            return ModelCard(
                elements=frozenset(self.architecture.elements),
                charges=frozenset(map(int, _listed(self.history.get("charges", [0])))),
                periodic=True,
                level_of_theory=str(self.history.get("level_of_theory", "not stated")),
                training_sets=tuple(_listed(self.history.get("training_sets", []))),
                licence=str(self.history.get("licence", "not stated")),
                citation=str(self.history.get("citation", "not stated")),
                cutoff=self.architecture.cutoff,
                conservative=not self.architecture.direct_forces,
            )
        except ValueError as error:
            charges = self.history.get("charges")
            msg = f"a checkpoint's charges are no whole numbers: {shown(charges)}"
            raise ModelError(msg) from error


def save(model: TwoHeaded, stem: Path, history: Mapping[str, JsonValue]) -> str:
    """Write a model to STEM.safetensors and STEM.json, and return the weights' sha256.

    Each file is whole or not there. The JSON is written last and names the sha256 of the
    weights: a pair torn by a kill is refused by `load`.

    Args:
        model: At its trained cutoff or any other; the trained one is stored.
        stem: Path without suffix; its folder must exist.
        history: Anything JSON can hold; see `Manifest` for those shown to readers.

    Raises:
        StoreError: The disk is full, or the folder missing or read-only.
        ModelError: The history is no finite JSON.
    """
    tensors = {name: tensor.cpu() for name, tensor in model.state().items()}
    weights = write_tensors({name: tensors[name] for name in sorted(tensors)})
    digest = hashlib.sha256(weights).hexdigest()
    elements = model.architecture.elements
    try:
        manifest = Manifest(
            format=FORMAT,
            schema_version=SCHEMA_VERSION,
            architecture=model.architecture,
            atomic_energies=model.atomic_energies,
            untrained={
                head: [z for z in elements if z not in model.atomic_energies[head]]
                for head in HEADS
            },
            scale=model.scale,
            weights_sha256=digest,
            history=dict(history),
        )
        content = manifest.model_dump(mode="json", exclude_none=True, by_alias=True)
        text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
    except (ValidationError, ValueError) as error:
        msg = f"the history of a checkpoint cannot be stored as JSON: {_first(error)}"
        raise ModelError(msg) from error
    write_atomic(_file(stem, ".safetensors"), weights)
    write_atomic(_file(stem, ".json"), f"{text}\n".encode())
    return digest


def read_manifest(path: Path) -> Manifest:
    """Return what the JSON of a checkpoint says.

    Args:
        path: Either file of the checkpoint, or their common stem.

    Raises:
        ModelError: There is no such file, or it is none of ours.
    """
    file = _file(path, ".json")
    text = read_file(file, "checkpoint")
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        msg = f"{file} is no checkpoint of a two-headed model: {_first(error)}"
        raise ModelError(msg) from error
    if manifest.format != FORMAT or manifest.schema_version != SCHEMA_VERSION:
        msg = (
            f"{file} is {shown(manifest.format)!r} version {manifest.schema_version}, "
            f"expected {FORMAT!r} version {SCHEMA_VERSION}"
        )
        raise ModelError(msg)
    if set(manifest.atomic_energies) != set(HEADS) or set(manifest.scale) != set(HEADS):
        msg = f"{file} lacks the E0s or the scale of a head, expected prior and ref"
        raise ModelError(msg)
    return manifest


def load(
    path: Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> TwoHeaded:
    """Return the model of a checkpoint, named after its file.

    Args:
        path: Either file of the checkpoint, or their common stem.
        device: Where to compute.
        dtype: What to compute in.

    Raises:
        ModelError: A file is missing, damaged, foreign, or does not fit the other.
        MissingExtraError: The network's library is not installed.
    """
    manifest = read_manifest(path)
    file = _file(path, ".safetensors")
    weights = read_file(file, "checkpoint")
    if hashlib.sha256(weights).hexdigest() != manifest.weights_sha256:
        msg = (
            f"{file} is not the weights that its JSON describes: damaged, cut short, or "
            "from another checkpoint; fetch or save both files again"
        )
        raise ModelError(msg)
    try:
        state = read_tensors(weights)
    except SafetensorError as error:
        msg = f"{file} is not a safetensors file: {error}"
        raise ModelError(msg) from error
    model = TwoHeaded(
        manifest.architecture,
        make_backbone(manifest.architecture, seed=0),
        atomic_energies=manifest.atomic_energies,
        scale=manifest.scale,
        device=torch.device(device),
        dtype=dtype,
    )
    try:
        model.load_state(state)
    except ModelError as error:
        msg = f"{file} does not fit the architecture in its JSON: {error}"
        raise ModelError(msg) from error
    model.name = _file(path, "").name
    model.card = dataclasses.replace(manifest.card(), source=str(file))
    model.history = manifest.history
    model.weights_sha256 = manifest.weights_sha256
    return model


def _file(path: Path, suffix: str) -> Path:
    """Return the file of a checkpoint with this suffix, from its stem or either file."""
    stem = path.with_suffix("") if path.suffix in SUFFIXES else path
    return stem.with_name(stem.name + suffix)


def _listed(value: JsonValue) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def _first(error: ValueError) -> str:
    """Return the first complaint of an error in one line."""
    if not isinstance(error, ValidationError):
        return str(error)
    complaint = error.errors()[0]
    place = shown(".".join(str(part) for part in complaint["loc"]))
    return f"{place + ': ' if place else ''}{complaint['msg']}"
