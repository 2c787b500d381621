"""Routed: several refined models as one, each for its own structures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch

from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures


class Routed:
    """A force field that sends every structure to the model refined for it.

    Args:
        base: The model before refinement.
        models: Structure id -> its model; a structure without one goes to the base.
        offsets: Structure id -> energy in eV to add to its prediction.
    """

    def __init__(
        self,
        base: ForceField,
        models: Mapping[str, ForceField],
        offsets: Mapping[str, float] | None = None,
    ) -> None:
        self.name = base.name
        self.elements = base.elements
        self._base = base
        self._models = models
        self._offsets = offsets or {}

    def model_of(self, name: str) -> ForceField:
        """Return the model that a structure goes to, by the structure's id."""
        return self._models.get(name, self._base)

    @property
    def offsets(self) -> Mapping[str, float]:
        """Structure id -> energy in eV added to its prediction."""
        return dict(self._offsets)

    def predict(self, structures: Structures) -> Labels:
        """Return labels, each structure's by its own model, in one call per model."""
        labels = self._predict(structures)
        offsets = [self._offsets.get(name, 0.0) for name in structures.ids]
        if not any(offsets):
            return labels
        return replace(labels, energy=labels.energy + labels.energy.new_tensor(offsets))

    def _predict(self, structures: Structures) -> Labels:
        chosen: dict[int, tuple[ForceField, list[int]]] = {}
        for place, name in enumerate(structures.ids):
            model = self.model_of(name)
            chosen.setdefault(id(model), (model, []))[1].append(place)
        if not chosen:
            return self._base.predict(structures)
        if len(chosen) == 1:
            [(model, _)] = chosen.values()
            return model.predict(structures)
        models = [model for model, _ in chosen.values()]
        mine = [places for _, places in chosen.values()]
        parts = [structures.select(places) for places in mine]
        return _scatter(structures, mine, self._predict_parts(models, parts))

    def _predict_parts(
        self, models: Sequence[ForceField], parts: Sequence[Structures]
    ) -> list[Labels]:
        """Return labels of parts, those of refined models together where that goes."""
        if not isinstance(self._base, _PredictsClones):
            return [m.predict(part) for m, part in zip(models, parts, strict=True)]
        refined = [i for i, model in enumerate(models) if model is not self._base]
        together = self._base.predict_clones(
            [models[i] for i in refined], [parts[i] for i in refined]
        )
        found = dict(zip(refined, together or (), strict=False))
        return [
            found[i] if i in found else models[i].predict(part)
            for i, part in enumerate(parts)
        ]


@runtime_checkable
class _PredictsClones(Protocol):
    """A model that may predict with several of its clones at once."""

    def predict_clones(
        self, clones: Sequence[ForceField], parts: Sequence[Structures]
    ) -> list[Labels] | None:
        """Return what each clone predicts of its part; None if it cannot."""
        ...


def _scatter(
    structures: Structures, parts: Sequence[list[int]], found: Sequence[Labels]
) -> Labels:
    """Return the labels of all parts in the order of the structures."""
    energies, forces, atoms, places = [], [], [], []
    failures: dict[int, str] = {}
    source = ""
    for mine, labels in zip(parts, found, strict=True):
        energies.append(labels.energy)
        forces.append(labels.forces)
        places += mine
        failures |= {mine[index]: why for index, why in labels.failures.items()}
        source = source or labels.source
        for place in mine:
            atoms.append(torch.nonzero(structures.system == place).flatten())
    energy, force = torch.cat(energies), torch.cat(forces)
    order = torch.tensor(places, device=energy.device)
    where = torch.cat(atoms).to(force.device)
    return Labels(
        energy=torch.empty_like(energy).index_copy_(0, order, energy),
        forces=torch.empty_like(force).index_copy_(0, where, force),
        source=source,
        failures=failures,
    )
