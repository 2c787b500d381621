"""Mode rr-paper against a second account of the paper's script, on real molecules.

Written from the description of their code (docs/paper.md), not from ours: PyTorch
Geometric's Laplacian, numpy's general eigenvalues, one molecule and one radius at a time.
Prints the largest difference of an eigenvalue and how many radii are chosen alike.

Usage: python docs/paper_rr.py [STRUCTURES]
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch_geometric.utils import add_remaining_self_loops, get_laplacian, to_dense_adj

from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model
from mlffbench.refine.radius.published_radius import PublishedRadius
from mlffbench.refine.radius.published_spectrum import published_spectrum
from mlffbench.run.suite import load_suite
from mlffbench.run.suite_splits import load_splits

RADII = np.linspace(3, 9, 10)
CAP = 50


def second_spectrum(positions: np.ndarray, radius: float) -> np.ndarray:
    """Return the sorted float32 eigenvalues of the capped graph of a molecule."""
    sources, centres = [], []
    for centre, place in enumerate(positions):
        apart = np.sqrt(((positions - place) ** 2).sum(1))
        found = [j for j in np.flatnonzero(apart < radius).tolist() if j != centre]
        sources += found[:CAP]
        centres += [centre] * len(found[:CAP])
    edges = torch.tensor([sources, centres], dtype=torch.int64)
    looped, _ = add_remaining_self_loops(edges)
    index, weight = get_laplacian(looped, normalization="sym")
    dense = to_dense_adj(index, edge_attr=weight)[0].double().numpy()
    values = np.linalg.eigvals(dense)
    return np.sort(values.real.astype(np.float32))


def examples(n: int) -> Structures:
    """Return structures of both suites that ship, every few of them."""
    parts = []
    for name in ("mini-ood", "spice-sample"):
        splits = load_splits(*load_suite(name))
        parts += [split.structures for split in splits if split.role.endswith("test")]
    every = Structures.concatenate(parts)
    chosen = np.unique(np.linspace(0, every.n_systems - 1, n).round().astype(int))
    return every.select(chosen.tolist())


def main() -> None:
    """Print the differences."""
    torch.set_num_threads(1)
    structures = examples(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
    model = load_model("mini-schnet", ModelOptions())
    mean = np.array(model.training_spectrum.mean)
    refined = PublishedRadius().refine(model, structures)
    worst, alike, inert, capped = 0.0, 0, 0, 0
    pieces = torch.split(structures.positions, structures.sizes.tolist())
    for piece, facts in zip(pieces, refined.facts, strict=True):
        positions = piece.numpy()
        apart = np.sqrt(((positions[:, None] - positions[None, :]) ** 2).sum(-1))
        scores = []
        for radius in RADII:
            theirs = second_spectrum(positions, float(radius))
            ours = published_spectrum(apart, float(radius), CAP)
            full = int((apart < radius).sum()) - len(apart)
            capped += ours.n_edges < full
            worst = max(worst, float(np.abs(theirs - ours.eigenvalues).max()))
            width = max(len(theirs), len(mean))
            padded = [np.pad(one, (0, width - len(one))) for one in (theirs, mean)]
            scores.append(np.linalg.norm(padded[0] - padded[1]) ** 2)
        best = float(RADII[int(np.argmin(scores))])
        alike += abs(best - float(facts["radius_of_grid"])) < 1e-9
        inert += facts["envelope"] == "trained"
    n = structures.n_systems
    print(f"{n} structures, {int(structures.sizes.max())} atoms at most, 10 radii")
    print(f"graphs in which the cap of {CAP} neighbours bites: {capped} of {10 * n}")
    print(f"largest difference of an eigenvalue: {worst:.1e}")
    print(f"radii chosen alike: {alike} of {n}; at or above the trained cutoff: {inert}")


if __name__ == "__main__":
    main()
