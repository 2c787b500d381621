"""From a batch to single structures, and from what became of them to `Labels`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mlffbench.core.card import ModelCard, format_elements
from mlffbench.core.errors import ModelError
from mlffbench.core.guards.geometry import impossible
from mlffbench.core.labels import Labels
from mlffbench.core.single import Outcome, Single
from mlffbench.core.structures import Structures

NOT_FINITE = "energy or forces are not finite"
"""Why a structure whose values are NaN or infinite counts as failed."""


def singles(structures: Structures) -> list[Single]:
    """Return the structures of a batch one by one, in arrays."""
    stops = torch.cumsum(structures.sizes, 0).tolist()
    # a code may compute in float32 whatever it is handed
    positions = (
        structures.near_origin().positions.detach().to("cpu", torch.float64).numpy()
    )
    numbers = structures.numbers.cpu().numpy()
    cell = structures.cell.detach().to("cpu", torch.float64).numpy()
    pbc = structures.pbc.cpu().numpy()
    charges = structures.charge.tolist()
    multiplicities = structures.multiplicity.tolist()
    return [
        Single(
            positions=positions[start:stop],
            numbers=numbers[start:stop],
            cell=cell[index],
            pbc=pbc[index],
            charge=charges[index],
            multiplicity=multiplicities[index],
            smiles=structures.smiles[index],
        )
        for index, (start, stop) in enumerate(zip([0, *stops], stops, strict=False))
    ]


def from_outcomes(
    structures: Structures, outcomes: Sequence[Outcome], source: str
) -> Labels:
    """Return what became of each structure of a batch as labels.

    Args:
        structures: The batch.
        outcomes: Per structure its values, or why it has none.
        source: Who computed them.

    Returns:
        float64 labels on the device of the structures; NaN for the failed.
    """
    energy = np.full(structures.n_systems, np.nan)
    forces = np.full((structures.n_atoms, 3), np.nan)
    failures: dict[int, str] = {}
    stops = torch.cumsum(structures.sizes, 0).tolist()
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, str):
            failures[index] = outcome
            continue
        start = stops[index - 1] if index else 0
        energy[index] = outcome.energy
        forces[start : stops[index]] = outcome.forces
    device = structures.positions.device
    return Labels(
        energy=torch.from_numpy(energy).to(device),
        forces=torch.from_numpy(forces).to(device),
        source=source,
        failures=failures,
    )


def refusals(structures: Structures, card: ModelCard) -> dict[int, str]:
    """Return, per impossible structure or one outside a card, why it is not computed.

    Args:
        structures: The batch.
        card: Elements, charges and periodicity a force field can treat.
    """
    known = torch.tensor(sorted(card.elements), device=structures.numbers.device)
    strange = ~torch.isin(structures.numbers, known)
    reasons = impossible(structures)
    for index in torch.unique(structures.system[strange]).tolist():
        there = strange & (structures.system == index)
        symbols = format_elements(frozenset(structures.numbers[there].tolist()))
        reasons.setdefault(index, f"elements not supported: {symbols}")
    if card.charges is not None:
        for index, charge in enumerate(structures.charge.tolist()):
            if charge not in card.charges:
                reasons.setdefault(index, f"charge {charge:+d} not supported")
    if not card.periodic:
        for index in structures.pbc.any(1).nonzero().flatten().tolist():
            reasons.setdefault(index, "periodic cells not supported")
    return reasons


def require_supported(structures: Structures, card: ModelCard, name: str) -> None:
    """Check that a force field can treat every structure of a batch.

    Raises:
        ModelError: It cannot treat one of them; the message names it and says why.
    """
    for index, reason in refusals(structures, card).items():
        msg = f"{name!r} cannot treat {structures.ids[index]!r}: {reason}"
        raise ModelError(msg)


def predict_rest(
    structures: Structures,
    refused: Mapping[int, str],
    compute: Callable[[Structures], Labels],
) -> Labels:
    """Return labels of a batch of which some structures are not to be computed.

    Args:
        structures: The batch.
        refused: Index of a structure -> why it is left out.
        compute: Computes labels of the rest, which is handed over as one batch, on any
            device.

    Returns:
        Labels on the device of the structures. What was refused, what `compute` names as
        failed and what is not finite is NaN and named in ``failures``.
    """
    if not refused:
        return _without_nan(structures, beside(structures, compute(structures)))
    kept = [index for index in range(structures.n_systems) if index not in refused]
    rest = beside(structures, compute(structures.select(kept)))
    energy, forces = spread(structures, kept, rest.energy, rest.forces)
    failures = dict(refused)
    failures |= {kept[index]: why for index, why in rest.failures.items()}
    labels = Labels(energy=energy, forces=forces, source=rest.source, failures=failures)
    return _without_nan(structures, labels)


def spread(
    structures: Structures, kept: Sequence[int], energy: Tensor, forces: Tensor
) -> tuple[Tensor, Tensor]:
    """Return energies and forces of some structures as those of all, NaN for the others.

    Args:
        structures: The batch.
        kept: Indices of the structures that were computed, in order.
        energy: Shape (len(kept),), in eV.
        forces: Shape (their atoms, 3), in eV/Å.

    Returns:
        Shapes (n_systems,) and (n_atoms, 3).
    """
    everywhere = energy.new_full((structures.n_systems,), torch.nan)
    all_forces = forces.new_full((structures.n_atoms, 3), torch.nan)
    place = torch.tensor(kept, dtype=torch.int64, device=structures.system.device)
    everywhere[place] = energy
    all_forces[torch.isin(structures.system, place)] = forces
    return everywhere, all_forces


def beside(structures: Structures, labels: Labels) -> Labels:
    """Return labels on the device of their structures, wherever they were computed.

    Args:
        structures: What they are of.
        labels: On any device.
    """
    device = structures.positions.device
    if labels.energy.device == labels.forces.device == device:
        return labels
    energy, forces = labels.energy.to(device), labels.forces.to(device)
    return replace(labels, energy=energy, forces=forces)


def _without_nan(structures: Structures, labels: Labels) -> Labels:
    """Return labels in which a structure is finite, or NaN throughout and failed."""
    bad = ~torch.isfinite(labels.energy)
    bad[structures.system[~torch.isfinite(labels.forces).all(1)]] = True
    for index in labels.failures:
        bad[index] = True
    if not bool(bad.any()):
        return labels
    failures = dict(labels.failures)
    for index in bad.nonzero().flatten().tolist():
        failures.setdefault(index, NOT_FINITE)
    return Labels(
        energy=labels.energy.masked_fill(bad, torch.nan),
        forces=labels.forces.masked_fill(bad[structures.system][:, None], torch.nan),
        source=labels.source,
        failures=dict(sorted(failures.items())),
    )
