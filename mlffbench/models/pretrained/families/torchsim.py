"""Any model with TorchSim's interface: ``torchsim:package.module:Class?key=value``."""

import dataclasses
import importlib
import inspect
from typing import Any

import torch
from ase.data import atomic_masses
from torch import Tensor

from mlffbench.core.assembly import predict_rest, refusals
from mlffbench.core.errors import ModelError
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import DTYPES, ModelOptions
from mlffbench.core.plugins.user_file import in_words
from mlffbench.core.structures import Structures
from mlffbench.models import cards
from mlffbench.models.pretrained.ase import parse_target

FORM = "torchsim:package.module:Class?key=value&key=value"
_ROOM = 60.0
"""Å of a box around a molecule, for models that want a cell where there is none."""


class TorchsimForceField:
    """A model of TorchSim; whole batches, molecules and crystals apart.

    Args:
        name: How tables call it.
        model: A ``ModelInterface``; it becomes this model's own.
    """

    elements = cards.TORCHSIM.elements

    def __init__(self, name: str, model: Any) -> None:
        from torch_sim.state import SimState

        self.name, self._model = name, model
        self._fields = {one.name for one in dataclasses.fields(SimState)}
        charged = {"charge", "spin"} <= self._fields
        self.card = dataclasses.replace(
            cards.TORCHSIM,
            charges=None if charged else frozenset({0}),
            dtype=str(model.dtype).removeprefix("torch."),
        )

    def predict(self, structures: Structures) -> Labels:
        """Return float64 energies in eV and forces in eV/Å."""
        refused = refusals(structures, self.card)
        for index in range(structures.n_systems):
            if bool(structures.pbc[index].any()) and not bool(
                structures.pbc[index].all()
            ):
                refused.setdefault(index, "periodic in some directions only")
        return predict_rest(structures, dict(sorted(refused.items())), self._compute)

    def _compute(self, structures: Structures) -> Labels:
        energy = structures.positions.new_zeros(structures.n_systems).double()
        forces = torch.zeros_like(structures.positions, dtype=torch.float64)
        periodic = structures.pbc.all(1)
        for kind in (False, True):
            places = (periodic == kind).nonzero().flatten()
            if len(places) == 0:
                continue
            found = self._batch(structures.select(places.tolist()), periodic=kind)
            energy[places] = found["energy"].detach().double().to(energy.device)
            atoms = torch.isin(structures.system, places)
            forces[atoms] = found["forces"].detach().double().to(energy.device)
        return Labels(energy=energy, forces=forces, source=f"model:{self.name}")

    def _batch(self, structures: Structures, *, periodic: bool) -> dict[str, Tensor]:
        """Return what the model says of structures that are all periodic, or none is.

        Raises:
            ModelError: It raises something, or leaves energy or forces out.
        """
        from torch_sim.state import SimState

        here = structures.near_origin().to(device=self._model.device)
        cell = here.cell.transpose(1, 2)  # vectors are columns there
        if not periodic:
            extent = here.positions.abs().amax() * 2 + _ROOM
            cell = torch.eye(3, device=cell.device) * extent
            cell = cell.expand(here.n_systems, 3, 3)
        masses = torch.tensor(atomic_masses[here.numbers.cpu().numpy()])
        values: dict[str, Any] = {
            "positions": here.positions.to(self._model.dtype),
            "masses": masses.to(self._model.dtype).to(self._model.device),
            "cell": cell.to(self._model.dtype).contiguous(),
            "pbc": periodic,
            "atomic_numbers": here.numbers,
            "system_idx": here.system,
        }
        for name, value in (("charge", here.charge), ("spin", here.multiplicity)):
            if name in self._fields:
                values[name] = value.to(self._model.dtype)
        try:
            found: dict[str, Tensor] = self._model(SimState(**values))
        except Exception as error:
            msg = f"{self.name!r} cannot compute: {in_words(error)}"
            raise ModelError(msg) from error
        if missing := {"energy", "forces"} - found.keys():
            msg = f"{self.name!r} returns no {' and no '.join(sorted(missing))}; turn "
            raise ModelError(msg + "its computation on")
        return found


def load(options: ModelOptions) -> TorchsimForceField:
    """Return the model that ``package.module:Class?key=value`` makes.

    The class is told device, dtype and that no stress is wanted where it takes them.

    Raises:
        ModelError: There is no such class, it cannot be made, or is no model of TorchSim.
    """
    from torch_sim.models.interface import ModelInterface

    target, values = parse_target(options.argument, FORM)
    module_name, colon, attribute = target.partition(":")
    if not (colon and module_name and attribute):
        msg = f"cannot read {target!r}: expected {FORM}"
        raise ModelError(msg)
    try:
        kind: Any = getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:
        msg = f"cannot import {target!r}: {in_words(error)}; expected {FORM}"
        raise ModelError(msg) from error
    if not (isinstance(kind, type) and issubclass(kind, ModelInterface)):
        msg = f"{target} is no class of TorchSim's ModelInterface; it was not called"
        raise ModelError(msg)
    accepted = inspect.signature(kind).parameters
    dtype = DTYPES[options.dtype or cards.TORCHSIM.dtype]
    given = {
        "device": options.torch_device(),
        "dtype": dtype,
        "compute_forces": True,
        "compute_stress": False,
    }
    keywords = {key: value for key, value in given.items() if key in accepted} | values
    try:
        model = kind(**keywords)
    except Exception as error:
        msg = f"{target} cannot be made: {in_words(error)}"
        raise ModelError(msg) from error
    return TorchsimForceField(f"torchsim:{attribute}", model)
