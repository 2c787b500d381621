"""Scan: what a model says of copies of a structure whose atoms are moved."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnostic import Fitted, Measure, Measured, Sample

Floats = NDArray[np.float64]
Moves = Callable[[Structures], Tensor]
"""A batch of one -> displacements, shape (n_copies, n_atoms, 3), in Å; no copy where
there is nothing to move."""
Score = Callable[[Tensor, Floats, Floats], float]
"""Displacements, energies (n_copies,) in eV and forces (n_copies, n_atoms, 3) in eV/Å of
the copies -> the number of the structure; NaN where they give none."""

NOT_TRAINING = "a scan asks the model alone, so training is not scanned"
_AT_A_TIME = 64
"""Structures whose copies are in memory at once."""


def scan_alone(measure: Measure, train: Sample) -> Fitted:
    """Return a scan, which compares nothing with training and leaves it out."""
    return Fitted(Measured.nothing(train, NOT_TRAINING), measure)


def score_moved(
    sample: Sample, moves: Moves, score: Score, why_not: str, why_none: str
) -> Measured:
    """Return one number per structure from what the model says of moved copies of it.

    Args:
        sample: The structures, with the scan.
        moves: How each is moved.
        score: What its number is.
        why_not: Why a structure has no number that has nothing to move.
        why_none: Why one has none whose copies give none.
    """
    if sample.scan is None:
        return Measured.nothing(sample, sample.why_absent("scan"))
    n_systems = sample.structures.n_systems
    values = np.full(n_systems, np.nan)
    reasons: dict[int, str] = {}
    for start in range(0, n_systems, _AT_A_TIME):
        places = range(start, min(start + _AT_A_TIME, n_systems))
        singles = [sample.structures.select([place]) for place in places]
        displaced = [moves(single) for single in singles]
        made = [_copies(*pair) for pair in zip(singles, displaced, strict=True)]
        movable = [row for row, one in enumerate(made) if one.n_systems]
        reasons |= {places[row]: why_not for row in set(range(len(made))) - {*movable}}
        if not movable:
            continue
        batches = [made[row] for row in movable]
        labels = sample.scan(Structures.concatenate(batches))
        for row, told in zip(movable, _apart(labels, batches), strict=True):
            if isinstance(told, str):
                reasons[places[row]] = told
            else:
                shifts = displaced[row]
                forces = told[1].reshape(shifts.shape)
                values[places[row]] = found = score(shifts, told[0], forces)
                if np.isnan(found):
                    reasons[places[row]] = why_none
    return Measured(values, reasons)


def _copies(single: Structures, shifts: Tensor) -> Structures:
    made = single.select([0] * len(shifts))
    positions = made.positions + shifts.reshape(-1, 3).to(made.positions.dtype)
    return replace(made, positions=positions)


def _apart(
    labels: Labels, batches: Sequence[Structures]
) -> list[tuple[Floats, Floats] | str]:
    """Return energies and forces of each batch, or why one of its copies has none."""
    energy, forces = labels.energy.double().numpy(), labels.forces.double().numpy()
    told: list[tuple[Floats, Floats] | str] = []
    first = first_atom = 0
    for batch in batches:
        last, last_atom = first + batch.n_systems, first_atom + batch.n_atoms
        failed = [labels.failures[i] for i in range(first, last) if i in labels.failures]
        whole = energy[first:last], forces[first_atom:last_atom]
        told.append(failed[0] if failed else whole)
        first, first_atom = last, last_atom
    return told
