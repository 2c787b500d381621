"""PriorLevel: how far models are from a prior where nothing is new.

Two distances of force fields, each the mean over atoms of the norm of the difference, in
eV/Å: the *loss*, of the prior head from the prior, and the *gap*, of the model itself
from the prior. Both are known without a reference label. On molecules like those of
training the loss is what the head reaches; below that, adapting would fit the prior's own
errors. And where the gap is no larger than there, the model is as right as ever, and a
high loss is the head's own fault. Hot geometries have larger losses and gaps everywhere:
where the prior's forces are larger than in training, larger ones are as on training
molecules.
"""

import hashlib
import itertools
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, cast, runtime_checkable

import torch
from scipy import special
from torch import Tensor

from mlffbench.core.errors import CapabilityError, DataError
from mlffbench.core.files import make_folder, write_atomic
from mlffbench.core.forcefield import ForceField, HasPriorHead, HasWeights
from mlffbench.core.in_turn import in_turn
from mlffbench.core.structures import Structures
from mlffbench.priors.prior_labels import cache_folder
from mlffbench.refine.prior_head import PriorLabels
from mlffbench.refine.refined_units import rows_of, units_of
from mlffbench.refine.refiner import Training, Unit

N_STRUCTURES = 200
"""Training geometries looked at, at most."""
HEAT = 0.7
"""Power of the prior's force by which losses grow where it is larger than in training."""
GAP_HEAT = 0.6
"""The same power for gaps, as training geometries of seven models show it
(docs/pretrained.md)."""
LEAST = 5
"""Molecules, or structures where there are fewer molecules, that a level needs."""
CHUNK_ATOMS = 600
"""Atoms evaluated at once."""


@runtime_checkable
class HasHeldOutLevels(Protocol):
    """A model that remembers training molecules its prior head was not fitted to.

    Attributes:
        held_out_levels: Molecule -> loss, gap and mean norm of the prior's force, in
            eV/Å; empty when it does not know.
    """

    held_out_levels: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorLevel:
    """Losses and gaps of training molecules.

    Attributes:
        losses: One per molecule, in eV/Å, divided by `scale_of` its forces.
        gaps: One per molecule, in eV/Å, divided by `gap_scale_of` its forces.
        force: Median over molecules of the mean norm of the prior's force, in eV/Å.
        origin: Whose they are, in words.
    """

    losses: tuple[float, ...]
    gaps: tuple[float, ...]
    force: float
    origin: str

    @classmethod
    def of(cls, molecules: Iterable[tuple[float, float, float]], origin: str) -> Self:
        """Return the level of some molecules.

        Args:
            molecules: Loss, gap and mean norm of the prior's force of each, in eV/Å.
            origin: Whose they are, in words.

        Raises:
            DataError: There are fewer than `LEAST`.
        """
        known = [one for one in molecules if all(0 < part < math.inf for part in one)]
        if len(known) < LEAST:
            msg = (
                f"the prior loss of at least {LEAST} training geometries is needed to "
                f"know when to adapt, and {origin} gave {len(known)} (a geometry whose "
                "loss, gap or prior's force is 0 or missing gives none); name a suite "
                "with more of them, or set gate=off"
            )
            raise DataError(msg)
        losses, gaps, forces = zip(*known, strict=True)
        typical = statistics.median(forces)

        def scaled(values: Sequence[float], power: float) -> tuple[float, ...]:
            pairs = zip(values, forces, strict=True)
            return tuple(one / _heat(force / typical, power) for one, force in pairs)

        return cls(
            losses=scaled(losses, HEAT),
            gaps=scaled(gaps, GAP_HEAT),
            force=typical,
            origin=origin,
        )

    def scale_of(self, force: float) -> float:
        """Return how much larger losses may be where the prior's forces are larger.

        Args:
            force: Mean norm of the prior's force, in eV/Å.

        Returns:
            1 for forces as in training and for smaller ones.
        """
        return _heat(force / self.force, HEAT)

    def gap_scale_of(self, force: float) -> float:
        """Return how much larger gaps may be; else as `scale_of`."""
        return _heat(force / self.force, GAP_HEAT)

    @property
    def head_share(self) -> float:
        """Typical loss over typical gap: 0 where the head is the prior itself.

        At 1 the head is no nearer to the prior on training molecules than the model is.
        """
        return self.loss_at(0.5) / self.gap_at(0.5)

    @property
    def prior_share(self) -> float:
        """Typical gap over the prior's typical force: 0 where the prior is the model.

        The model is right on training molecules, so that it is the prior's own error.
        """
        return self.gap_at(0.5) / self.force

    def loss_at(self, share: float) -> float:
        """Return the loss in eV/Å that a share of new molecules stays below."""
        return _bound(self.losses, share)

    def gap_at(self, share: float) -> float:
        """Return the gap in eV/Å that a share of new molecules stays below."""
        return _bound(self.gaps, share)


