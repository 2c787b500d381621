"""Spectra against closed forms and against numpy, one graph at a time."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlffbench.core.errors import DataError
from mlffbench.core.graph import MAX_DENSE_ATOMS, radius_graph
from mlffbench.core.spectrum import (
    N_QUANTILES,
    SpectralReference,
    quantile_functions,
    spectra,
)
from mlffbench.core.structures import Structures

few = settings(max_examples=25, deadline=None, derandomize=True)
GRID = (1.0, 1.5, 2.2, 3.0, 4.5)


def batch(*positions):
    points = [torch.as_tensor(p, dtype=torch.float64).reshape(-1, 3) for p in positions]
    return Structures.build(
        points,
        [torch.full((len(p),), 6) for p in points],
        ids=[f"s{place}" for place in range(len(points))],
    )


def crystal(length, *, pbc=(True, True, True)):
    return Structures.build(
        [torch.tensor([[0.0, 0, 0], [length / 2] * 3], dtype=torch.float64)],
        [torch.tensor([6, 6])],
        ids=["crystal"],
        cell=torch.eye(3, dtype=torch.float64)[None] * length,
        pbc=torch.tensor([pbc]),
    )


def line(n):
    return [[float(place), 0.0, 0.0] for place in range(n)]


def ring(n):
    """Corners of a regular polygon of side 1."""
    radius = 0.5 / math.sin(math.pi / n)
    turns = 2 * math.pi * np.arange(n) / n
    return np.stack([radius * np.cos(turns), radius * np.sin(turns), 0 * turns], 1)


def star(n_leaves):
    """A centre and leaves 1 Å from it, more than 1 Å from each other."""
    leaves = np.concatenate([np.eye(3), -np.eye(3)])[:n_leaves]
    return np.concatenate([np.zeros((1, 3)), leaves])


def only(structures, cutoff):
    return spectra(structures, [cutoff]).eigenvalues[0, 0].tolist()


def by_numpy(structures, cutoff):
    """Return the spectrum of one structure, written down from the definition."""
    points = structures.positions.double().numpy()
    n_atoms = len(points)
    adjacency = np.zeros((n_atoms, n_atoms))
    for i in range(n_atoms):
        for j in range(n_atoms):
            near = math.dist(points[i], points[j]) < cutoff
            adjacency[i, j] = float(i != j and near)
    degree = adjacency.sum(1)
    laplacian = np.zeros((n_atoms, n_atoms))
    for i in range(n_atoms):
        for j in range(n_atoms):
            if i == j and degree[i] > 0:
                laplacian[i, j] = 1.0
            elif adjacency[i, j]:
                laplacian[i, j] = -1.0 / math.sqrt(degree[i] * degree[j])
    return np.sort(np.linalg.eigvalsh(laplacian))


@pytest.mark.parametrize("n", [2, 3, 7, 12])
def test_a_complete_graph_has_one_zero_and_n_over_n_minus_1(n):
    close = np.random.default_rng(n).uniform(0, 0.5, (n, 3))
    assert only(batch(close), 3.0) == pytest.approx([0.0] + [n / (n - 1)] * (n - 1))


@pytest.mark.parametrize("n", [2, 3, 8, 21])
def test_a_path_has_one_minus_cosines(n):
    expected = [1 - math.cos(math.pi * k / (n - 1)) for k in range(n)]
    assert only(batch(line(n)), 1.5) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [4, 5, 9, 16])
def test_a_cycle_has_one_minus_cosines_of_full_turns(n):
    expected = sorted(1 - math.cos(2 * math.pi * k / n) for k in range(n))
    assert only(batch(ring(n)), 1.05) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n_leaves", [2, 3, 6])
def test_a_star_has_zero_ones_and_two(n_leaves):
    expected = [0.0] + [1.0] * (n_leaves - 1) + [2.0]
    assert only(batch(star(n_leaves)), 1.05) == pytest.approx(expected, abs=1e-12)


def test_an_isolated_atom_counts_as_a_component_with_eigenvalue_zero():
    far = [[0.0, 0, 0], [1.0, 0, 0], [50.0, 0, 0]]
    found = spectra(batch(far, [[0.0, 0, 0]]), [1.5])
    assert found.eigenvalues[0, 0].tolist() == [0.0, 0.0, 2.0]
    assert found.eigenvalues[0, 1, 0] == 0
    assert found.eigenvalues[0, 1, 1:].isnan().all()
    assert found.components().tolist() == [[2, 1]]
    gap = found.gap()[0]
    assert gap[0] == 2
    assert gap[1].isnan()  # a lone atom has no gap
    assert found.mean_degree().tolist() == [[pytest.approx(2 / 3), 0.0]]


def test_an_empty_structure_and_an_empty_batch_have_no_eigenvalues():
    with_empty = spectra(batch(np.zeros((0, 3)), line(2)), [1.5])
    assert with_empty.eigenvalues[0].isnan().tolist() == [[True] * 2, [False] * 2]
    assert with_empty.mean_degree()[0, 0].isnan()
    nothing = spectra(batch(), [1.5, 2.5])
    assert nothing.eigenvalues.shape == (2, 0, 0)
    assert nothing.gap().shape == (2, 0)
    alone = spectra(batch(np.zeros((0, 3))), [1.5])
    assert alone.gap().isnan().all()
    assert quantile_functions(alone).isnan().all()
    assert spectra(batch(line(3)), []).eigenvalues.shape == (0, 1, 3)


@few
@given(st.integers(0, 2**31))
def test_random_graphs_agree_with_numpy_and_with_the_radius_graph(seed):
    rng = np.random.default_rng(seed)
    parts = [rng.uniform(0, 4, (n, 3)) for n in rng.integers(1, 14, 5)]
    structures = batch(*parts)
    found = spectra(structures, GRID)
    for row, cutoff in enumerate(GRID):
        graph = radius_graph(structures, cutoff)
        counts = torch.bincount(structures.system[graph.edges[0]], minlength=5)
        assert found.n_edges[row].tolist() == counts.tolist()
        for system, part in enumerate(parts):
            mine = found.eigenvalues[row, system]
            expected = by_numpy(batch(part), cutoff)
            np.testing.assert_allclose(mine[: len(part)], expected, atol=1e-12)
            assert mine[len(part) :].isnan().all()


@few
@given(st.integers(0, 2**31))
def test_neither_the_order_of_radii_nor_companions_change_a_digit(seed):
    rng = np.random.default_rng(seed)
    parts = [rng.uniform(0, 4, (n, 3)) for n in (6, 9, 6, 3)]
    together = spectra(batch(*parts), GRID)
    shuffled = rng.permutation(len(GRID))
    mixed = spectra(batch(*parts), [GRID[place] for place in shuffled])
    expected = together.eigenvalues[torch.tensor(shuffled)]
    torch.testing.assert_close(
        mixed.eigenvalues, expected, rtol=0, atol=0, equal_nan=True
    )
    for system, part in enumerate(parts):
        alone = spectra(batch(part), GRID).eigenvalues[:, 0]
        mine = together.eigenvalues[:, system, : len(part)]
        torch.testing.assert_close(mine, alone, rtol=0, atol=1e-13)


def test_a_large_molecule_goes_through_the_cell_list_with_the_same_result():
    n = MAX_DENSE_ATOMS + 3
    expected = [1 - math.cos(math.pi * k / (n - 1)) for k in range(n)]
    assert only(batch(line(n)), 1.5) == pytest.approx(expected, abs=1e-10)


def test_a_periodic_graph_joins_nearest_images():
    # a body-centred cell: the two atoms see each other, in whatever image
    assert only(crystal(4.0), 3.8) == pytest.approx([0.0, 2.0])
    with pytest.raises(DataError, match="its own neighbour; give a supercell"):
        spectra(crystal(4.0), [3.0, 4.5])


def test_float32_is_close_and_counts_components_alike():
    rng = np.random.default_rng(5)
    structures = batch(*[rng.uniform(0, 5, (n, 3)) for n in (20, 31, 44)])
    exact, rough = (
        spectra(structures, GRID, dtype=d) for d in (torch.float64, torch.float32)
    )
    assert rough.eigenvalues.dtype == torch.float32
    there = ~exact.eigenvalues.isnan()
    error = (exact.eigenvalues - rough.eigenvalues)[there].abs().max()
    assert error < 1e-5
    assert rough.components().tolist() == exact.components().tolist()


@pytest.mark.parametrize("cutoff", [0.0, -1.0, math.nan, math.inf])
def test_a_cutoff_that_is_no_radius_is_refused(cutoff):
    with pytest.raises(DataError, match="is no radius"):
        spectra(batch(line(3)), [2.0, cutoff])


def test_positions_that_are_not_finite_are_refused_by_name():
    with pytest.raises(DataError, match="structure 's1' has positions"):
        spectra(batch(line(2), [[math.nan, 0, 0]]), [2.0])


def test_the_reference_is_the_mean_of_padded_spectra():
    reference = SpectralReference.of(batch(line(2), line(3)), 1.5)
    assert reference.mean == pytest.approx((0.0, 1.5, 1.0))  # of (0, 2, 0) and (0, 1, 2)
    assert reference.n_structures == 2
    found = spectra(batch(line(2), line(4)), [1.5])
    # spectra (0, 2) and (0, 1/2, 3/2, 2), the shorter always with zeros behind
    expected = [math.hypot(0.5, 1.0), math.hypot(1.0, 0.5, 2.0)]
    assert reference.padded_l2(found)[0].tolist() == pytest.approx(expected)


def test_a_single_training_graph_is_at_no_distance_from_itself():
    structures = batch(ring(6))
    reference = SpectralReference.of(structures, 1.05)
    found = spectra(structures, [1.05, 1.8])
    for distance in (reference.padded_l2(found), reference.quantile(found)):
        assert distance[0, 0] == 0
        assert distance[1, 0] > 0.1


def test_the_quantile_distance_is_wasserstein_and_does_not_see_size():
    from scipy.stats import wasserstein_distance

    small, large = batch(ring(8)), batch(ring(64))
    reference = SpectralReference.of(small, 1.05)
    assert N_QUANTILES % 8 == 0
    found = spectra(large, [1.05])
    expected = wasserstein_distance(only(small, 1.05), only(large, 1.05))
    assert reference.quantile(found).item() == pytest.approx(expected, abs=1e-12)
    assert reference.quantile(found).item() < 0.1 * reference.padded_l2(found).item()


def test_a_reference_survives_json_and_nothing_else_is_taken_for_one():
    reference = SpectralReference.of(batch(line(2), ring(6)), 1.5)
    content = json.loads(json.dumps(reference.as_json()))
    assert SpectralReference.from_json(content) == reference
    for wrong in (
        None,
        [],
        {},
        {**content, "more": 1},
        {**content, "mean": None},
        {**content, "cutoff": "4.5"},
        {**content, "quantiles": content["quantiles"][1:]},
        {**content, "mean": [math.nan]},
    ):
        assert SpectralReference.from_json(wrong) is None


def test_a_training_set_without_structures_is_refused():
    with pytest.raises(DataError, match="has no mean spectrum"):
        SpectralReference.of(batch(), 4.5)


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu():
    rng = np.random.default_rng(7)
    structures = batch(*[rng.uniform(0, 5, (n, 3)) for n in (20, 31, 44)])
    on_gpu = spectra(structures.to(device="cuda"), GRID)
    expected = spectra(structures, GRID).eigenvalues
    torch.testing.assert_close(
        on_gpu.eigenvalues.cpu(), expected, rtol=0, atol=1e-10, equal_nan=True
    )
