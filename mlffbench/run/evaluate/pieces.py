"""Measured: what a metric says of many structures, without the memory of all at once."""

from dataclasses import replace

import numpy as np

from mlffbench.core.card import SYMBOLS
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.metrics import breakdown, forces, published
from mlffbench.metrics.samples import Metric, Samples
from mlffbench.run.shards.batching import stretches

PIECE_ATOMS = 250_000
"""Atoms that a metric is shown at a time, where it looks at structures one by one."""
ONE_BY_ONE = frozenset(
    {
        forces.forces_mae,
        forces.forces_mae_structure,
        forces.forces_rmse,
        forces.forces_cosine,
        forces.forces_magnitude,
        breakdown.forces_mae_by_element,
        breakdown.forces_mae_by_norm,
        published.forces_good_share,
        published.forces_mae_by_connectivity,
        published.forces_mae_by_mean_norm,
        published.forces_mae_structure_by_connectivity,
        published.forces_mae_structure_by_mean_norm,
    }
)
"""Metrics whose samples of a structure depend on nothing but that structure."""


def measured(
    metric: Metric,
    prediction: Labels,
    reference: Labels,
    structures: Structures,
    most: int = PIECE_ATOMS,
) -> dict[str, Samples]:
    """Return the samples of a metric, to the last bit those of one call.

    Args:
        metric: The metric.
        prediction: Labels to judge.
        reference: Labels to judge by.
        structures: What both describe.
        most: Atoms of a piece, unless a structure is larger.
    """
    if metric not in ONE_BY_ONE or structures.n_atoms <= most:
        return metric(prediction, reference, structures)
    found = []
    sizes = structures.sizes.numpy()
    ends = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    for first, last in stretches(sizes, most):
        own, atoms = slice(first, last), slice(ends[first], ends[last])
        piece = _slice(structures, own, atoms)
        said = metric(_part(prediction, own, atoms), _part(reference, own, atoms), piece)
        found.append((said, piece.n_systems))
    names = dict.fromkeys(name for parts, _ in found for name in parts)
    if set(names) <= set(SYMBOLS):
        names = dict.fromkeys(sorted(names, key=SYMBOLS.index))
    return {
        name: _joined([parts.get(name) or _nothing(n) for parts, n in found])
        for name in names
    }


def _part(labels: Labels, own: slice, atoms: slice) -> Labels:
    return replace(
        labels, energy=labels.energy[own], forces=labels.forces[atoms], failures={}
    )


def _slice(structures: Structures, own: slice, atoms: slice) -> Structures:
    return replace(
        structures,
        positions=structures.positions[atoms],
        numbers=structures.numbers[atoms],
        system=structures.system[atoms] - own.start,
        cell=structures.cell[own],
        pbc=structures.pbc[own],
        charge=structures.charge[own],
        multiplicity=structures.multiplicity[own],
        ids=structures.ids[own],
        group=structures.group[own],
        smiles=structures.smiles[own],
    )


def _nothing(n: int) -> Samples:
    return Samples(np.full(n, np.nan), np.zeros(n))


def _joined(parts: list[Samples]) -> Samples:
    value = np.concatenate([part.value for part in parts])
    return Samples(value, np.concatenate([part.weight for part in parts]))
