"""UMA and eSEN: networks of fairchem, from their inference checkpoints.

Their files run code when they are opened, so they need the user's word.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

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
)
from mlffbench.models.pretrained.foreign import (
    OPENING_FAULTS,
    file_that_runs_code,
    the_one_of,
    told_of_file,
    undisturbed,
)

_FORM = "expected an inference checkpoint (.pt) of UMA or eSEN: fairchem:PATH[?task=NAME]"
_MOLECULES = "omol"
"""The task whose structures have a charge and a spin; all others are neutral."""
_DENSEST = 0.176
"""Atoms in Å³ of diamond, which has more than anything else that is common: a cap that
this does not reach is none."""


class FairchemNetwork(nn.Module):
    """A network of fairchem that takes our structures.

    Args:
        net: As fairchem builds it, with its tasks.
        task: Which of its training sets it is to speak for.
    """

    def __init__(self, net: Any, task: str) -> None:
        super().__init__()
        told = {one.property: one for one in net.dataset_to_tasks[task]}
        self._energy, self._forces = told["energy"], told.get("forces")
        self.conservative = not net.backbone.regress_config.direct_forces
        if self.conservative:  # the slope is taken outside, with the graph kept
            net.backbone.regress_config.forces = False
        net.backbone.regress_config.stress = False
        self.net = net
        self.charged = task == _MOLECULES
        self._task, self._cutoff = task, float(net.backbone.cutoff)

    def forward(self, here: Structures, graph: Graph, radius: float) -> Reading:
        """Return energies and features of structures on a graph."""
        backbone = self.net.backbone
        backbone.cutoff = radius
        batch = self._batch(here, graph)
        with _same_angles(here.positions.device):
            inner = backbone(batch)
        told: dict[str, Any] = {}
        for name, head in self.net.output_heads.items():
            of_head = head(batch, inner)
            told |= of_head if self.net.pass_through_head_outputs else {name: of_head}
        energy = _denormalised(self._energy, told).double().reshape(-1)
        if (atoms := _atom_energies(self._energy)) is not None:
            alone = atoms.to(energy.device)[here.numbers]
            energy = energy.index_add(0, here.system, alone)
        forces = None
        if not self.conservative:
            forces = _denormalised(self._forces, told)
        return Reading(energy, inner["node_embedding"][:, 0], forces)

    def _batch(self, here: Structures, graph: Graph) -> Any:
        """Return what fairchem's networks take."""
        from fairchem.core.datasets.atomic_data import AtomicData

        centre, neighbour = graph.edges
        none = torch.zeros_like(here.numbers)
        neutral = torch.zeros_like(here.charge)
        return AtomicData(
            pos=here.positions,
            atomic_numbers=here.numbers,
            cell=here.cell,
            pbc=here.pbc,
            natoms=here.sizes,
            edge_index=torch.stack([neighbour, centre]),
            cell_offsets=graph.shifts.to(here.positions),
            nedges=here.system[centre].bincount(minlength=here.n_systems),
            charge=here.charge if self.charged else neutral,
            spin=here.multiplicity if self.charged else neutral,
            fixed=none,
            tags=none,
            batch=here.system,
            sid=[""] * here.n_systems,
            dataset=[self._task] * here.n_systems,
        )


