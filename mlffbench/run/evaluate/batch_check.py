"""Batch check: a structure in a batch gets what it gets alone, tried on every run."""

from collections.abc import Callable
from dataclasses import replace

import torch

from mlffbench.contract.trial import FLOAT32, wide
from mlffbench.core.assembly import NOT_FINITE
from mlffbench.core.errors import ModelError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures

N_STRUCTURES = 8
"""Of each run."""
TOLERANCE = FLOAT32
"""A calculator may compute in float32 whatever it is handed."""


def retry_alone(
    predict: Callable[[Structures], Labels], structures: Structures, labels: Labels
) -> Labels:
    """Return labels in which what was not finite in a batch is what it is alone.

    A structure that the model itself gave up, with a reason, is not tried again.

    Args:
        predict: The model.
        structures: The batch.
        labels: What the model said of it.
    """
    if structures.n_systems == 1:
        return labels
    bad = ~torch.isfinite(labels.energy)
    bad[structures.system[~torch.isfinite(labels.forces).all(1)]] = True
    energy, forces = labels.energy.detach().clone(), labels.forces.detach().clone()
    failures = dict(labels.failures)
    for index in bad.nonzero().flatten().tolist():
        if failures.get(index, NOT_FINITE) != NOT_FINITE:
            continue
        alone = predict(structures.select([index]))
        failures.pop(index, None)
        failures |= dict.fromkeys(
            [index] * bool(alone.failures), alone.failures.get(0, "")
        )
        energy[index] = alone.energy.detach()[0].to(energy)
        forces[structures.system == index] = alone.forces.detach().to(forces)
    return replace(labels, energy=energy, forces=forces, failures=failures)


def check_batches(
    predict: Callable[[Structures], Labels], structures: Structures, together: Labels
) -> dict[str, object]:
    """Return how far predictions in batches are from those of the structures alone.

    Args:
        predict: The model, unrefined.
        structures: Structures of a run, as the model sees them.
        together: What the model said of them in the batches of the run.

    Raises:
        ModelError: They differ by more than the tolerance; the message says by how much.
    """
    far = {"energy": 0.0, "forces": 0.0}
    for index, name in reversed(list(enumerate(structures.ids))):
        alone = predict(structures.select([index]))
        own = structures.system == index
        ours, theirs = wide(together.forces[own.cpu()]), wide(alone.forces)
        sizes = wide(together.energy)[index], wide(alone.energy)[0]
        energy = float((sizes[0] - sizes[1]).abs())
        forces = float((ours - theirs).abs().max())
        allowed = (
            TOLERANCE.energy + TOLERANCE.roundings * TOLERANCE.resolution * abs(sizes[0]),
            TOLERANCE.forces + TOLERANCE.forces_relative * ours.abs().max(),
        )
        # not finite alone is a disagreement too
        if not (energy <= allowed[0] and forces <= allowed[1]):
            msg = (
                f"{name!r} gets another result in the run than alone: energies differ by "
                f"{energy:.2g} eV, forces by {forces:.2g} eV/Å; the model mixes what it "
                "computes together or one after another, and none of its numbers can be "
                "trusted; see: mlffbench validate"
            )
            raise ModelError(msg)
        far = {
            "energy": max(far["energy"], energy),
            "forces": max(far["forces"], forces),
        }
    return {
        "structures": list(structures.ids),
        "energy_ev": far["energy"],
        "forces_ev_per_angstrom": far["forces"],
    }
