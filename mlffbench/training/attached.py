"""A prior head for a model that was trained without one, on its per-atom features."""

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol, Self, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import BenchError, ModelError, first_fault
from mlffbench.core.files import write_atomic
from mlffbench.core.forcefield import (
    CutoffScope,
    ForceField,
    HasCard,
    HasCutoff,
    HasEnvelope,
    HasWeights,
    Head,
)
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model
from mlffbench.models.model_spec import check_not_typed, parse_spec
from mlffbench.models.twoheaded.checkpoint import SUFFIXES
from mlffbench.training.examples import Baseline
from mlffbench.training.training_plan import Part
from mlffbench.training.trunk import HasTrunk, as_trunk
from mlffbench.training.validation import CHUNK_ATOMS

ROW = "attached"
"""Name of the catalogue row that loads what is saved here."""
WIDTH = 64
"""Hidden width of the readout."""


class Manifest(BaseModel):
    """What the JSON of a saved prior head holds.

    Attributes:
        format: Tells it from any other JSON.
        version: Of this layout.
        base: How the pretrained model is named on the command line.
        base_weights: Checksum of its weights.
        scale: Of the prior head, in eV.
        atomic_energies: Atomic number -> E0 of the prior head, in eV.
        weights_sha256: Of the safetensors file beside.
        history: What the trainer wrote down; ``facts`` in the file.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )

    format: Literal["mlffbench-attached-prior-head"] = "mlffbench-attached-prior-head"
    version: Literal[1] = 1
    base: str
    base_weights: str
    scale: float
    atomic_energies: dict[int, float]
    weights_sha256: str
    history: dict[str, JsonValue] = Field(
        validation_alias="facts", serialization_alias="facts"
    )


class AttachedPriorHead:
    """A pretrained model and a small prior readout of its features.

    Its predictions are those of the pretrained model. The prior's energy is
    Σ_atoms (scale · readout((features − mean) / deviation) + E0[element]).

    Args:
        trunk: The pretrained model; parameters of a copy of it are the shared ones.
        baseline: E0s in eV and scale in eV of the prior head.
        centre: Shape (n_features,), mean of the features over the training atoms.
        spread: Shape (n_features,), their standard deviation.
        seed: Of the readout's initial weights.

    Attributes:
        name: How tables call it.
        elements: Those of the pretrained model.
        card: That of the pretrained model.
        history: What its trainer wrote down.
        weights_sha256: Of the readout's file, which is bound to the weights of one
            pretrained model; empty where it was not loaded.
        cutoff: Of the pretrained model, where it can be changed; so ``cutoff_scope`` and
            ``cutoff_scopes``.
    """

    def __init__(
        self,
        trunk: HasTrunk,
        baseline: Baseline,
        *,
        centre: Tensor,
        spread: Tensor,
        seed: int,
    ) -> None:
        self.name, self.elements = f"{trunk.name}+prior", trunk.elements
        self.card = (
            trunk.card
            if isinstance(trunk, HasCard)
            else ModelCard(elements=trunk.elements, charges=None, periodic=True)
        )
        self.history: Mapping[str, JsonValue] = {}
        self.weights_sha256 = ""
        self.baseline = baseline
        self._centre, self._spread = centre, spread
        self._stand_on(trunk.clone())
        for parameter in self.representation_parameters():
            parameter.requires_grad_()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._readout = nn.Sequential(
                nn.Linear(len(centre), WIDTH),
                nn.SiLU(),
                nn.Linear(WIDTH, WIDTH),
                nn.SiLU(),
                nn.Linear(WIDTH, 1),
            ).to(centre)
        zeros = torch.zeros(max(trunk.elements) + 1, dtype=torch.float64)
        for number, energy in baseline.atomic_energies.items():
            zeros[number] = energy
        self._zeros = zeros.to(centre.device)

    @classmethod
    def attach(
        cls, trunk: HasTrunk, baseline: Baseline, structures: Structures, *, seed: int
    ) -> Self:
        """Return a model with an untrained readout scaled to training features."""
        with torch.no_grad():
            features = torch.cat([*map(trunk.embed_graph, _chunks(structures))])
        spread = features.std(0)
        spread = torch.where(spread > 1e-6 * spread.max(), spread, torch.inf)
        return cls(trunk, baseline, centre=features.mean(0), spread=spread, seed=seed)

    @property
    def held_out_levels(self) -> dict[str, tuple[float, float, float]]:
        """Molecule -> loss, gap and prior's force in eV/Å of those that stopped the fit.

        Empty where nobody wrote it down; see `mlffbench.refine.prior_level`.
        """
        known = self.history.get("held_out_levels")
        if not isinstance(known, dict):
            return {}
        found = {name: tuple(map(float, one)) for name, one in known.items()}  # type: ignore[arg-type]
        return {name: (one[0], one[1], one[2]) for name, one in found.items()}

    @property
    def head_origin(self) -> str:
        """What the head was fitted to, in words; empty where nobody wrote it down."""
        return str(self.history.get("origin", ""))

    def predict(self, structures: Structures) -> Labels:
        """Return detached labels of the pretrained model."""
        return self._trunk.predict(structures)

    def predict_prior(self, structures: Structures) -> Labels:
        """Return detached labels of the prior's readout."""
        labels = self._prior_labels(structures, differentiable=False)
        return replace(labels, energy=labels.energy.detach())

    def clone(self) -> Self:
        """Return a copy whose parameters can be changed without touching this one."""
        twin = copy.copy(self)
        twin._stand_on(self._trunk.clone())
        twin._readout = copy.deepcopy(self._readout)
        return twin

    def with_cutoff(self, cutoff: float, scope: CutoffScope | None = None) -> Self:
        """Return the same two heads on graphs of another radius in Å.

        Args:
            cutoff: In Å.
            scope: None keeps the pretrained model's; another needs `HasEnvelope` of it.

        Raises:
            ModelError: The pretrained model cannot.
        """
        trunk: object = self._trunk
        if isinstance(trunk, HasEnvelope):
            changed: object = trunk.with_cutoff(cutoff, scope)
        elif isinstance(trunk, HasCutoff) and scope in {None, trunk.cutoff_scope}:
            changed = trunk.with_cutoff(cutoff)
        else:
            msg = f"the model under {self.name!r} cannot change its cutoff so"
            raise ModelError(msg)
        twin = copy.copy(self)
        twin._stand_on(cast("HasTrunk", changed))
        return twin

    def representation_parameters(self) -> Iterable[nn.Parameter]:
        """Return the pretrained parameters that the features depend on."""
        return list(self._trunk.trunk_parameters().values())

    def parameters_of(self, part: Part) -> dict[str, nn.Parameter]:
        """Return the parameters of the trunk, of the prior's readout, or none."""
        if part == "shared":
            return dict(self._trunk.trunk_parameters())
        return dict(self._readout.named_parameters()) if part == "prior" else {}

    def forward(self, structures: Structures, head: Head) -> Labels:
        """Return one head's labels with the autograd graph attached."""
        if head == "ref":
            return self._trunk.labels_graph(structures)
        return self._prior_labels(structures, differentiable=True)

    def _prior_labels(self, structures: Structures, *, differentiable: bool) -> Labels:
        with torch.enable_grad():
            here = structures.to(device=self._centre.device)
            positions = here.positions.detach().clone().requires_grad_()
            features = self._trunk.embed_graph(replace(here, positions=positions))
            scaled = (features - self._centre) / self._spread
            atoms = self.baseline.scale * self._readout(scaled)[:, 0].double()
            atoms = atoms + self._zeros[here.numbers]
            energy = atoms.new_zeros(here.n_systems).index_add(0, here.system, atoms)
            # of lone atoms, or none, nothing depends on a position
            [slope] = torch.autograd.grad(
                [energy.sum()],
                [positions],
                create_graph=differentiable,
                materialize_grads=True,
            )
        return Labels(energy=energy, forces=-slope, source=f"model:{self.name}/prior")

    def _stand_on(self, trunk: HasTrunk) -> None:
        """Take a pretrained model, and its cutoff where it has one to change."""
        self._trunk = trunk
        if isinstance(trunk, HasCutoff):
            self.cutoff, self.cutoff_scope = trunk.cutoff, trunk.cutoff_scope
        if isinstance(trunk, HasEnvelope):
            self.cutoff_scopes = trunk.cutoff_scopes

    def save(self, stem: Path, base: str, history: Mapping[str, JsonValue]) -> None:
        """Write the readout as ``stem.safetensors`` and everything else as JSON.

        Args:
            stem: Path without suffix.
            base: How the pretrained model is named on the command line.
            history: What the trainer wants to be known.
        """
        tensors = {name: p.detach() for name, p in self._readout.named_parameters()}
        tensors |= {"centre": self._centre, "spread": self._spread}
        weights = save({name: one.contiguous().cpu() for name, one in tensors.items()})
        manifest = Manifest(
            base=base,
            base_weights=weights_of(self._trunk),
            scale=self.baseline.scale,
            atomic_energies=self.baseline.atomic_energies,
            weights_sha256=hashlib.sha256(weights).hexdigest(),
            history=dict(history),
        )
        write_atomic(_file(stem, ".safetensors"), weights)
        text = manifest.model_dump_json(indent=2, by_alias=True) + "\n"
        write_atomic(_file(stem, ".json"), text.encode())

    @classmethod
    def load(cls, path: Path, open_base: "OpenBase") -> Self:
        """Return a model that `save` wrote; it computes where and in what its base does.

        Args:
            path: Either of its files, or their common stem.
            open_base: Turns the name of the pretrained model into the model.

        Raises:
            ModelError: A file is missing, broken or foreign, or the pretrained model
                cannot be opened or is another one.
        """
        stem = path.with_suffix("") if path.suffix in SUFFIXES else path
        manifest, tensors = _read(stem)
        trunk = _open_trunk(manifest, stem, open_base)
        like = next(iter(trunk.trunk_parameters().values()))
        tensors = {name: tensor.to(like) for name, tensor in tensors.items()}
        baseline = Baseline(manifest.atomic_energies, manifest.scale)
        try:
            centre, spread = tensors.pop("centre"), tensors.pop("spread")
            model = cls(trunk, baseline, centre=centre, spread=spread, seed=0)
            model._readout.load_state_dict(tensors)
        except (KeyError, IndexError, TypeError, RuntimeError) as error:
            raise _unreadable(_file(stem, ".safetensors"), error) from error
        model.history = manifest.history
        model.weights_sha256 = manifest.weights_sha256
        return model