@contextmanager
def _same_angles(device: torch.device) -> Iterator[None]:
    """Draw the same angles every time: each edge is turned by one about itself.

    Nothing but the last digits depends on them.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield


def _denormalised(task: Any, told: dict[str, Any]) -> Tensor:
    """Return what a network says of one task, in eV or eV/Å."""
    normal = task.normalizer
    scaled = told[task.name][task.property].double() * normal.rmsd.double()
    values: Tensor = scaled + normal.mean.double()
    return values


def _atom_energies(task: Any) -> Tensor | None:
    """Return energies of lone atoms in eV by atomic number, if a task has them."""
    if task.element_references is None:
        return None
    found: Tensor = task.element_references.element_references
    return found.double()


def load_file(options: ModelOptions) -> NetworkForceField:
    """Return the network of an inference checkpoint: ``fairchem:PATH[?task=NAME]``.

    Raises:
        ModelError: The user did not say that the file may run code, it is no such file,
            or the network knows no such task.
    """
    path, settings = file_that_runs_code(options, _FORM, {"task"})
    card = replace(cards.FAIRCHEM, source=str(path))
    net = _open(path, options.torch_dtype(card))
    name, task = f"fairchem:{path.name}", settings.get("task", "")
    model = wrap(name, net, card, options, task=task)
    model.weights_sha256 = sha256_of(path)
    return model


def wrap(
    name: str, net: Any, card: ModelCard, options: ModelOptions, *, task: str = ""
) -> NetworkForceField:
    """Return a force field of a network of fairchem.

    Args:
        name: How tables call it.
        net: The network, with its tasks; it becomes this model's own.
        card: What is known of it.
        options: Where to compute, and in what type.
        task: Which of its training sets it is to speak for; it may be left out where
            there is one.

    Raises:
        ModelError: It has no such task, several and none is named, another backbone, or
            a cap of neighbours.
    """
    if not hasattr(net.backbone, "sphere_embedding"):
        kind = type(net.backbone).__name__
        msg = f"{name!r} has another backbone, {kind}; {_FORM}"
        raise ModelError(msg)
    cutoff, most = float(net.backbone.cutoff), int(net.backbone.max_neighbors)
    if most < _DENSEST * 4 / 3 * math.pi * cutoff**3:
        msg = f"{name!r} sees {most} neighbours of an atom at most, and our graphs have "
        raise ModelError(msg + "no cap; a network with a cap of 300 or so was expected")
    network = FairchemNetwork(net, _task_of(name, net, task))
    if not network.conservative and network._forces is None:
        msg = f"{name!r} has a head for forces and no task for them; {_FORM}"
        raise ModelError(msg)
    card = replace(card, conservative=network.conservative)
    multiplicity = None
    if network.charged:
        charges, multiplicity = _electrons_of(net.backbone)
        card = replace(card, charges=charges)
    facts = NetworkFacts(
        elements=_elements_of(net, network),
        cutoff=cutoff,
        trunk=("net.backbone.",),
        scopes=("graph+envelope", "graph"),
        multiplicity=multiplicity,
    )
    device, dtype = options.torch_device(), options.torch_dtype(card)
    return NetworkForceField(name, network, facts, card, device=device, dtype=dtype)


def _electrons_of(backbone: Any) -> tuple[frozenset[int] | None, int | None]:
    """Return the charges and the highest multiplicity that are known; None for any.

    Networks that look them up in a table end where it does.
    """
    if backbone.chg_spin_emb_type != "rand_emb":
        return None, None
    charge, spin = backbone.charge_embedding, backbone.spin_embedding
    first = -int(charge._index_offset)
    past = first + int(charge.rand_emb.num_embeddings)
    most = int(spin.rand_emb.num_embeddings) - int(spin._index_offset) - 1
    return frozenset(range(first, past)), most


def _task_of(name: str, net: Any, wanted: str) -> str:
    """Return the task that is meant.

    Raises:
        ModelError: There is none, or several and none of them is named.
    """
    known = sorted(
        task
        for task, told in net.dataset_to_tasks.items()
        if "energy" in {one.property for one in told}
    )
    return the_one_of(name, "task", known, wanted, _FORM)


def _elements_of(net: Any, network: FairchemNetwork) -> frozenset[int]:
    """Return the elements of which a task has lone atoms, or all that have a place."""
    atoms = _atom_energies(network._energy)
    places = int(net.backbone.max_num_elements)
    if atoms is None:
        return frozenset(range(1, places))
    known = atoms.nonzero()[:, 0].tolist()
    return frozenset(number for number in known if 0 < number < places)


def _open(path: Path, dtype: torch.dtype) -> Any:
    """Return the network of a file with its tasks, whose code runs.

    Raises:
        ModelError: It cannot be read.
    """
    from fairchem.core.units.mlip_unit.utils import load_inference_model
    from hydra.errors import InstantiationException

    faults = (*OPENING_FAULTS, ImportError, AssertionError)
    own_graph = {"backbone": {"otf_graph": False, "always_use_pbc": False}}
    with told_of_file(path, _FORM, faults), undisturbed():
        # What is not stored with the weights is computed in this type.
        torch.set_default_dtype(dtype)
        checkpoint = torch.load(path, map_location="cpu", weights_only=False)
        if not hasattr(checkpoint, "tasks_config"):
            msg = "it is no inference checkpoint of fairchem"
            raise ValueError(msg)
        try:
            averaged, stored = load_inference_model(
                str(path),
                overrides=own_graph,
                use_ema=True,
                preloaded_checkpoint=checkpoint,
            )
            net = averaged.module
            net.setup_tasks(stored.tasks_config)
        except InstantiationException as error:
            raise ValueError(" ".join(str(error).split())) from error
    return net
