"""sGDML files of 2018 against an evaluation of their equations; prior and TTT on MD17.

Energies and forces of shaken geometries by ``sgdml:PATH`` and by the equations of Chmiela
et al. (2019), one training point at a time, for every file of a folder.

Usage: python docs/paper_sgdml.py FOLDER [GEOMETRIES]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.core.units import KCAL_PER_MOL
from mlffbench.models.load import load_model


def geometries(model: dict[str, np.ndarray], n: int) -> np.ndarray:
    """Return places that have the trained distances, as far as three axes allow."""
    chosen = np.linspace(0, model["Rt_desc"].shape[1] - 1, n).astype(int)
    n_atoms = len(model["z"])
    first, second = np.tril_indices(n_atoms, -1)
    found = []
    for column in chosen.tolist():
        square = np.zeros((n_atoms, n_atoms))
        square[first, second] = 1 / model["Rt_desc"][:, column] ** 2
        square += square.T
        centre = np.eye(n_atoms) - 1 / n_atoms
        values, vectors = np.linalg.eigh(-0.5 * centre @ square @ centre)
        found.append(vectors[:, -3:] * np.sqrt(values[-3:]))
    return np.stack(found)


def by_the_equations(
    model: dict[str, np.ndarray], places: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the energy in kcal/mol and the forces in kcal/mol/Å of one geometry."""
    first, second = np.tril_indices(len(places), -1)
    place_of = np.zeros((len(places), len(places)), dtype=int)
    place_of[first, second] = place_of[second, first] = np.arange(len(first))
    apart = places[first] - places[second]
    inverse = 1 / np.linalg.norm(apart, axis=1)
    sigma, energy = float(model["sig"]), float(model["c"])
    slope = np.zeros_like(inverse)
    for perm in model["perms"].astype(int) - 1:
        moved = place_of[perm[first], perm[second]]
        away = inverse - model["Rt_desc"].T[:, moved]
        alphas = model["Rt_d_desc_alpha"][:, :, 0][:, moved]
        scaled = np.sqrt(5) * np.linalg.norm(away, axis=1) / sigma
        weight = 5 / (3 * sigma**2) * np.exp(-scaled)
        along = (away * alphas).sum(1)
        energy += float((weight * (1 + scaled) * along).sum())
        slope += (weight * (1 + scaled)) @ alphas
        slope -= (weight * along * 5 / sigma**2) @ away
    forces = np.zeros_like(places)
    pull = (slope * inverse**3)[:, None] * apart
    np.add.at(forces, first, pull)
    np.add.at(forces, second, -pull)
    return energy, forces


def main() -> None:
    """Print the largest differences of every file."""
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        with np.load(path, allow_pickle=False) as content:
            model = {key: content[key] for key in content.files}
        places = geometries(model, n)
        structures = Structures.build(
            [torch.from_numpy(one) for one in places],
            [torch.from_numpy(model["z"].astype(np.int64))] * n,
            ids=[str(number) for number in range(n)],
        )
        labels = load_model(f"sgdml:{path}", ModelOptions()).predict(structures)
        forces = labels.forces.numpy().reshape(places.shape)
        worst = [0.0, 0.0]
        for number, one in enumerate(places):
            energy, slopes = by_the_equations(model, one)
            difference = float(labels.energy[number]) - energy * KCAL_PER_MOL
            worst[0] = max(worst[0], abs(difference))
            gap = np.abs(forces[number] - slopes * KCAL_PER_MOL).max()
            worst[1] = max(worst[1], float(gap))
        print(
            f"{path.name}: {n} geometries, {len(labels.failures)} refused, "
            f"mean |F| component {np.abs(forces).mean():.3f} eV/Å, largest difference "
            f"{worst[0]:.1e} eV and {worst[1]:.1e} eV/Å"
        )


if __name__ == "__main__":
    main()
