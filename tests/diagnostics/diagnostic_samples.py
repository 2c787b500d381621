"""Small real samples: shaken molecules with forces of a harmonic well."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from ase.build import molecule

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnostic import AtomFeatures, Sample
from mlffbench.diagnostics.evidence import with_graphs


def shaken(names: Sequence[str], *, seed: int = 0, scale: float = 0.05) -> Sample:
    """Return molecules shaken by ``scale`` Å, with forces −shake and graphs at 3 Å."""
    rng = np.random.default_rng(seed)
    positions, numbers, forces = [], [], []
    for name in names:
        atoms = molecule(name)
        shake = rng.normal(scale=scale, size=(len(atoms), 3))
        positions.append(torch.tensor(atoms.positions + shake))
        numbers.append(torch.tensor(atoms.numbers))
        forces.append(torch.tensor(-shake))
    ids = [f"{name}/{place}" for place, name in enumerate(names)]
    structures = Structures.build(positions, numbers, ids=ids, group=list(names))
    labels = Labels(
        energy=torch.zeros(len(names), dtype=torch.float64),
        forces=torch.cat(forces),
        source="wells",
    )
    bare = Sample(name="sample", structures=structures, reference=labels)
    return with_graphs(with_features(bare), 3.0)


def with_features(sample: Sample) -> Sample:
    """Return a sample whose atoms have four features made of their own coordinates."""
    structures = sample.structures
    centre = torch.zeros(structures.n_systems, 3, dtype=torch.float64)
    centre.index_add_(0, structures.system, structures.positions)
    centre /= structures.sizes[:, None]
    away = structures.positions - centre[structures.system]
    squares = torch.cat([away**2, structures.numbers[:, None].double()], dim=1)
    return replace(sample, embedding=AtomFeatures(squares, "squares"))


def shuffled(sample: Sample, seed: int) -> tuple[Sample, list[int]]:
    """Return the sample with its structures in another order, and that order."""
    order = np.random.default_rng(seed).permutation(sample.structures.n_systems).tolist()
    structures = sample.structures.select(order)
    sizes = sample.structures.sizes.tolist()
    assert sample.reference is not None
    forces = torch.split(sample.reference.forces, sizes)
    reference = replace(
        sample.reference, forces=torch.cat([forces[place] for place in order])
    )
    bare = Sample(name=sample.name, structures=structures, reference=reference)
    return with_graphs(with_features(bare), 3.0), order
