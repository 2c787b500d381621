"""Structures that a semi-empirical code computes without a word, and should not."""

import torch
from ase.data import covalent_radii

from mlffbench.core.card import SYMBOLS
from mlffbench.core.graph import radius_graph
from mlffbench.core.guards.geometry import impossible
from mlffbench.core.structures import Structures

COLLAPSED = 0.5
"""Least distance of two atoms, as a share of the sum of their covalent radii.

0.31 Å for H–H, 0.54 Å for C–H, 0.76 Å for C–C: far inside anything that molecular
dynamics at 3000 K visits, where GFN2-xTB returns hundreds of hartree without an error.
"""


def collapsed(structures: Structures) -> dict[int, str]:
    """Return structures with two atoms on top of each other, and which.

    What is no structure at all, such as one in a flat cell, is returned with its reason.

    Args:
        structures: The batch; periodic images count.
    """
    reasons = impossible(structures)
    if not reasons:
        return _too_close(structures)
    kept = [index for index in range(structures.n_systems) if index not in reasons]
    found = _too_close(structures.select(kept))
    return reasons | {kept[index]: reason for index, reason in found.items()}


def _too_close(structures: Structures) -> dict[int, str]:
    """Return index -> two atoms that are on top of each other."""
    reasons: dict[int, str] = {}
    if not structures.n_atoms:
        return reasons
    radii = torch.tensor(covalent_radii, device=structures.numbers.device)
    known = structures.numbers.clamp(max=len(radii) - 1)
    radius = radii[known] * COLLAPSED
    graph = radius_graph(structures, 2 * float(radius.max()))
    centre, neighbour = graph.edges
    distances = graph.vectors(structures).norm(dim=1)
    for edge in (distances < radius[centre] + radius[neighbour]).nonzero().flatten():
        atoms = graph.edges[:, edge]
        names = "–".join(SYMBOLS[number] for number in structures.numbers[atoms].tolist())
        reason = f"collapsed: {names} at {float(distances[edge]):.2f} Å"
        reasons.setdefault(int(structures.system[atoms[0]]), reason)
    return reasons


def impossible_spins(structures: Structures) -> dict[int, str]:
    """Return structures whose electrons cannot have the multiplicity, and why."""
    electrons = torch.zeros_like(structures.charge)
    electrons.index_add_(0, structures.system, structures.numbers)
    electrons -= structures.charge
    unpaired = structures.multiplicity - 1
    wrong = (electrons < unpaired) | ((electrons - unpaired) % 2 != 0) | (unpaired < 0)
    return {
        index: (
            f"{int(electrons[index])} electrons cannot have multiplicity "
            f"{int(structures.multiplicity[index])}"
        )
        for index in wrong.nonzero().flatten().tolist()
    }