def load_attached(options: ModelOptions) -> AttachedPriorHead:
    """Return the prior head at the path in ``options.argument`` on its pretrained model.

    The pretrained model is opened by its name with the same options. A name that runs
    code needs ``options.trust``: it was written into a file, not typed.

    Raises:
        ModelError: The head or its pretrained model cannot be used.
    """

    def open_base(name: str) -> ForceField:
        if parse_spec(name).name == ROW:
            raise ModelError("it is such a head itself; name a pretrained model")
        check_not_typed(name, options.argument, trust=options.trust)
        return load_model(name, options)

    return AttachedPriorHead.load(Path(options.argument).expanduser(), open_base)


class OpenBase(Protocol):
    """Whatever loads models by name."""

    def __call__(self, name: str, /) -> ForceField:
        """Return the model of a name."""
        ...


def _chunks(structures: Structures) -> Iterator[Structures]:
    """Yield all structures in order, some `CHUNK_ATOMS` atoms at a time."""
    chunk = (torch.cumsum(structures.sizes, 0) - 1) // CHUNK_ATOMS
    for number in torch.unique(chunk).tolist():
        yield structures.select((chunk == number).nonzero().flatten().tolist())


def _read(stem: Path) -> tuple[Manifest, dict[str, Tensor]]:
    """Return both files of a saved head.

    Raises:
        ModelError: One is missing, broken, foreign, or does not fit the other.
    """
    file = _file(stem, ".json")
    try:
        manifest = Manifest.model_validate_json(file.read_bytes())
        file = _file(stem, ".safetensors")
        weights = file.read_bytes()
        if hashlib.sha256(weights).hexdigest() != manifest.weights_sha256:
            raise ValueError("not the weights that its JSON describes")
        return manifest, load(weights)
    except (OSError, ValueError, SafetensorError) as error:
        raise _unreadable(file, error) from error