def _heat(ratio: float, power: float) -> float:
    """Return how much larger distances are at forces that are so much larger."""
    return float(max(1.0, ratio) ** power)


def _bound(values: Sequence[float], share: float) -> float:
    """Return the one-sided prediction bound of one more value like some.

    Logarithms are taken for normal; the fewer there are, the wider the bound.
    """
    logs = torch.tensor(values, dtype=torch.float64).log()
    n = len(logs)
    width = float(special.stdtrit(n - 1, share)) * math.sqrt(1 + 1 / n)
    return math.exp(float(logs.mean()) + width * float(logs.std()))


def level_of(model: ForceField, training: Training, labels: PriorLabels) -> PriorLevel:
    """Return a model's level: what it remembers, else what training geometries say.

    The second is kept on disk under the checksums of the weights and of the geometries,
    for a model that states one of its weights.

    Args:
        model: With a prior head.
        training: Training geometries; `N_STRUCTURES` of them are looked at.
        labels: The prior.

    Raises:
        DataError: There are too few training geometries.
        StoreError: The result cannot be kept.
    """
    if isinstance(model, HasHeldOutLevels) and model.held_out_levels:
        known = model.held_out_levels
        origin = f"{len(known)} training molecules that the head was not fitted to"
        return PriorLevel.of(known.values(), origin)
    file = _file(model, training, labels)
    levels = _read(file)
    if levels is None:
        levels = molecule_levels(model, training.read(), labels)
        if file is not None:
            make_folder(file.parent)
            write_atomic(file, json.dumps(levels).encode())
    return PriorLevel.of(levels.values(), f"{len(levels)} of {training.name}")


def require_level(level: PriorLevel | None, model: ForceField) -> PriorLevel:
    """Return a level that was learned.

    Raises:
        CapabilityError: It was not.
    """
    if level is None:
        msg = (
            f"no training geometries were shown to the refinement of {model.name!r}, so "
            "its gate has no level to compare with; set gate=off"
        )
        raise CapabilityError(msg)
    return level


def molecule_levels(
    model: ForceField, structures: Structures, labels: PriorLabels
) -> dict[str, tuple[float, float, float]]:
    """Return loss, gap and prior's force of molecules; of structures where they are few.

    Args:
        model: With a prior head.
        structures: `N_STRUCTURES` of them are looked at.
        labels: The prior.
    """
    places = in_turn(structures.group, structures.ids)[:N_STRUCTURES]
    chosen = structures.select(sorted(places))
    targets = labels.of(chosen).forces
    sizes = chosen.sizes.tolist()
    heads, models = [], []
    for start, stop in _chunks(sizes):
        here = chosen.select(range(start, stop))
        heads.append(cast("HasPriorHead", model).predict_prior(here).forces)
        models.append(model.predict(here).forces)
    unit: Unit = "group" if len(set(chosen.group)) >= LEAST else "structure"
    found = [atom_errors(torch.cat(forces), targets) for forces in (heads, models)]
    found.append(atom_errors(targets, torch.zeros_like(targets)))
    means: dict[str, tuple[float, float, float]] = {}
    for name, members in units_of(chosen, unit).items():
        loss, gap, force = (
            float(rows_of(one, chosen, members).nanmean()) for one in found
        )
        if all(map(math.isfinite, (loss, gap, force))):
            means[name] = loss, gap, force
    return means


def atom_errors(forces: Tensor, targets: Tensor) -> Tensor:
    """Return the norm of the force error of each atom, shape (n_atoms,), float64."""
    error = forces.detach().double().cpu() - targets.double().cpu()
    norms: Tensor = torch.linalg.vector_norm(error, dim=1)
    return norms


def _chunks(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the ranges of structures that have some `CHUNK_ATOMS` atoms together."""
    ends, n_atoms = [0], 0
    for place, size in enumerate(sizes):
        if n_atoms and n_atoms + size > CHUNK_ATOMS:
            ends.append(place)
            n_atoms = 0
        n_atoms += size
    ends.append(len(sizes))
    return list(itertools.pairwise(ends))


def _file(model: ForceField, training: Training, labels: PriorLabels) -> Path | None:
    weights = model.weights_sha256 if isinstance(model, HasWeights) else ""
    if not weights:
        return None
    words = f"{weights} {training.sha256} {labels.version} {N_STRUCTURES}"
    name = hashlib.sha256(words.encode()).hexdigest()[:32]
    return cache_folder("prior-levels") / f"{name}.json"


def _read(file: Path | None) -> dict[str, tuple[float, float, float]] | None:
    """Return what was kept; a file that is missing or damaged is computed again."""
    if file is None:
        return None
    try:
        found = json.loads(file.read_text("utf-8")).items()
        return {
            str(name): (float(loss), float(gap), float(force))
            for name, (loss, gap, force) in found
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return None
