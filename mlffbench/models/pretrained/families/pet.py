"""PET: point edge transformers that metatrain trained, PET-MAD and UPET among them.

Their checkpoints run code when they are opened, so they need the user's word.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.files import sha256_of
from mlffbench.core.graph import Graph
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models import cards
from mlffbench.models.pretrained.families.network_model import (
    NetworkFacts,
    NetworkForceField,
    Reading,
    summed,
)
from mlffbench.models.pretrained.foreign import (
    OPENING_FAULTS,
    file_that_runs_code,
    the_one_of,
    told_of_file,
    undisturbed,
)

_FORM = (
    "expected a checkpoint (.ckpt) of metatrain's PET: "
    "pet:PATH[?target=NAME&unit=eV&length=angstrom]"
)
_LONG_RANGE = (
    "{} has a long-range part, which is read nowhere here; a network without one was "
    "expected"
)
_TRUNK = (
    "pet.backend.gnn_layers.",
    "pet.backend.combination_",
    "pet.backend.node_embedders.",
    "pet.backend.edge_embedder.",
    "pet.backend.system_conditioning.",
    "pet.long_range_featurizer.",
)
_FEATURES = "feature"
_HEAVIEST = 118
"""Kinds of atoms beyond are no elements."""
_EDGE_LABELS = (
    "first_atom",
    "second_atom",
    "cell_shift_a",
    "cell_shift_b",
    "cell_shift_c",
)


class PetNetwork(nn.Module):
    """A PET that takes our structures.

    Args:
        pet: As metatrain builds it; its energies of lone atoms are taken out of it.
        target: Which of its energies it is to give.
        to_ev: What that energy is multiplied with.
    """

    def __init__(self, pet: Any, target: str, to_ev: float) -> None:
        super().__init__()
        composition, *others = pet.additive_models
        self._atoms = _atom_energies(composition, target)  # no buffer: it stays float64
        pet.additive_models = nn.ModuleList(others)
        self.pet = pet
        self.conditioned = pet.system_conditioning is not None
        self._target, self._to_ev = target, to_ev

    def forward(self, here: Structures, graph: Graph, _radius: float) -> Reading:
        """Return energies and features of structures on a graph."""
        from metatomic.torch import ModelOutput

        wanted = {
            name: ModelOutput(sample_kind="atom") for name in (self._target, _FEATURES)
        }
        # Other kernels of attention cannot be differentiated twice.
        with sdpa_kernel(SDPBackend.MATH):
            told = self.pet(self._systems(here, graph), wanted)
        # Total energies are thousands of eV: lone atoms are added in float64.
        atomic = told[self._target].block().values[:, 0].double()
        alone = self._atoms.to(atomic.device)[here.numbers]
        energy = summed((atomic + alone) * self._to_ev, here)
        return Reading(energy, told[_FEATURES].block().values)

    def _systems(self, here: Structures, graph: Graph) -> list[Any]:
        """Return what networks of metatrain take: each structure with its edges."""
        from metatomic.torch import System

        sizes = here.sizes.tolist()
        systems = [
            System(types=types, positions=positions, cell=cell, pbc=pbc)
            for positions, types, cell, pbc in zip(
                torch.split(here.positions, sizes),
                torch.split(here.numbers.to(torch.int32), sizes),
                here.cell * here.pbc[:, :, None],
                here.pbc,
                strict=True,
            )
        ]
        for listed in _lists_of(self.pet):
            edges = _edges_by_system(here, graph, listed.cutoff)
            for system, block in zip(systems, edges, strict=True):
                system.add_neighbor_list(listed, block)
        if self.conditioned:
            for number, system in enumerate(systems):
                self._tell_electrons(system, here, number)
        return systems

    @staticmethod
    def _tell_electrons(system: Any, here: Structures, number: int) -> None:
        """Give a system its charge and its multiplicity."""
        from metatensor.torch import Labels, TensorBlock, TensorMap

        for name, value in (
            ("charge", here.charge[number]),
            ("spin_multiplicity", here.multiplicity[number]),
        ):
            block = TensorBlock(
                value.to(here.positions).reshape(1, 1),
                Labels.range("system", 1).to(value.device),
                [],
                Labels.range(name, 1).to(value.device),
            )
            system.add_data(name, TensorMap(Labels.single().to(value.device), [block]))


def _lists_of(pet: Any) -> list[Any]:
    """Return what lists of neighbours a network and its repulsion ask for."""
    asking = [pet, *pet.additive_models]
    return [one for part in asking for one in part.requested_neighbor_lists()]


def _edges_by_system(here: Structures, graph: Graph, cutoff: float) -> Iterator[Any]:
    """Yield the neighbours of each structure within a radius in Å, for metatomic."""
    from metatensor.torch import Labels, TensorBlock

    centre, neighbour = graph.edges
    vectors = graph.vectors(here)
    near = vectors.detach().square().sum(1) < cutoff**2
    owner = here.system[centre]
    start = (here.sizes.cumsum(0) - here.sizes)[owner]
    pairs = [centre - start, neighbour - start, *graph.shifts.unbind(1)]
    samples = torch.stack(pairs, 1).to(torch.int32)
    n_edges = owner[near].bincount(minlength=here.n_systems).tolist()
    device = here.positions.device
    components = [Labels.range("xyz", 3).to(device)]
    properties = Labels.range("distance", 1).to(device)
    for of_edges, values in zip(
        torch.split(samples[near], n_edges),
        torch.split(vectors[near], n_edges),
        strict=True,
    ):
        labels = Labels(list(_EDGE_LABELS), of_edges)
        yield TensorBlock(values[:, :, None], labels, components, properties)


def load_file(options: ModelOptions) -> NetworkForceField:
    """Return the network of a checkpoint of metatrain: ``pet:PATH[?target=NAME]``.

    Where it does not state its units, ``unit=…`` and ``length=…`` do.

    Raises:
        ModelError: The user did not say that the file may run code, it is no checkpoint
            of PET, or has no such energy.
    """
    path, settings = file_that_runs_code(options, _FORM, {"target", "unit", "length"})
    card = replace(cards.PET, source=str(path))
    model = wrap(f"pet:{path.name}", _open(path), card, options, **settings)
    model.weights_sha256 = sha256_of(path)
    return model


def wrap(
    name: str,
    pet: Any,
    card: ModelCard,
    options: ModelOptions,
    *,
    target: str = "",
    unit: str = "",
    length: str = "",
) -> NetworkForceField:
    """Return a force field of a PET of metatrain.

    Args:
        name: How tables call it.
        pet: The network; it becomes this model's own.
        card: What is known of it.
        options: Where to compute, and in what type.
        target: Which of its energies is meant; it may be left out where there is one.
        unit: Of that energy, where the network does not state it.
        length: Unit of lengths, where the network does not state it.

    Raises:
        ModelError: It has a long-range part, no such energy, several and none is named,
            or its units are not known.
    """
    if pet.long_range:
        raise ModelError(_LONG_RANGE.format(repr(name)))
    target = _energy_of(name, pet, target)
    facts = pet.dataset_info
    _check_length(name, _stated(name, "length", facts.length_unit, length))
    of_energy = _stated(name, "unit", facts.targets[target].unit, unit)
    network = PetNetwork(pet, target, _to_ev(name, of_energy))
    most_multiplicity = None
    if not network.conditioned:
        card = replace(card, charges=frozenset({0}))
    else:
        most = int(pet.hypers["max_charge"])
        card = replace(card, charges=frozenset(range(-most, most + 1)))
        most_multiplicity = int(pet.hypers["max_spin_multiplicity"])
    known = NetworkFacts(
        elements=frozenset(int(k) for k in pet.atomic_types if 0 < k <= _HEAVIEST),
        cutoff=float(pet.cutoff),
        trunk=_TRUNK,
        multiplicity=most_multiplicity,
    )
    device, dtype = options.torch_device(), options.torch_dtype(card)
    return NetworkForceField(name, network, known, card, device=device, dtype=dtype)


def _energy_of(name: str, pet: Any, wanted: str) -> str:
    """Return the name of the energy that is meant.

    Raises:
        ModelError: There is none, or several and none of them is named.
    """
    known = [
        key
        for key, one in pet.dataset_info.targets.items()
        if one.quantity == "energy"
        and one.is_scalar
        and not one.per_atom
        and len(one.layout.block().properties) == 1
    ]
    return the_one_of(name, "energy", known, wanted, _FORM)


def _stated(name: str, what: str, by_network: str, by_user: str) -> str:
    """Return a unit that the network or the user states.

    Raises:
        ModelError: Neither does, or they differ.
    """
    if by_network and by_user and by_network.lower() != by_user.lower():
        msg = f"{name!r} states {what} {by_network}, not {by_user}; leave {what} out"
        raise ModelError(msg)
    if not (by_network or by_user):
        example = {"unit": "eV", "length": "angstrom"}[what]
        msg = f"{name!r} does not state its {what}; if you know it, say it: "
        raise ModelError(msg + f"pet:PATH?{what}={example}")
    return by_network or by_user


def _check_length(name: str, unit: str) -> None:
    """Raise ModelError unless lengths are in Å."""
    if unit.lower() not in {"angstrom", "a", "å"}:
        msg = f"{name!r} takes lengths in {unit}; a network that takes Å was expected"
        raise ModelError(msg)


def _to_ev(name: str, unit: str) -> float:
    """Return what an energy is multiplied with to be in eV.

    Raises:
        ModelError: The unit is none of energy.
    """
    from metatomic.torch import unit_conversion_factor

    try:
        return float(unit_conversion_factor(unit, "eV"))
    except (RuntimeError, ValueError) as error:
        msg = f"{name!r} gives energies in {unit}, which is no unit of energy; "
        raise ModelError(msg + "eV, kcal/mol or Hartree was expected") from error


def _atom_energies(composition: Any, target: str) -> Tensor:
    """Return energies by atomic number, float64, in the network's unit."""
    found = torch.zeros(_HEAVIEST + 1, dtype=torch.float64)
    known = composition.model.weights
    if target in known:
        block = known[target].block()
        numbers = block.samples.column("center_type").long()
        real = (numbers > 0) & (numbers <= _HEAVIEST)
        found[numbers[real]] = block.values[real, 0].double()
    return found


