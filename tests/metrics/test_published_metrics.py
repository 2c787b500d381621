"""The quantities of the paper against their definitions, written out by hand."""

import doctest

import numpy as np
import torch
from metric_batches import random_batch

from mlffbench.core.spectrum import share_near_one
from mlffbench.core.structures import Structures
from mlffbench.metrics import published
from mlffbench.metrics.published import (
    CONNECTIVITY_EDGES,
    CUTOFF,
    MEAN_NORM_EDGES,
    bin_labels,
    forces_good_share,
    forces_mae_by_connectivity,
    forces_mae_by_mean_norm,
    forces_mae_structure_by_connectivity,
    forces_mae_structure_by_mean_norm,
)


def share_by_hand(positions: np.ndarray) -> float:
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    near = ((apart < 5.0) & (apart > 0)).astype(float)
    degree = near.sum(1)
    root = np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1)), 0)
    laplacian = np.diag((degree > 0).astype(float)) - root[:, None] * near * root
    values = np.linalg.eigvalsh(laplacian)
    return float(((values >= 0.9) & (values <= 1.1)).mean())


def test_the_share_near_one_and_the_bins_of_graphs() -> None:
    structures, prediction, reference = random_batch(7)
    pieces = torch.split(structures.positions, structures.sizes.tolist())
    shares = share_near_one(structures, CUTOFF)
    for piece, share in zip(pieces, shares, strict=True):
        assert share == share_by_hand(piece.numpy())
    parts = forces_mae_by_connectivity(prediction, reference, structures)
    assert tuple(parts) == bin_labels(CONNECTIVITY_EDGES)
    inner = CONNECTIVITY_EDGES[1:-1]
    for number, part in enumerate(parts.values()):
        mine = [sum(share >= edge for edge in inner) == number for share in shares]
        assert (part.evaluated == np.array(mine)).all()


def test_a_share_at_the_edge_does_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(4)
    near = [
        torch.tensor(rng.uniform(size=(11, 3))) for _ in range(9)
    ]  # all see each other
    numbers = [torch.full((11,), 6)] * 9
    together = Structures.build(near, numbers, ids=[str(i) for i in range(9)])
    alone = [share_near_one(together.select([i]), CUTOFF)[0] for i in range(9)]
    assert alone == share_near_one(together, CUTOFF).tolist() == [10 / 11] * 9


def test_bins_of_mean_norms_pooled_and_per_structure() -> None:
    structures, prediction, reference = random_batch(8)
    pooled = forces_mae_by_mean_norm(prediction, reference, structures)
    each = forces_mae_structure_by_mean_norm(prediction, reference, structures)
    assert tuple(pooled) == tuple(each) == bin_labels(MEAN_NORM_EDGES)
    seen = np.zeros(structures.n_systems, dtype=int)
    for label, part in pooled.items():
        seen += part.evaluated
        assert set(np.unique(each[label].weight)) <= {0.0, 1.0}
        np.testing.assert_array_equal(each[label].value, part.value)
        sizes = structures.sizes.numpy()[part.evaluated]
        np.testing.assert_array_equal(part.weight[part.evaluated], 3.0 * sizes)
    assert (seen == 1).all()
    forces = torch.split(reference.forces, structures.sizes.tolist())
    first = float(forces[0].norm(dim=1).mean())
    inner = MEAN_NORM_EDGES[1:-1]
    place = sum(first >= edge for edge in inner)
    assert list(pooled.values())[place].evaluated[0]


def test_the_share_below_25() -> None:
    structures, prediction, reference = random_batch(9)
    [samples] = forces_good_share(prediction, reference, structures).values()
    system = structures.system.numpy()
    error = np.abs((prediction.forces - reference.forces).numpy()).mean(1)
    for place in range(structures.n_systems):
        good = error[system == place].mean() < 0.025
        assert samples.value[place] == float(good)


def test_a_cell_that_is_too_small_is_missing() -> None:
    cell = Structures.build(
        [torch.zeros(1, 3, dtype=torch.float64)],
        [torch.tensor([6])],
        ids=["crystal"],
        cell=torch.eye(3, dtype=torch.float64)[None] * 2,
        pbc=torch.ones(1, 3, dtype=torch.bool),
    )
    structures, prediction, reference = random_batch(3)
    both = Structures.concatenate([cell, structures])
    shares = share_near_one(both, CUTOFF)
    assert np.isnan(shares[0])
    np.testing.assert_array_equal(shares[1:], share_near_one(structures, CUTOFF))
    parts = forces_mae_structure_by_connectivity(prediction, reference, structures)
    assert sum(part.evaluated.sum() for part in parts.values()) == structures.n_systems


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(published).failed == 0
