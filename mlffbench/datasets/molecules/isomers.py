"""Isomers: molecules of one composition that nobody named, told apart by their bonds."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

_TIGHT, _BONDED, _LOOSE = 0.1, 0.45, 0.8
"""Å beyond the covalent radii: surely a bond, a bond, and possibly a stretched one."""
_MOST_ROUNDS = 5
_MOST_GRAPHS = 60
"""Of one composition; graphs of more are not compared pair by pair."""


class Geometry(NamedTuple):
    """Atoms of one structure.

    Attributes:
        numbers: Shape (n_atoms,), atomic numbers.
        positions: Shape (n_atoms, 3), in Å.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]


def name_isomers(formulas: Sequence[str], geometries: Sequence[Geometry]) -> list[str]:
    """Return a name for every structure: its formula, marked where there are isomers.

    Structures of one formula are the same molecule if atoms of equal elements are bonded
    alike. A bond that is stretched in one frame makes no other molecule: graphs that
    differ only by such bonds are one. The mark is made from the commonest graph, so that
    a molecule has the same one in every file that holds isomers.

    Args:
        formulas: Of every structure.
        geometries: Its atoms.

    Example:
        >>> water = Geometry(np.array([8, 1, 1]), np.eye(3))
        >>> name_isomers(["H2O"], [water])
        ['H2O']
    """
    names = list(formulas)
    by_formula: dict[str, list[int]] = defaultdict(list)
    for number, formula in enumerate(formulas):
        by_formula[formula].append(number)
    for formula, members in by_formula.items():
        graphs = [_graph(geometries[number]) for number in members]
        if len(set(graphs)) == 1:
            continue
        merged = _merged(graphs, [geometries[number] for number in members])
        if len(set(merged)) == 1:
            continue
        for number, graph in zip(members, merged, strict=True):
            names[number] = f"{formula}#{graph[:4]}"
    return names


def _bonds(geometry: Geometry, beyond: float) -> NDArray[np.bool_]:
    radii = covalent_radii[geometry.numbers]
    reach = radii[:, None] + radii[None, :] + beyond
    near = cdist(geometry.positions, geometry.positions) < reach
    np.fill_diagonal(near, val=False)
    return np.asarray(near, dtype=np.bool_)


def _graph(geometry: Geometry) -> str:
    """Return the same text for the same graph of elements, however it is numbered."""
    bonds = _bonds(geometry, _BONDED)
    neighbours = [np.flatnonzero(row).tolist() for row in bonds]
    colours = [str(number) for number in geometry.numbers.tolist()]
    for _ in range(min(len(colours), _MOST_ROUNDS)):
        words = [
            f"{colours[atom]}({','.join(sorted(colours[other] for other in others))})"
            for atom, others in enumerate(neighbours)
        ]
        colours = [_short(word) for word in words]
    return _short(",".join(sorted(colours)))


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _merged(graphs: Sequence[str], geometries: Sequence[Geometry]) -> list[str]:
    """Return the graphs with those made one that only stretched bonds tell apart."""
    first: dict[str, Geometry] = {}
    for graph, geometry in zip(graphs, geometries, strict=True):
        first.setdefault(graph, geometry)
    counts = Counter(graphs)
    common = sorted(counts, key=lambda graph: (-counts[graph], graph))
    leader: dict[str, str] = {}
    leaders: list[tuple[str, _Bonding]] = []
    for place, graph in enumerate(common):
        mine = _bonding(first[graph])
        alike = (one for one, theirs in leaders if _are_alike(mine, theirs))
        leader[graph] = next(alike, graph)
        if leader[graph] == graph and place < _MOST_GRAPHS:
            leaders.append((graph, mine))
    return [leader[graph] for graph in graphs]


class _Bonding(NamedTuple):
    """Atomic numbers, shape (n,), and sure and possible bonds, shape (n, n)."""

    numbers: NDArray[np.int64]
    sure: NDArray[np.bool_]
    possible: NDArray[np.bool_]


def _bonding(geometry: Geometry) -> _Bonding:
    sure, possible = (_bonds(geometry, beyond) for beyond in (_TIGHT, _LOOSE))
    return _Bonding(geometry.numbers, sure, possible)


def _are_alike(one: _Bonding, other: _Bonding) -> bool:
    """Return whether the sure bonds of each are possible ones of the other."""
    if not np.array_equal(one.numbers, other.numbers):
        return False
    return not ((one.sure & ~other.possible).any() or (other.sure & ~one.possible).any())
