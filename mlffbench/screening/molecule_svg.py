"""A molecule as an SVG, seen along its flattest direction, coloured by a score."""

from collections.abc import Sequence

import numpy as np
from ase.data import covalent_radii
from markupsafe import Markup
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from mlffbench.core.card import SYMBOLS

Floats = NDArray[np.float64]

WIDTH, HEIGHT, MARGIN = 230, 170, 14
MOST_ATOMS = 300
"""Of a structure that is drawn."""
_BOND = 0.45
"""Å beyond the covalent radii."""
_LOW, _HIGH = (244, 240, 228), (176, 32, 24)
"""Colours of a score of 0 and of `FULL`."""
FULL = 3.0
"""Score, in times the usual one, of the full colour."""


def draw_atoms(
    numbers: NDArray[np.int64], positions: Floats, scores: Floats, about: Sequence[str]
) -> Markup:
    """Return a picture; empty for what is too large to be seen.

    Args:
        numbers: Shape (n_atoms,), atomic numbers.
        positions: Shape (n_atoms, 3), in Å.
        scores: Shape (n_atoms,), times what is usual; NaN is drawn grey.
        about: What is told of each atom where it is pointed at.
    """
    if not 0 < len(numbers) <= MOST_ATOMS:
        return Markup()
    flat, depth = _projected(positions)
    radii = covalent_radii[numbers]
    reach = cdist(positions, positions) < radii[:, None] + radii[None, :] + _BOND
    size = float(np.clip(34 / np.sqrt(len(numbers)), 4.5, 10))
    parts = []
    for one, other in zip(*np.nonzero(np.triu(reach, 1)), strict=True):
        (x1, y1), (x2, y2) = flat[one], flat[other]
        parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
    for atom in np.argsort(depth):
        x, y = flat[atom]
        radius = size * (0.55 if numbers[atom] == 1 else 1.0)
        symbol = SYMBOLS[numbers[atom]]
        parts.append(
            Markup(
                '<g><title>{}</title><circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" '
                'fill="{}"/>{}</g>'
            ).format(
                about[atom],
                x,
                y,
                radius,
                colour_of(scores[atom]),
                Markup('<text x="{:.1f}" y="{:.1f}">{}</text>').format(x, y, symbol)
                if numbers[atom] != 1
                else "",
            )
        )
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'
    )


def colour_of(score: float) -> str:
    """Return the colour of a score: pale where it is usual, red where far beyond."""
    if not np.isfinite(score):
        return "#c9cccb"
    share = float(np.clip(score / FULL, 0, 1))
    mixed = (
        round(low + share * (high - low)) for low, high in zip(_LOW, _HIGH, strict=True)
    )
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _projected(positions: Floats) -> tuple[Floats, Floats]:
    """Return places on the picture, and depths, larger in front."""
    centred = positions - positions.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = np.vstack([axes, np.eye(3)])[:3] if len(axes) < 3 else axes  # noqa: PLR2004
    turned = centred @ axes.T
    flat = turned[:, :2]
    room = np.array([WIDTH - 2 * MARGIN - 16, HEIGHT - 2 * MARGIN - 16])
    extent = np.maximum(np.ptp(flat, axis=0), 1e-9)
    scale = min(float((room / extent).min()), 42.0)
    middle = (flat.max(0) + flat.min(0)) / 2
    return (flat - middle) * scale + np.array([WIDTH, HEIGHT]) / 2, turned[:, 2]