def _open(path: Path) -> Any:
    """Return the PET of a file, whose code runs.

    Raises:
        ModelError: It cannot be read, or holds another network.
    """
    from metatrain.utils.io import is_exported_file, model_from_checkpoint

    with told_of_file(path, _FORM, (*OPENING_FAULTS, ImportError)), undisturbed():
        if is_exported_file(str(path)):
            msg = "it is an exported model, whose weights cannot be moved"
            raise ValueError(msg)
        stored = torch.load(path, map_location="cpu", weights_only=False)
        if not (isinstance(stored, dict) and "architecture_name" in stored):
            msg = "it is no checkpoint of metatrain"
            raise ValueError(msg)
        if _is_long_range(stored):  # told before metatrain asks for another package
            raise ModelError(_LONG_RANGE.format(path))
        model = model_from_checkpoint(stored, context="export")
    pet = getattr(model, "model", model)  # of one that tells its uncertainty, too
    if type(pet).__name__ != "PET":
        msg = f"{path} holds a network of another kind, {type(pet).__name__}; {_FORM}"
        raise ModelError(msg)
    return pet


def _is_long_range(stored: dict[str, Any]) -> bool:
    """Return whether a checkpoint, or the one it wraps, has a long-range part."""
    inner = stored.get("wrapped_model_checkpoint", stored)
    hypers = inner.get("model_data", {}).get("model_hypers", {})
    return bool(hypers.get("long_range", {}).get("enable"))
