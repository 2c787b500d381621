"""A prior head for a model that was trained without one, on its per-atom features."""

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import torch
from pydantic import JsonValue
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.files import write_atomic
from mlffbench.core.forcefield import ForceField, HasCard, Head
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.training.examples import Baseline
from mlffbench.training.plan import Part

FORMAT = "mlffbench-attached-prior-head"
VERSION = 1
WIDTH = 64
"""Hidden width of the readout."""


@runtime_checkable
class HasTrunk(Protocol):
    """A model whose per-atom features can be differentiated.

    Attributes:
        name: How tables call it.
        elements: Atomic numbers it can treat.
    """

    name: str
    elements: frozenset[int]

    def predict(self, structures: Structures) -> Labels:
        """Return detached labels."""
        ...

    def clone(self) -> Self:
        """Return a copy whose parameters can be changed without touching this one."""
        ...

    def trunk_parameters(self) -> Mapping[str, nn.Parameter]:
        """Return the parameters that the features depend on, by name."""
        ...

    def embed_graph(self, structures: Structures) -> Tensor:
        """Return invariant features, shape (n_atoms, n_features), with autograd graph.

        Twice differentiable: with respect to ``structures.positions``, which may require
        a gradient, and to `trunk_parameters`.
        """
        ...

    def labels_graph(self, structures: Structures) -> Labels:
        """Return the model's own labels with the autograd graph to its parameters."""
        ...


class AttachedPriorHead:
    """A pretrained model and a small prior readout of its features.

    Its predictions are those of the pretrained model. The prior's energy is
    Σ_atoms (scale · readout((features − mean) / deviation) + E0[element]).

    Args:
        trunk: The pretrained model; its parameters are the shared ones.
        baseline: E0s in eV and scale in eV of the prior head.
        centre: Shape (n_features,), mean of the features over the training atoms.
        spread: Shape (n_features,), their standard deviation.
        seed: Of the readout's initial weights.
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
        self.facts: Mapping[str, JsonValue] = {}
        self.baseline = baseline
        self._trunk, self._centre, self._spread = trunk, centre, spread
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
            features = trunk.embed_graph(structures)
        spread = features.std(0)
        spread = torch.where(spread > 1e-6 * spread.max(), spread, torch.inf)
        return cls(trunk, baseline, centre=features.mean(0), spread=spread, seed=seed)

    def predict(self, structures: Structures) -> Labels:
        """Return detached labels of the pretrained model."""
        return self._trunk.predict(structures)

    def clone(self) -> Self:
        """Return a copy whose parameters can be changed without touching this one."""
        twin = copy.copy(self)
        twin._trunk = self._trunk.clone()
        twin._readout = copy.deepcopy(self._readout)
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
        with torch.enable_grad():
            positions = structures.positions.detach().clone().requires_grad_()
            features = self._trunk.embed_graph(replace(structures, positions=positions))
            scaled = (features - self._centre) / self._spread
            atoms = self.baseline.scale * self._readout(scaled)[:, 0].double()
            atoms = atoms + self._zeros[structures.numbers]
            energy = atoms.new_zeros(structures.n_systems)
            energy = energy.index_add(0, structures.system, atoms)
            [slope] = torch.autograd.grad(energy.sum(), [positions], create_graph=True)
        return Labels(energy=energy, forces=-slope, source=f"model:{self.name}/prior")

    def save(self, stem: Path, base: str, facts: Mapping[str, JsonValue]) -> None:
        """Write the readout as ``stem.safetensors`` and everything else as JSON.

        Args:
            stem: Path without suffix.
            base: How the pretrained model is named on the command line.
            facts: What the trainer wants to be known.
        """
        tensors = {name: p.detach() for name, p in self._readout.named_parameters()}
        tensors |= {"centre": self._centre, "spread": self._spread}
        content = {
            "format": FORMAT,
            "version": VERSION,
            "base": base,
            "scale": self.baseline.scale,
            "atomic_energies": self.baseline.atomic_energies,
            "facts": dict(facts),
        }
        cpu = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
        write_atomic(stem.with_name(f"{stem.name}.safetensors"), save(cpu))
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_atomic(stem.with_name(f"{stem.name}.json"), text.encode())

    @classmethod
    def load(cls, path: Path, open_base: "OpenBase") -> Self:
        """Return a model that `save` wrote.

        Args:
            path: Its JSON file.
            open_base: Turns the name of the pretrained model into the model.

        Raises:
            ModelError: A file is missing, broken or foreign.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            tensors = load(path.with_suffix(".safetensors").read_bytes())
            if (content["format"], content["version"]) != (FORMAT, VERSION):
                msg = f"{path} is no prior head of this version of mlffbench"
                raise ModelError(msg)
            energies = {int(z): float(e) for z, e in content["atomic_energies"].items()}
            baseline = Baseline(energies, float(content["scale"]))
            centre, spread = tensors.pop("centre"), tensors.pop("spread")
            trunk = as_trunk(open_base(str(content["base"])))
            model = cls(trunk, baseline, centre=centre, spread=spread, seed=0)
            model._readout.load_state_dict(tensors)
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            SafetensorError,
            RuntimeError,
        ) as e:
            msg = f"{path} cannot be read as a prior head ({e}); train it again"
            raise ModelError(msg) from e
        model.facts = content["facts"]
        return model


class TwoHeadedTrunk:
    """The reference network of a two-headed model, for a new prior head.

    Useful where its own prior head was never trained (recipe ``scratch``).

    Args:
        model: Becomes part of this one.
    """

    def __init__(self, model: TwoHeaded) -> None:
        self.name, self.elements, self.card = model.name, model.elements, model.card
        self._model = model

    def predict(self, structures: Structures) -> Labels:
        """Return detached labels of the reference head."""
        return self._model.predict(structures)

    def clone(self) -> Self:
        """Return a copy whose parameters can be changed without touching this one."""
        return type(self)(self._model.clone())

    def trunk_parameters(self) -> dict[str, nn.Parameter]:
        """Return all parameters of the reference network but its readouts."""
        return {
            f"{owner}-{name}": parameter
            for owner in ("shared", "ref")
            for name, parameter in self._model.parameters_of(owner).items()
            if not name.startswith("readout")
        }

    def embed_graph(self, structures: Structures) -> Tensor:
        """Return the invariant features of all blocks with the autograd graph."""
        batch = self._model.prepare(structures)
        positions = structures.positions.to(batch.positions)
        return torch.cat(self._model._run(batch, positions, "ref").features, dim=1)

    def labels_graph(self, structures: Structures) -> Labels:
        """Return the labels of the reference head with the autograd graph."""
        return self._model.forward(structures, "ref")


class OpenBase(Protocol):
    """Whatever loads models by name."""

    def __call__(self, name: str, /) -> ForceField:
        """Return the model of a name."""
        ...


def as_trunk(model: ForceField) -> HasTrunk:
    """Return a model as one whose features can be differentiated.

    Raises:
        ModelError: It cannot; the message says what it lacks.
    """
    if isinstance(model, TwoHeaded):
        return TwoHeadedTrunk(model)
    if isinstance(model, HasTrunk):
        return model
    wanted = ("clone", "trunk_parameters", "embed_graph", "labels_graph")
    missing = ", ".join(name for name in wanted if not hasattr(model, name))
    msg = (
        f"model {model.name!r} cannot be given a prior head: it lacks {missing}, so its "
        "per-atom features cannot be differentiated"
    )
    raise ModelError(msg)