def _open_trunk(manifest: Manifest, stem: Path, open_base: OpenBase) -> HasTrunk:
    """Return the pretrained model that a saved head was fitted to.

    Raises:
        ModelError: It cannot be opened, or its weights are others.
    """
    about = f"{stem} is a prior head for the model {manifest.base!r}"
    try:
        trunk = as_trunk(open_base(manifest.base))
    except BenchError as error:
        msg = f"{about}, which cannot be used: {error}"
        raise ModelError(msg) from error
    # heads saved before that had no checksum for a model without a file
    if manifest.base_weights and weights_of(trunk) != manifest.base_weights:
        msg = f"{about}, whose weights have changed since; attach a head to it again"
        raise ModelError(msg)
    return trunk


def weights_of(trunk: HasTrunk) -> str:
    """Return the checksum of a model's weights file, else that of its trunk's values."""
    if isinstance(trunk, HasWeights) and trunk.weights_sha256:
        return trunk.weights_sha256
    parameters = sorted(trunk.trunk_parameters().items())
    values = {name: value.detach().cpu().contiguous() for name, value in parameters}
    return hashlib.sha256(save(values)).hexdigest()


def _file(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


def _unreadable(file: Path, error: Exception) -> ModelError:
    why = str(error).strip().partition("\n")[0]
    if isinstance(error, ValidationError):
        why = first_fault(error)
    return ModelError(f"{file} cannot be read as a prior head ({why}); train it again")
