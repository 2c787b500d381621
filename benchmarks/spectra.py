"""Spectra of many radii against the published way, and their cost by number of molecules.

All in this process, one thread, wall clock and CPU seconds:

- ``published``: one structure and one radius at a time: edges of the radius graph (ours,
  without the published cap of neighbours), PyTorch Geometric's sparse Laplacian with
  symmetric normalisation, made dense, `numpy.linalg.eigvals`, real parts sorted
  (arXiv 2503.08674 and its released code, which uses these functions);
- ``scipy``: the same with scipy's own sparse Laplacian, which is leaner;
- ``eigvalsh``: that with `numpy.linalg.eigvalsh`;
- ``ours``: `mlffbench.core.spectrum.spectra`, all structures and radii in one call.

Molecules are random chains of 10 to 60 atoms, 1.5 Å from neighbour to neighbour and none
closer than 1 Å.

Usage: python benchmarks/spectra.py [--device cuda]
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.sparse
import torch
from torch_geometric.utils import get_laplacian, to_scipy_sparse_matrix
from usage import tell_usage

from mlffbench.core.graph import radius_graph
from mlffbench.core.spectrum import spectra
from mlffbench.core.structures import Structures

RADII = np.linspace(3.0, 6.0, 10).tolist()
N_MOLECULES = 1000
SIZES = (1000, 4000, 16000)
Result = TypeVar("Result")


def chain(n_atoms: int, generator: np.random.Generator) -> np.ndarray:
    """Return a random walk that keeps its distance from itself."""
    points = np.zeros((n_atoms, 3))
    for place in range(1, n_atoms):
        while True:
            step = generator.normal(size=3)
            point = points[place - 1] + 1.5 * step / np.linalg.norm(step)
            if np.linalg.norm(points[:place] - point, axis=1).min() > 1.0:
                break
        points[place] = point
    return points


def molecules(count: int) -> Structures:
    """Return chains; the first ones are the same whatever the count."""
    generator = np.random.default_rng(0)
    positions = [
        torch.from_numpy(chain(int(n), generator))
        for n in generator.integers(10, 61, count)
    ]
    return Structures.build(
        positions,
        [torch.full((len(points),), 6) for points in positions],
        ids=[str(number) for number in range(count)],
    )


Dense = Callable[[torch.Tensor, int], np.ndarray]
Solve = Callable[[np.ndarray], np.ndarray]


def by_geometric(edges: torch.Tensor, n_atoms: int) -> np.ndarray:
    """Return the Laplacian as PyTorch Geometric makes it."""
    index, weight = get_laplacian(
        edges, normalization="sym", dtype=torch.float64, num_nodes=n_atoms
    )
    return to_scipy_sparse_matrix(index, weight, n_atoms).toarray()


def by_scipy(edges: torch.Tensor, n_atoms: int) -> np.ndarray:
    """Return the Laplacian as scipy makes it."""
    ones = np.ones(edges.shape[1])
    shape = (n_atoms, n_atoms)
    adjacency = scipy.sparse.coo_array((ones, edges.numpy()), shape=shape).tocsr()
    return scipy.sparse.csgraph.laplacian(adjacency, normed=True).toarray()


def one_by_one(structures: Structures, dense: Dense, solve: Solve) -> list:
    """Return spectra by radius and structure, one at a time."""
    singles = [structures.select([place]) for place in range(structures.n_systems)]
    return [
        [
            np.sort(solve(dense(radius_graph(one, radius).edges, one.n_atoms)).real)
            for one in singles
        ]
        for radius in RADII
    ]


def timed(work: Callable[[], Result]) -> tuple[Result, float, float]:
    """Return what came of some work, its wall and its CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Print the ratios."""
    torch.set_num_threads(1)
    device = sys.argv[2] if sys.argv[1:2] == ["--device"] else "cpu"
    structures = molecules(N_MOLECULES)
    there = structures.to(device=device)
    spectra(there.select(range(8)), RADII)  # warm up
    ours, wall_s, cpu_s = timed(lambda: spectra(there, RADII))
    print(f"{N_MOLECULES} molecules of 10-60 atoms x {len(RADII)} radii, {device}")
    print(f"ours       {wall_s:7.2f} s ({cpu_s:.2f} s CPU)")
    for name, dense, solve in (
        ("published", by_geometric, np.linalg.eigvals),
        ("scipy", by_scipy, np.linalg.eigvals),
        ("eigvalsh", by_scipy, np.linalg.eigvalsh),
    ):
        theirs, their_wall_s, their_cpu_s = timed(
            lambda d=dense, s=solve: one_by_one(structures, d, s)
        )
        worst = max(
            float(
                np.abs(ours.eigenvalues[row, place].cpu().numpy()[: len(one)] - one).max()
            )
            for row, found in enumerate(theirs)
            for place, one in enumerate(found)
        )
        ratio = f"{their_wall_s / wall_s:.1f}x ({their_cpu_s / cpu_s:.1f}x CPU)"
        print(
            f"{name:10} {their_wall_s:7.2f} s ({their_cpu_s:.2f} s CPU): {ratio}; "
            f"largest difference {worst:.1e}"
        )
    smallest = None
    for count in SIZES:
        more = molecules(count).to(device=device)
        _, wall_s, cpu_s = timed(lambda m=more: spectra(m, RADII))
        smallest = smallest or cpu_s
        print(
            f"{count:6} molecules {wall_s:7.2f} s ({cpu_s:.2f} s CPU), "
            f"{1000 * cpu_s / count:.3f} ms each, "
            f"{cpu_s / smallest / (count / SIZES[0]):.2f} of linear"
        )


if __name__ == "__main__":
    tell_usage(__doc__)
    main()
