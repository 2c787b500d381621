"""Diatomics: whether two atoms on top of each other are pushed apart."""

from itertools import combinations_with_replacement

import numpy as np
import torch
from ase.data import covalent_radii

from mlffbench.core.card import SYMBOLS
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnostic import Fitted, Measured, Sample
from mlffbench.diagnostics.distances.scan import Floats, scan_alone

NEAREST, FURTHEST, N_POINTS = 0.4, 0.7, 13
"""Distances of the scan, in sums of the covalent radii. Every real pair repels there: no
bond is shorter than 0.75 of them."""
MOST_NAMED = 8

Pair = tuple[int, int]


def diatomic_hole(train: Sample) -> Fitted:
    """Deepest hole in the repulsion of two atoms of a structure's elements, in eV.

    Of every pair of elements that a structure has, two atoms alone at 13 distances from
    0.4 to 0.7 of the sum of their covalent radii, where energy only falls outwards. The
    pairs are neutral and of low spin, whatever the structure is. A hole is the most that
    energy rises outwards, from any distance to any larger one: atoms that come so near in
    dynamics fall in. 0 where the energy falls all the way, missing where the model
    refuses a pair.
    """
    known: dict[Pair, float | str] = {}

    def measure(sample: Sample) -> Measured:
        return _measure(sample, known)

    return scan_alone(measure, train)


def _measure(sample: Sample, known: dict[Pair, float | str]) -> Measured:
    if sample.scan is None:
        return Measured.nothing(sample, sample.why_absent("scan"))
    structures = sample.structures
    pairs = [
        _pairs(structures.select([place]).numbers.tolist())
        for place in range(structures.n_systems)
    ]
    new = sorted({pair for mine in pairs for pair in mine if pair not in known})
    if new:
        known |= _holes(sample, new)
    values = np.full(structures.n_systems, np.nan)
    reasons: dict[int, str] = {}
    for place, mine in enumerate(pairs):
        found = [hole for pair in mine if not isinstance(hole := known[pair], str)]
        refused = [why for pair in mine if isinstance(why := known[pair], str)]
        if found and not refused:
            values[place] = max(found)
        else:
            reasons[place] = refused[0] if refused else "it has no two atoms"
    return Measured(values, reasons, _notes(pairs, known))


def _pairs(numbers: list[int]) -> list[Pair]:
    """Return the pairs of elements that a structure has two atoms of."""
    return [
        pair
        for pair in combinations_with_replacement(sorted(set(numbers)), 2)
        if pair[0] != pair[1] or numbers.count(pair[0]) > 1
    ]


def _holes(sample: Sample, pairs: list[Pair]) -> dict[Pair, float | str]:
    """Return the deepest hole of every pair in eV, or why it cannot be computed."""
    if sample.scan is None:
        return dict.fromkeys(pairs, sample.why_absent("scan"))
    dtype = sample.structures.positions.dtype
    shares = np.linspace(NEAREST, FURTHEST, N_POINTS)
    positions, numbers, ids = [], [], []
    for one, other in pairs:
        total = covalent_radii[one] + covalent_radii[other]
        for share in shares:
            ends = torch.tensor([[0.0, 0.0, 0.0], [share * total, 0.0, 0.0]])
            positions.append(ends.to(dtype))
            numbers.append(torch.tensor([one, other]))
            ids.append(f"{SYMBOLS[one]}{SYMBOLS[other]}/{share:.3f}")
    spins = [1 + sum(pair) % 2 for pair in pairs for _ in shares]
    labels = sample.scan(
        Structures.build(positions, numbers, ids=ids, multiplicity=spins)
    )
    energies = labels.energy.double().numpy().reshape(len(pairs), N_POINTS)
    found: dict[Pair, float | str] = {}
    for place, pair in enumerate(pairs):
        mine = range(place * N_POINTS, (place + 1) * N_POINTS)
        why = [labels.failures[row] for row in mine if row in labels.failures]
        found[pair] = why[0] if why else _hole(energies[place])
    return found


def _hole(energy: Floats) -> float:
    """Return how much the energy rises outwards at most."""
    return float((energy - np.minimum.accumulate(energy)).max())


def _notes(pairs: list[list[Pair]], known: dict[Pair, float | str]) -> tuple[str, ...]:
    """Return which pairs fall into a hole, the deepest first."""
    seen = {pair for mine in pairs for pair in mine}
    holes = [
        (hole, f"{SYMBOLS[one]}–{SYMBOLS[other]} ({hole:.2g} eV)")
        for one, other in seen
        if not isinstance(hole := known[one, other], str) and hole > 0
    ]
    told = [text for _, text in sorted(holes, reverse=True)]
    if not told:
        return ()
    more = f" and {len(told) - MOST_NAMED} more" if len(told) > MOST_NAMED else ""
    return (f"not repulsive all the way: {', '.join(told[:MOST_NAMED])}{more}",)
