"""RefinedModel: weights that a refinement left, each for the molecules it saw."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mlffbench.core.assembly import predict_rest
from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import ForceField, HasPriorHead, HasWeights
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.deploy.family import Family, family_of
from mlffbench.deploy.refined_files import (
    MANIFEST,
    RefinedManifest,
    RefinedUnit,
    read_refined,
    read_weights,
)
from mlffbench.models.load import card_of, load_model
from mlffbench.models.model_spec import check_not_typed, parse_spec
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.prior_head import has_prior_head
from mlffbench.training.attached import weights_of
from mlffbench.training.trunk import as_trunk

ROW = "refined"
"""Name of the catalogue row that loads what is saved here."""
_LOG = logging.getLogger(__name__)


class RefinedModel:
    """A model with the weights that a refinement left for some molecules.

    A structure of another molecule, charge or spin is refused. One of the same atoms that
    is bonded otherwise is computed, and a warning says so.

    Args:
        base: The model that was refined.
        manifest: What was refined.
        models: Per unit, the model with its weights.

    Attributes:
        name: How tables call it.
        elements: Those of the base.
        card: That of the base.
        weights_sha256: Fingerprint of the refinement.
        manifest: What was refined.
    """

    def __init__(
        self,
        base: ForceField,
        manifest: RefinedManifest,
        models: Sequence[ForceField],
    ) -> None:
        self.name = f"{base.name}+{manifest.mode}"
        self.elements, self.card = base.elements, card_of(base)
        self.weights_sha256 = manifest.fingerprint
        self.manifest = manifest
        self._base, self._models = base, tuple(models)
        self._warned: set[Family] = set()

    def predict(self, structures: Structures) -> Labels:
        """Return labels of the weights that were refined for each structure's molecule.

        Structures of other molecules are in ``failures``.
        """
        chosen: list[tuple[int, float] | None] = []
        refused: dict[int, str] = {}
        for place in range(structures.n_systems):
            found = self.unit_of(structures, place)
            if isinstance(found, str):
                refused[place] = found
            chosen.append(None if isinstance(found, str) else found)

        def compute(rest: Structures) -> Labels:
            mine = [one for one in chosen if one is not None]
            if not mine:
                nothing = rest.positions.new_zeros((0, 3))
                return Labels(energy=nothing.new_zeros(0), forces=nothing, source="none")
            # ids of a batch need not be unique; places are
            names = tuple(str(place) for place in range(rest.n_systems))
            routed = Routed(
                self._base,
                {n: self._models[u] for n, (u, _) in zip(names, mine, strict=True)},
                {n: offset for n, (_, offset) in zip(names, mine, strict=True)},
            )
            labels = routed.predict(replace(rest, ids=names))
            return replace(labels, source=f"model:{self.name}")

        return predict_rest(structures, refused, compute)

    def unit_of(self, structures: Structures, place: int) -> tuple[int, float] | str:
        """Return which unit a structure belongs to, or why it belongs to none.

        Of several units that fit, the one that saw a structure of its name, then one of
        its molecule, then the first.

        Returns:
            The unit's number and the energy in eV that is added.
        """
        plain = family_of(structures, place, bonds=False)
        units = self.manifest.units
        alike = [
            (number, unit.offsets[which] if unit.adapted else 0.0, one)
            for number, unit in enumerate(units)
            for which, one in enumerate(unit.families)
            if one.composes(plain)
        ]
        if not alike:
            known = ", ".join(dict.fromkeys(map(str, self._families())))
            return (
                f"the weights were refined for {known}, not for {plain}; one refined "
                "model serves the molecules it saw: refine again, or use "
                f"{self.manifest.model!r}"
            )
        mine = family_of(structures, place)
        fitting = [one for one in alike if not one[2].is_isomer(mine)]
        name, group = structures.ids[place], structures.group[place]
        strange = [
            (name not in units[n].structures, units[n].name != group)
            for n, _, _ in fitting
        ]
        if not fitting:
            self._warn(
                mine,
                "is bonded otherwise than those the weights were refined "
                "for: an isomer, or a bond that breaks",
            )
            return alike[0][:2]
        best = min(range(len(fitting)), key=lambda at: strange[at])
        if all(strange[best]) and len({n for n, _, _ in fitting}) > 1:
            self._warn(
                mine,
                "fits several units that were refined one by one; the "
                f"weights of {units[fitting[best][0]].name!r} serve it",
            )
        return fitting[best][:2]

    def facts_of(self, structures: Structures, place: int) -> dict[str, Any]:
        """Return what the refinement told whose weights serve a structure.

        Returns:
            The facts, named as in a run; nothing for a structure that is refused.
        """
        found = self.unit_of(structures, place)
        if isinstance(found, str):
            return {}
        unit = self.manifest.units[found[0]]
        names = ("prior_loss", "prior_loss_lowest")
        return {
            "refined_for": unit.name,
            "adapted": unit.adapted,
            "not_adapted_because": unit.reason,
            "steps": unit.steps,
            **dict(zip(names, unit.losses, strict=False)),
        }

    def _warn(self, family: Family, what: str) -> None:
        """Tell once what is wrong with structures of a molecule."""
        if family not in self._warned:
            self._warned.add(family)
            _LOG.warning("%s: a structure of %s %s", self.name, family, what)

    def _families(self) -> list[Family]:
        return [one for unit in self.manifest.units for one in unit.families]


def load_refined(options: ModelOptions) -> RefinedModel:
    """Return the refined model in the folder that ``options.argument`` names.

    Raises:
        ModelError: The folder holds none, it is damaged, or the model it belongs to
            cannot be loaded or has other weights.
    """
    if not options.argument:
        raise ModelError("'refined' needs a folder: write refined:FOLDER")
    folder = Path(options.argument).expanduser()
    folder = folder.parent if folder.name == MANIFEST else folder
    manifest = read_refined(folder)
    if parse_spec(manifest.model).name == ROW:
        msg = f"{folder} names a refined model as the model that was refined"
        raise ModelError(msg)
    check_not_typed(manifest.model, str(folder / MANIFEST), trust=options.trust)
    base = load_model(manifest.model, replace(options, argument=""))
    if manifest.model_weights and weights_in(base) != manifest.model_weights:
        msg = f"{folder} was refined from {manifest.model!r}, whose weights have changed "
        raise ModelError(msg + "since; refine again")
    models = [_with_weights(base, unit, folder) for unit in manifest.units]
    return RefinedModel(base, manifest, models)


def weights_in(model: ForceField) -> str:
    """Return the checksum of a model's weights file, else that of its trunk."""
    if isinstance(model, HasWeights) and model.weights_sha256:
        return model.weights_sha256
    return weights_of(as_trunk(model))


def _with_weights(base: ForceField, unit: RefinedUnit, folder: Path) -> ForceField:
    if not unit.adapted:
        return base
    twin, parameters = movable_twin(base)
    like = [one.detach() for one in parameters]
    tensors = read_weights(folder / unit.weights, unit.weights_sha256, like)
    with torch.no_grad():
        for parameter, values in zip(parameters, tensors, strict=True):
            parameter.copy_(values)
    return twin


def movable_twin(base: ForceField) -> tuple[ForceField, list[nn.Parameter]]:
    """Return a copy of a model, and the parameters that test-time training moves."""
    if has_prior_head(base) and isinstance(base, HasPriorHead):
        twin: HasPriorHead = base.clone()
        return twin, list(twin.representation_parameters())  # type: ignore[return-value]
    trunk = as_trunk(base).clone()
    return trunk, list(trunk.trunk_parameters().values())
