"""Worst: the structures each run gets most wrong, with what a person needs to look at."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS
from mlffbench.report.drawing import draw
from mlffbench.report.run_inventory import ReadRun
from mlffbench.report.stored_atoms import opened, rows_at
from mlffbench.report.structure_errors import Measured, Tested

N_WORST = 20
"""Structures listed per run."""
MOST_GEOMETRIES = 400
"""Geometries that a page carries; later runs list their structures without."""
MOST_ATOMS = 200
"""Atoms beyond which a geometry is not drawn."""
MOST_DRAWINGS = 150
"""Molecules drawn on a page, in all."""
_BOND = 1.25
"""Atoms nearer than this times the sum of their covalent radii are joined."""


@dataclass(slots=True)
class Room:
    """What a page still has room for, shared by its boards."""

    geometries: int = MOST_GEOMETRIES
    drawings: int = MOST_DRAWINGS


def find_worst(
    runs: Sequence[ReadRun], measured: Sequence[Measured], room: Room
) -> dict[str, Any]:
    """Return the worst structures of each run, and each structure and drawing once.

    Args:
        runs: The runs of a board.
        measured: What each got wrong.
        room: What the page has room for; what is used is taken off.
    """
    tested = measured[0].tested
    lists = [_largest(one.error) for one in measured]
    wanted = [int(position) for found in lists for position in found]
    chosen = list(dict.fromkeys(wanted))
    with_geometry = set(chosen[: room.geometries])
    room.geometries -= len(with_geometry)
    held = _read(runs[0], tested, chosen, with_geometry)
    table = tested.table
    pictures: dict[str, str] = {}
    structures: dict[str, dict[str, Any]] = {}
    for position in chosen:
        atoms = tested.atoms_of(position)
        numbers = tested.numbers[atoms]
        text = held.smiles[position]
        if text and text not in pictures and len(pictures) < room.drawings:
            pictures[text] = draw(text)
        entry = {
            "id": str(table["id"].iloc[position]),
            "molecule": str(table["molecule"].iloc[position]),
            "split": str(table["split"].iloc[position]),
            "formula": formula(numbers),
            "n_atoms": len(numbers),
            "smiles": text if pictures.get(text) else "",
        }
        if position in with_geometry and len(numbers) <= MOST_ATOMS:
            positions = held.positions[position]
            entry["symbols"] = [SYMBOLS[number] for number in numbers]
            entry["positions"] = np.round(positions, 3).tolist()
            entry["bonds"] = bonds(numbers, positions).tolist()
        structures[str(position)] = entry
    room.drawings -= len(pictures)
    return {
        "structures": structures,
        "drawings": {text: uri for text, uri in pictures.items() if uri},
        "rows": [
            [[int(position), float(one.error[position])] for position in found]
            for one, found in zip(measured, lists, strict=True)
        ],
    }


class _Held(NamedTuple):
    """What is read of chosen structures."""

    smiles: Mapping[int, str]
    positions: Mapping[int, NDArray[np.float64]]


def _read(
    run: ReadRun, tested: Tested, chosen: Sequence[int], drawn: Collection[int]
) -> _Held:
    """Return SMILES of chosen structures and positions of those that are drawn.

    Raises:
        StoreError: The file is missing or broken.
    """
    smiles = dict.fromkeys(chosen, "")
    positions: dict[int, NDArray[np.float64]] = {}
    if not chosen:
        return _Held(smiles, positions)
    path = run.folder.path / "structures.npz"
    with opened(path, ["positions"], len(tested.numbers)) as arrays:
        drawn = [place for place in chosen if place in drawn]
        found = rows_at(arrays, "positions", [tested.atoms_of(one) for one in drawn])
        positions = dict(zip(drawn, found, strict=True))
        if "smiles.npy" in arrays.archive.namelist():
            rows = [int(tested.rows[place]) for place in chosen]
            texts = rows_at(arrays, "smiles", [slice(row, row + 1) for row in rows])
            smiles = {one: str(text[0]) for one, text in zip(chosen, texts, strict=True)}
    return _Held(smiles, positions)


def formula(numbers: NDArray[np.integer[Any]]) -> str:
    """Return a composition in Hill's order.

    Example:
        >>> formula(np.array([8, 6, 1, 1, 1, 1]))
        'CH4O'
    """
    counts = Counter(SYMBOLS[number] for number in numbers)
    first = [symbol for symbol in ("C", "H") if "C" in counts and symbol in counts]
    rest = sorted(symbol for symbol in counts if symbol not in first)
    parts = ((symbol, counts[symbol]) for symbol in (*first, *rest))
    return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in parts)


def bonds(
    numbers: NDArray[np.integer[Any]], positions: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return pairs of atoms near enough to be drawn as bonded, shape (n_bonds, 2)."""
    radii = covalent_radii[numbers]
    distance = np.linalg.norm(positions[:, None] - positions[None, :], axis=-1)
    near = distance < _BOND * (radii[:, None] + radii[None, :])
    return np.argwhere(np.triu(near, k=1))


def _largest(error: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the positions of the largest errors, the largest first."""
    there = np.flatnonzero(np.isfinite(error))
    order = np.argsort(-error[there], kind="stable")
    return there[order[:N_WORST]]
