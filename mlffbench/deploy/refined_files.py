"""Refined weights on disk: a JSON that says what was seen, safetensors for each unit.

::

    refined/
      refined.json          the model they belong to, mode, settings, units, what was seen
      unit-000.safetensors  the weights that were moved, of one unit
      unit-000.model        the same as a MACE model file, where the model is a MACE
"""

import hashlib
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    JsonValue,
    ValidationError,
    model_validator,
)
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor

from mlffbench.core.errors import ModelError, faults_in
from mlffbench.core.files import write_atomic
from mlffbench.deploy.family import Family
from mlffbench.models.weights import read_file

MANIFEST = "refined.json"
"""File of a folder of refined weights that says everything else."""
MIN_BYTES = 4
"""Of a number of the weights: they are in float32 or float64."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RefinedUnit(_Frozen):
    """What was refined together.

    Attributes:
        name: The molecule, or whatever the unit of the mode is.
        structures: Ids of the structures that were seen.
        families: The molecules that they are of.
        adapted: Whether weights were moved; else the model serves as it comes.
        reason: Why not.
        weights: File of the weights; empty where none were moved.
        weights_sha256: Its checksum.
        offsets: Energy in eV that is added, one per family, so that the mean of each
            molecule stays.
        steps: Gradient steps.
        losses: Prior loss of the first and of the lowest step, in eV/Å.
        mace_file: The same weights as a MACE model file; empty without.
    """

    name: str
    structures: tuple[str, ...]
    families: tuple[Family, ...]
    adapted: bool
    reason: str = ""
    weights: str = ""
    weights_sha256: str = ""
    offsets: tuple[float, ...] = ()
    steps: int = 0
    losses: tuple[float, ...] = ()
    mace_file: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        names = {self.weights, self.mace_file} - {""}
        if any(Path(name).name != name or "\\" in name for name in names):
            raise ValueError("weights lie in the folder itself, under a plain name")
        if self.adapted and not (
            self.weights and len(self.offsets) == len(self.families)
        ):
            raise ValueError("an adapted unit has weights and an offset for each family")
        return self


class RefinedManifest(_Frozen):
    """What ``refined.json`` holds.

    Attributes:
        format: Tells it from any other JSON.
        version: Of this layout.
        model: The model that was refined, as typed.
        model_weights: Checksum of its weights.
        mode: The refinement.
        settings: Its settings as resolved, the prior among them.
        sees: What was seen, in words.
        source: The file of the structures.
        source_sha256: Its checksum.
        training: Whose training geometries the refinement compared with.
        units: What was refined together.
        left_out: Id of a structure -> why the model cannot treat it.
        fingerprint: Checksum of all that decides the weights.
        versions: Of every package that makes numbers.
        sha256: Checksum of all else, so that no number is changed unseen.
    """

    format: Literal["mlffbench-refined"] = "mlffbench-refined"
    version: Literal[1] = 1
    model: str
    model_weights: str
    mode: str
    settings: dict[str, JsonValue]
    sees: str
    source: str
    source_sha256: str
    training: str
    units: tuple[RefinedUnit, ...]
    left_out: dict[str, str]
    fingerprint: str
    versions: dict[str, str]
    sha256: str = ""

    def signed(self) -> Self:
        """Return it with the checksum of all else that it says."""
        said = self.model_dump_json(exclude={"sha256"})
        found = hashlib.sha256(said.encode()).hexdigest()
        return self.model_copy(update={"sha256": found})

    def write(self, folder: Path) -> None:
        """Write it; the weights it names must be there before.

        Raises:
            StoreError: The folder cannot be written.
        """
        text = self.signed().model_dump_json(indent=1) + "\n"
        write_atomic(folder / MANIFEST, text.encode())


def read_refined(folder: Path) -> RefinedManifest:
    """Return what a folder of refined weights says.

    Raises:
        ModelError: It is none.
    """
    path = folder if folder.name == MANIFEST else folder / MANIFEST
    text = read_file(path, "refined model")
    try:
        found = RefinedManifest.model_validate_json(text)
    except ValidationError as error:
        msg = f"{path} is no refined model: {faults_in(error)}; make one with: "
        raise ModelError(msg + "mlffbench refine FILE --model M --out DIR") from error
    if found.sha256 != found.signed().sha256:
        msg = f"{path} was changed after it was written; refine again"
        raise ModelError(msg)
    return found


def write_weights(path: Path, parameters: list[Tensor]) -> str:
    """Write parameters in order, and return the checksum of the file.

    Raises:
        StoreError: The folder cannot be written.
    """
    tensors = {
        f"{place:05d}": one.detach().cpu().contiguous()
        for place, one in enumerate(parameters)
    }
    content = write_tensors(tensors)
    write_atomic(path, content)
    return hashlib.sha256(content).hexdigest()


def read_weights(path: Path, sha256: str, like: list[Tensor]) -> list[Tensor]:
    """Return parameters in order.

    Args:
        path: The file.
        sha256: Its checksum.
        like: Those that they are to replace, of the shapes they must have.

    Raises:
        ModelError: The file is missing, damaged, or of another model.
    """
    content = read_file(path, "refined model")
    if hashlib.sha256(content).hexdigest() != sha256:
        msg = f"{path} is not the file that {MANIFEST} describes: damaged or replaced; "
        raise ModelError(msg + "refine again")
    try:
        tensors = read_tensors(content)
    except SafetensorError as error:
        msg = f"{path} is not a safetensors file: {error}"
        raise ModelError(msg) from error
    found = [tensors[name] for name in sorted(tensors)]
    alike = [(one.shape, one.is_floating_point()) for one in found] == [
        (one.shape, one.is_floating_point()) for one in like
    ]
    if not alike or any(one.element_size() < MIN_BYTES for one in found):
        msg = f"{path} holds weights of another network than that of the model it names"
        raise ModelError(msg)
    if not all(bool(torch.isfinite(one).all()) for one in found):
        msg = f"{path} holds weights that are not finite; refine again"
        raise ModelError(msg)
    return found
