"""matgl: the TensorNet of a downloaded folder, without matgl installed."""

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.func import functional_call

from mlffbench.core.assembly import predict_rest, refusals, require_supported
from mlffbench.core.card import SYMBOLS, ModelCard
from mlffbench.core.errors import ModelError, first_fault
from mlffbench.core.files import sha256_of
from mlffbench.core.forcefield import CutoffScope
from mlffbench.core.graph import radius_graph
from mlffbench.core.guards.plain import first_line
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models import cards
from mlffbench.models.copies import OwnsTrunk, without_graph
from mlffbench.models.cutoffs import check_within
from mlffbench.models.pretrained.foreign import told_of_file
from mlffbench.models.pretrained.tensornet import TensorNet
from mlffbench.models.weights import check_archive

FORM = "expected a folder of matgl with model.json and state.pt: matgl:FOLDER"
_UNUSED = re.compile(r"^bond_expansion\.|^tensor_embedding\.emb3\.")
"""Names of tensors that are computed here, or that no energy depends on."""


class _Arguments(BaseModel):
    """What a TensorNet of matgl was built with; what is not treated here is refused."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    element_types: tuple[str, ...] = Field(min_length=1)
    units: int = 64
    nblocks: int = 2
    max_n: int = 3
    rbf_type: Literal["SphericalBessel"]
    use_smooth: Literal[True]
    activation_type: Literal["swish"] = "swish"
    cutoff: Annotated[float, Field(gt=0)] = 5.0
    equivariance_invariance_group: Literal["O(3)", "SO(3)"] = "O(3)"
    include_state: Literal[False] = False
    is_intensive: Literal[False]
    ntargets: Literal[1] = 1
    of_dgl: bool


class MatglForceField(OwnsTrunk):
    """A TensorNet in matgl's files.

    Args:
        name: How tables call it.
        network: The network; it becomes this model's own.
        atomic_energies: Atomic number -> E0 in eV, in the order of the network's table.
        scale: eV per unit of the network's output.
        card: What is known of it; elements and cutoff are the network's.
        device: Where to compute.
        dtype: Floating-point type to compute in.

    Attributes:
        weights_sha256: Of state.pt; empty for a network that came from no file.
    """

    cutoff_scope: CutoffScope = "graph+envelope"
    cutoff_scopes: tuple[CutoffScope, ...] = ("graph+envelope", "graph")

    def __init__(
        self,
        name: str,
        network: TensorNet,
        atomic_energies: Mapping[int, float],
        scale: float,
        card: ModelCard,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.name, self.weights_sha256 = name, ""
        self.trained_cutoff = self.cutoff = network.cutoff
        self.elements = frozenset(atomic_energies)
        self.card = replace(card, elements=self.elements, cutoff=self.cutoff)
        self._network = network.to(device=device, dtype=dtype).requires_grad_(False)
        self._scale = scale
        self._trunk: dict[str, nn.Parameter] = {
            key: parameter
            for key, parameter in self._network.named_parameters()
            if not key.startswith("final_layer.")
        }
        self._device, self._dtype = device, dtype
        numbers = list(atomic_energies)
        place = torch.zeros(max(numbers) + 1, dtype=torch.int64)
        place[numbers] = torch.arange(len(numbers))
        self._place = place.to(device)
        self._atomic_energies = torch.tensor(
            list(atomic_energies.values()), dtype=torch.float64, device=device
        )

    def with_cutoff(self, cutoff: float, scope: CutoffScope | None = None) -> Self:
        """Return the same network on graphs of another radius in Å.

        Args:
            cutoff: In Å, at most the trained one.
            scope: ``"graph+envelope"`` makes the cosine envelope vanish at the radius;
                ``"graph"`` keeps that of training, so forces jump there. The radial basis
                stays as trained. None keeps the scope in use.

        Raises:
            ModelError: The radius is not positive, or above the trained one.
        """
        check_within(cutoff, self.trained_cutoff, self.name, "its envelope is 0")
        other = copy.copy(self)
        other.cutoff = float(cutoff)
        other.cutoff_scope = scope or self.cutoff_scope
        return other

    def predict(self, structures: Structures) -> Labels:
        """Return float64 total energies in eV and forces in eV/Å."""
        refused = refusals(structures, self.card)
        return predict_rest(structures, refused, self._compute)

    def embed(self, structures: Structures) -> Tensor:
        """Return the features before the readout, shape (n_atoms, units).

        Raises:
            ModelError: A structure is outside what the network can treat.
        """
        require_supported(structures, self.card, self.name)
        here = structures.to(device=self._device)
        features = self._features(here, here.positions.detach(), self._frozen())
        return features.detach().to(structures.positions.device)

    def embed_graph(self, structures: Structures) -> Tensor:
        """Return the features of `embed` with the autograd graph, where the network is.

        Raises:
            ModelError: A structure is outside what the network can treat.
        """
        require_supported(structures, self.card, self.name)
        here = structures.to(device=self._device)
        return self._features(here, here.positions, self._trunk)

    def labels_graph(self, structures: Structures) -> Labels:
        """Return the labels of `predict` with the autograd graph to `trunk_parameters`.

        Raises:
            ModelError: A structure is outside what the network can treat.
        """
        require_supported(structures, self.card, self.name)
        return self._labels(structures, self._trunk, differentiable=True)

    def _compute(self, structures: Structures) -> Labels:
        return without_graph(
            self._labels(structures, self._frozen(), differentiable=False)
        )

    def _labels(
        self, structures: Structures, trunk: Mapping[str, Tensor], *, differentiable: bool
    ) -> Labels:
        here = structures.to(device=self._device)
        with torch.enable_grad():
            positions = here.positions.detach().to(self._dtype, copy=True)
            positions.requires_grad_()
            features = self._features(here, positions, trunk)
            outputs = self._network.energies(features).double() * self._scale
            atomic = outputs + self._atomic_energies[self._place[here.numbers]]
            energy = atomic.new_zeros(here.n_systems).index_add(0, here.system, atomic)
            [slope] = torch.autograd.grad(
                outputs.sum(), [positions], create_graph=differentiable
            )
        device = structures.positions.device
        return Labels(
            energy=energy.to(device),
            forces=-slope.double().to(device),
            source=f"model:{self.name}, total energies",
        )

    def _features(
        self, here: Structures, positions: Tensor, trunk: Mapping[str, Tensor]
    ) -> Tensor:
        """Return features of structures that lie where the network is."""
        graph = radius_graph(here, self.cutoff)
        placed = replace(
            here, positions=positions.to(self._dtype), cell=here.cell.to(self._dtype)
        )
        moved = self.cutoff_scope == "graph+envelope"
        radius = self.cutoff if moved else self.trained_cutoff
        inputs = (
            self._place[here.numbers],
            graph.edges,
            graph.vectors(placed),
            torch.tensor(radius, dtype=self._dtype, device=self._device),
        )
        features: Tensor = functional_call(self._network, dict(trunk), inputs)
        return features


def load(options: ModelOptions) -> MatglForceField:
    """Return the TensorNet of a folder: ``matgl:FOLDER``.

    Raises:
        ModelError: The folder is no model of matgl, or of a kind not treated here.
    """
    folder = Path(options.argument).expanduser()
    described = _read_json(folder / "model.json")
    arguments = _arguments(described, folder)
    state = _read_state(folder / "state.pt")
    try:
        numbers = [SYMBOLS.index(symbol) for symbol in arguments.element_types]
        energies = state.pop("element_refs.property_offset").double().tolist()
        scale, mean = (float(state.pop(name)) for name in ("data_std", "data_mean"))
        network = _fill(arguments, state)
        atomic_energies = dict(zip(numbers, energies, strict=True))
    except (KeyError, ValueError, RuntimeError) as error:
        msg = f"{folder / 'state.pt'} does not fit model.json ({first_line(error)})"
        raise ModelError(msg) from error
    if mean != 0:
        msg = f"{folder} shifts energies by data_mean = {mean:g}; expected 0, with "
        raise ModelError(msg + "energies of isolated atoms instead")
    card = replace(cards.MATGL, source=str(folder))
    model = MatglForceField(
        f"matgl:{folder.name}",
        network,
        atomic_energies,
        scale,
        card,
        device=options.torch_device(),
        dtype=options.torch_dtype(card),
    )
    model.weights_sha256 = sha256_of(folder / "state.pt")
    return model


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        msg = f"cannot read {path}: {reason}; {FORM}"
        raise ModelError(msg) from error
    if not isinstance(content, dict) or content.get("@class") != "Potential":
        msg = f"{path} describes no Potential of matgl; {FORM}"
        raise ModelError(msg)
    return content


def _arguments(described: Mapping[str, Any], folder: Path) -> _Arguments:
    """Return what the network was built with.

    Raises:
        ModelError: It is no TensorNet, or has parts that are not treated here.
    """
    keywords = described.get("kwargs", {})
    model = keywords.get("model", {}) if isinstance(keywords, dict) else {}
    kind = model.get("@class") if isinstance(model, dict) else None
    if kind != "TensorNet":
        msg = f"{folder} holds a {kind or 'model of no known kind'}; of matgl's networks "
        raise ModelError(msg + "only TensorNet is read here")
    if keywords.get("calc_repuls"):
        msg = f"{folder} adds a nuclear repulsion, which is not treated here"
        raise ModelError(msg)
    try:
        given = dict(model.get("init_args", {}))
        given["of_dgl"] = str(model.get("@module", "")).endswith("_dgl")
        return _Arguments.model_validate(given)
    except ValidationError as error:
        msg = f"{folder} holds a TensorNet that is not treated here: "
        raise ModelError(msg + first_fault(error)) from error


def _read_state(path: Path) -> dict[str, Tensor]:
    check_archive(path)
    with told_of_file(path, FORM):
        state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        msg = f"{path} is no state dict; {FORM}"
        raise ModelError(msg)
    return dict(state)


def _fill(arguments: _Arguments, state: Mapping[str, Tensor]) -> TensorNet:
    """Return the network with the tensors of a file.

    Raises:
        RuntimeError: They do not fit.
    """
    with torch.random.fork_rng([]):  # building draws random weights
        network = TensorNet(
            n_elements=len(arguments.element_types),
            units=arguments.units,
            n_blocks=arguments.nblocks,
            n_radial=arguments.max_n,
            cutoff=arguments.cutoff,
            group=arguments.equivariance_invariance_group,
            of_dgl=arguments.of_dgl,
        )
    ours = {
        name.removeprefix("model."): tensor
        for name, tensor in state.items()
        if name.startswith("model.")
    }
    network.load_state_dict({k: v for k, v in ours.items() if not _UNUSED.search(k)})
    return network
