"""Small batches with known numbers, for the tests beside this file."""

from collections.abc import Sequence

import numpy as np
import torch

from mlffbench.core.card import SYMBOLS
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.metrics.molecules import Molecules
from mlffbench.metrics.samples import Samples


def batch(
    formulas: Sequence[str], groups: Sequence[str] | None = None, **columns: object
) -> Structures:
    """Structures from space-separated symbols, e.g. ``["C O", "H H O"]``."""
    numbers = [
        torch.tensor([SYMBOLS.index(symbol) for symbol in formula.split()])
        for formula in formulas
    ]
    return Structures.build(
        [torch.zeros((len(entry), 3), dtype=torch.float64) for entry in numbers],
        numbers,
        ids=[f"s{i}" for i in range(len(formulas))],
        group=groups,
        **columns,
    )


def labels(energy: object, forces: object) -> Labels:
    return Labels(
        energy=torch.as_tensor(energy, dtype=torch.float64),
        forces=torch.as_tensor(forces, dtype=torch.float64).reshape(-1, 3),
        source="test",
    )


def no_forces(structures: Structures, energy: object) -> Labels:
    return labels(energy, np.full((structures.n_atoms, 3), np.nan))


def random_batch(seed: int, n_systems: int = 12) -> tuple[Structures, Labels, Labels]:
    """Structures of 1 to 6 atoms in few molecules, with a prediction and a reference."""
    rng = np.random.default_rng(seed)
    kinds = ["C H", "H H O", "C C O H", "N", "S C N H H O"]
    chosen = rng.integers(len(kinds), size=n_systems)
    structures = batch([kinds[i] for i in chosen], [f"m{i}" for i in chosen])
    pair = [
        labels(rng.normal(size=n_systems), 3 * rng.normal(size=(structures.n_atoms, 3)))
        for _ in range(2)
    ]
    return structures, pair[0], pair[1]


def reorder(
    structures: Structures, given: Labels, order: Sequence[int]
) -> tuple[Structures, Labels]:
    """The same structures and labels in another order of structures."""
    atoms = [np.flatnonzero(structures.system.numpy() == system) for system in order]
    rows = np.concatenate(atoms)
    moved = labels(given.energy[list(order)], given.forces[rows])
    return structures.select(order), moved


def samples(values: Sequence[float], weights: Sequence[float] | None = None) -> Samples:
    """Samples of weight 1; NaN values are missing."""
    value = np.asarray(values, dtype=np.float64)
    weight = np.ones_like(value) if weights is None else np.asarray(weights, np.float64)
    return Samples.of(value, weight=weight, evaluated=np.isfinite(value))


def molecules(n: int, prefix: str = "m") -> Molecules:
    """As many molecules as structures."""
    return Molecules.of([f"{prefix}{i:03d}" for i in range(n)])


def pooled(given: Samples) -> float:
    kept = given.evaluated
    return float((given.value[kept] * given.weight[kept]).sum() / given.weight.sum())
