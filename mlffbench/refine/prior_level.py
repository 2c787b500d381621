"""PriorLevel: how well a prior head reproduces the prior where nothing is new.

The loss is the mean over atoms of the norm of the prior head's force error, in eV/Å. On
molecules like those of training it is what the head reaches; below that, adapting would
fit the prior's own errors. No reference label takes part.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, cast, runtime_checkable

import torch
from scipy import stats
from torch import Tensor

from mlffbench.core.errors import DataError
from mlffbench.core.files import make_folder, write_atomic
from mlffbench.core.forcefield import ForceField, HasPriorHead, HasWeights
from mlffbench.core.sampling import in_turn
from mlffbench.core.structures import Structures
from mlffbench.priors.prior_labels import cache_folder
from mlffbench.refine.prior_head import PriorLabels
from mlffbench.refine.refiner import Training
from mlffbench.refine.units import units_of

N_STRUCTURES = 200
"""Training geometries looked at, at most."""
LEAST = 5
"""Molecules, or structures where there are fewer molecules, that a level needs."""
CHUNK_ATOMS = 600
"""Atoms evaluated at once."""


@runtime_checkable
class HasHeldOutLosses(Protocol):
    """A model that remembers its prior loss on training molecules it was not fitted to.

    Attributes:
        held_out_losses: Molecule -> prior loss in eV/Å; empty when it does not know.
    """

    held_out_losses: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorLevel:
    """The prior losses of training molecules.

    Attributes:
        losses: One per molecule, in eV/Å.
        origin: Whose losses these are, in words.
    """

    losses: tuple[float, ...]
    origin: str

    @classmethod
    def of(cls, losses: Sequence[float], origin: str) -> Self:
        """Return the level of some losses.

        Raises:
            DataError: There are fewer than `LEAST`.
        """
        finite = tuple(loss for loss in losses if math.isfinite(loss) and loss > 0)
        if len(finite) < LEAST:
            msg = (
                f"ttt needs the prior loss of at least {LEAST} training geometries to "
                f"know when to adapt, and {origin} gave {len(finite)}; name a suite with "
                "more of them, or set ttt.gate=off"
            )
            raise DataError(msg)
        return cls(losses=finite, origin=origin)

    def quantile(self, share: float) -> float:
        """Return the loss that a new molecule like these stays below, in eV/Å.

        Logarithms of losses are near to normal; the bound is the one-sided prediction
        interval of a normal variable, which is wider the fewer losses are known.

        Args:
            share: How often it stays below, e.g. 0.95.
        """
        logs = torch.tensor(self.losses, dtype=torch.float64).log()
        n = len(logs)
        width = float(stats.t.ppf(share, n - 1)) * math.sqrt(1 + 1 / n)
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
    if isinstance(model, HasHeldOutLosses) and model.held_out_losses:
        known = model.held_out_losses
        origin = f"{len(known)} training molecules that the head was not fitted to"
        return PriorLevel.of(list(known.values()), origin)
    file = _file(model, training, labels)
    losses = _read(file)
    if losses is None:
        losses = molecule_losses(model, training.read(), labels)
        if file is not None:
            make_folder(file.parent)
            write_atomic(file, json.dumps(losses).encode())
    return PriorLevel.of(list(losses.values()), f"{len(losses)} of {training.name}")


def molecule_losses(
    model: ForceField, structures: Structures, labels: PriorLabels
) -> dict[str, float]:
    """Return the prior loss of some molecules; of structures where molecules are few.

    Args:
        model: With a prior head.
        structures: `N_STRUCTURES` of them are looked at.
        labels: The prior.
    """
    places = in_turn(structures.group, structures.ids)[:N_STRUCTURES]
    chosen = structures.select(sorted(places))
    targets = labels.of(chosen)
    sizes = chosen.sizes.tolist()
    found: list[Tensor] = []
    for start, stop in _chunks(sizes):
        here = chosen.select(range(start, stop))
        found.append(cast("HasPriorHead", model).predict_prior(here).forces.cpu())
    errors = atom_errors(torch.cat(found), targets.forces)
    unit = "group" if len(set(chosen.group)) >= LEAST else "structure"
    pieces = torch.split(errors, sizes)
    means = {
        name: float(torch.cat([pieces[place] for place in members]).nanmean())
        for name, members in units_of(chosen, unit).items()
    }
    return {name: loss for name, loss in means.items() if math.isfinite(loss)}


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


def _read(file: Path | None) -> dict[str, float] | None:
    """Return what was kept; a file that is missing or damaged is computed again."""
    try:
        found = json.loads(file.read_text("utf-8")) if file else None
        return {str(name): float(loss) for name, loss in found.items()} if found else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None
