"""Geometry: structures that no model can be asked about, each with its reason."""

import numpy as np
import torch
from numpy.typing import NDArray

from mlffbench.core.structures import Structures

THINNEST = 0.5
"""Å: no atom is flatter, so no cell is."""
WIDEST = 1e5
"""Å from the centre of a structure, beyond which float32 does not resolve a bond."""
MOST_PAIRS = 50_000_000
"""Pairs of atoms and images that a neighbour list of one cell may hold."""
MIN_VOLUME = 1e-4
"""Least volume that the unit vectors along the periodic directions may span."""


def impossible(structures: Structures) -> dict[int, str]:
    """Return index -> why no model can be asked about a structure.

    Args:
        structures: A batch, as it was read.
    """
    reasons: dict[int, str] = {}
    positions = structures.positions.detach()
    # whose atoms all lie near the origin, they lie near their centre, too
    if not bool((positions.abs() < WIDEST / 2).all()):
        strange = ~torch.isfinite(positions).all(1)
        for index in torch.unique(structures.system[strange]).tolist():
            reasons[index] = "positions are not finite"
        offsets = positions - structures.centres[structures.system]
        far = ~(offsets.abs() < WIDEST).all(1)
        for index in torch.unique(structures.system[far]).tolist():
            reasons.setdefault(index, f"it spans more than {WIDEST:,.0f} Å")
    for index in structures.pbc.any(1).nonzero().flatten().tolist():
        vectors = structures.cell[index][structures.pbc[index]].detach()
        fault = fault_of_cell(vectors.to("cpu", torch.float64).numpy())
        if fault:
            reasons.setdefault(index, fault)
    return reasons


def fault_of_cell(vectors: NDArray[np.float64]) -> str:
    """Return why lattice vectors, shape (n, 3), make no cell; empty if they do.

    Example:
        >>> fault_of_cell(np.diag([6.0, 6.0, 1e-7]))
        'its cell is 1e-07 Å thin, flatter than any atom'
    """
    if not _is_independent(vectors):
        return "its lattice vectors are not finite and independent"
    thinnest = float(heights(vectors).min())
    if thinnest < THINNEST:
        return f"its cell is {thinnest:.2g} Å thin, flatter than any atom"
    return ""


def heights(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance between opposite faces of a cell, shape (n,), in Å.

    h_i = 1 / √((V Vᵀ)⁻¹)_ii, for the n periodic directions alone.

    Args:
        vectors: Shape (n, 3), independent, in Å.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    inverse = np.linalg.pinv(vectors / lengths[:, None])
    found: NDArray[np.float64] = lengths / np.linalg.norm(inverse, axis=0)
    return found


def n_pairs(vectors: NDArray[np.float64], n_atoms: int, cutoff: float) -> float:
    """Return about how many pairs within a cutoff a cell has, its images counted.

    Atoms per Å, Å² or Å³ of the cell, times the length, area or volume within the cutoff.

    Args:
        vectors: Shape (n, 3), the periodic lattice vectors, in Å.
        n_atoms: Atoms in the cell.
        cutoff: In Å.

    Example:
        >>> round(n_pairs(np.diag([30.0, 30.0, 30.0]), 2700, cutoff=5.0) / 2700)
        52
    """
    within = (2 * cutoff, np.pi * cutoff**2, 4 / 3 * np.pi * cutoff**3)[len(vectors) - 1]
    measure = np.sqrt(np.linalg.det(vectors @ vectors.T))
    return float(n_atoms) ** 2 * float(within / measure)


def _is_independent(vectors: NDArray[np.float64]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        return False
    unit = vectors / lengths
    return bool(np.linalg.det(unit @ unit.T) > MIN_VOLUME**2)
