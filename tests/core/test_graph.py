"""Neighbour lists against ASE's, an independent implementation."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.neighborlist import primitive_neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from mlffbench.core import graph as graph_module
from mlffbench.core.errors import DataError
from mlffbench.core.graph import Graph, radius_graph
from mlffbench.core.structures import Structures

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**31)


def structure(positions, cell=None, pbc=(False, False, False), name="one"):
    positions = torch.as_tensor(positions, dtype=torch.float64).reshape(-1, 3)
    return Structures.build(
        [positions],
        [torch.full((len(positions),), 6)],
        ids=[name],
        cell=None if cell is None else torch.as_tensor(cell, dtype=torch.float64)[None],
        pbc=torch.tensor([pbc]),
    )


def random_structure(seed, *, n_atoms, pbc=(False, False, False), width=4.0, tilt=0.6):
    """Atoms in and around a random, tilted and turned cell."""
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(0.6, 1.2, 3)) + rng.uniform(-tilt, tilt, (3, 3)) * (
        1 - np.eye(3)
    )
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    cell = width * cell @ turn
    positions = rng.uniform(-0.5, 1.5, (n_atoms, 3)) @ cell
    return structure(positions, cell, pbc, name=str(seed))


def oracle(system, cutoff):
    """Rows (centre, neighbour, shift) of ASE, in our order."""
    centre, neighbour, shift = primitive_neighbor_list(
        "ijS",
        system.pbc[0].numpy(),
        system.cell[0].numpy() if system.pbc.any() else np.eye(3),
        system.positions.numpy(),
        cutoff,
    )
    rows = np.column_stack([centre, neighbour, shift])
    return rows[np.lexsort(rows.T[::-1])]


def rows_of(graph):
    return torch.cat([graph.edges.T, graph.shifts], dim=1).numpy()


@few
@given(seed=seeds, n_atoms=st.integers(1, 30), cutoff=st.floats(0.5, 12.0))
def test_molecules_like_ase(seed, n_atoms, cutoff):
    molecule = random_structure(seed, n_atoms=n_atoms)
    found = radius_graph(molecule, cutoff)
    np.testing.assert_array_equal(rows_of(found), oracle(molecule, cutoff))


@few
@given(
    seed=seeds,
    n_atoms=st.integers(1, 6),
    cutoff=st.floats(0.5, 5.0),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_cells_like_ase(seed, n_atoms, cutoff, pbc):
    crystal = random_structure(seed, n_atoms=n_atoms, pbc=pbc)
    found = radius_graph(crystal, cutoff)
    np.testing.assert_array_equal(rows_of(found), oracle(crystal, cutoff))


def test_cell_much_smaller_than_the_cutoff():
    crystal = random_structure(3, n_atoms=2, pbc=(True, True, True), width=1.8)
    found = radius_graph(crystal, 6.0)
    np.testing.assert_array_equal(rows_of(found), oracle(crystal, 6.0))
    assert found.shifts.abs().max() > 2
    # An atom and its own image are an edge, an atom and itself are not.
    self_edges = found.edges[0] == found.edges[1]
    assert self_edges.any()
    assert found.shifts[self_edges].any(dim=1).all()


@pytest.mark.parametrize("pbc", [(False,) * 3, (True, False, True), (True,) * 3])
def test_vectors_like_ase(pbc):
    system = random_structure(7, n_atoms=8, pbc=pbc)
    found = radius_graph(system, 4.0)
    vectors = found.vectors(system)
    centre, neighbour, shift, expected = primitive_neighbor_list(
        "ijSD", np.array(pbc), system.cell[0].numpy(), system.positions.numpy(), 4.0
    )
    order = np.lexsort(np.column_stack([centre, neighbour, shift]).T[::-1])
    np.testing.assert_allclose(vectors.numpy(), expected[order], atol=1e-12)
    assert (vectors.norm(dim=1) < 4.0).all()


def test_every_edge_has_its_reverse():
    found = rows_of(radius_graph(random_structure(5, n_atoms=6, pbc=(True,) * 3), 4.0))
    reverse = np.column_stack([found[:, 1], found[:, 0], -found[:, 2:]])
    assert {tuple(row) for row in reverse} == {tuple(row) for row in found}


def mixed_batch():
    combinations = list(itertools.product([False, True], repeat=3))
    systems = [
        random_structure(index, n_atoms=1 + 5 * (index % 4), pbc=pbc)
        for index, pbc in enumerate(combinations)
    ]
    systems += [random_structure(90 + n, n_atoms=n) for n in (1, 40, 3, 17)]
    return systems


def test_edges_do_not_depend_on_the_batch():
    systems = mixed_batch()
    together = rows_of(radius_graph(Structures.concatenate(systems), 3.5))
    alone, offset = [], 0
    for system in systems:
        rows = rows_of(radius_graph(system, 3.5))
        alone.append(rows + np.array([offset, offset, 0, 0, 0]))
        offset += system.n_atoms
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_edges_do_not_depend_on_chunks(monkeypatch):
    batch = Structures.concatenate(mixed_batch())
    whole = rows_of(radius_graph(batch, 3.5))
    monkeypatch.setattr(graph_module, "MAX_DENSE_PAIRS", 64)
    np.testing.assert_array_equal(rows_of(radius_graph(batch, 3.5)), whole)
    monkeypatch.setattr(graph_module, "MAX_DENSE_ATOMS", 10)
    np.testing.assert_array_equal(rows_of(radius_graph(batch, 3.5)), whole)


def test_large_molecule_has_no_neighbour_cap():
    n_atoms = graph_module.MAX_DENSE_ATOMS + 50
    cluster = random_structure(11, n_atoms=n_atoms, width=6.0)
    distances = np.linalg.norm(
        cluster.positions[:, None].numpy() - cluster.positions[None].numpy(), axis=2
    )
    near = (distances < 9.0) & ~np.eye(n_atoms, dtype=bool)
    assert near.sum(1).max() > 200
    found = radius_graph(cluster, 9.0)
    np.testing.assert_array_equal(found.edges.numpy(), np.stack(np.nonzero(near)))


@few
@given(seed=seeds)
def test_rotation_changes_nothing(seed):
    system = random_structure(seed, n_atoms=5, pbc=(True, True, False))
    turn, _ = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(3, 3)))
    turned = structure(
        system.positions.numpy() @ turn,
        system.cell[0].numpy() @ turn,
        (True, True, False),
    )
    np.testing.assert_array_equal(
        rows_of(radius_graph(turned, 3.0)), rows_of(radius_graph(system, 3.0))
    )


@pytest.mark.parametrize("pbc", [(False,) * 3, (True,) * 3])
def test_a_distance_equal_to_the_cutoff_is_no_edge(pbc):
    pair = structure([[0, 0, 0], [1.5, 0, 0]], 10 * torch.eye(3), pbc)
    assert radius_graph(pair, 1.5).n_edges == 0
    assert radius_graph(pair, math.nextafter(1.5, 2)).n_edges == 2


@pytest.mark.parametrize("pbc", [(False,) * 3, (True,) * 3])
def test_collapsed_atoms_are_an_edge(pbc):
    pair = structure([[1.0, 1, 1], [1, 1, 1]], 10 * torch.eye(3), pbc)
    found = radius_graph(pair, 2.0)
    assert found.edges.tolist() == [[0, 1], [1, 0]]
    assert not found.vectors(pair).any()


def test_distances_far_from_the_origin_are_exact():
    # Where the matrix-product way of cdist is off by more than a bond length.
    grid = torch.cartesian_prod(*[torch.arange(4.0, dtype=torch.float64)] * 3)
    near, far = structure(grid), structure(grid + 2.0**26)
    assert radius_graph(near, 1.0).n_edges == 0
    found = radius_graph(far, 1.01)
    assert found.n_edges == 2 * 3 * 4 * 4 * 3
    assert torch.equal(found.edges, radius_graph(near, 1.01).edges)


def test_edges_do_not_depend_on_the_dtype():
    batch = Structures.concatenate(mixed_batch()).to(dtype=torch.float32)
    single = radius_graph(batch, 3.5)
    double = radius_graph(batch.to(dtype=torch.float64), 3.5)
    np.testing.assert_array_equal(rows_of(single), rows_of(double))
    assert single.vectors(batch).dtype == torch.float32


def test_gradients_flow_to_positions_and_cells():
    batch = Structures.concatenate(
        [random_structure(1, n_atoms=3, pbc=(True,) * 3), random_structure(2, n_atoms=3)]
    )
    found = radius_graph(batch, 3.0)
    assert found.shifts.any()

    def vectors(positions, cell):
        return found.vectors(replace(batch, positions=positions, cell=cell))

    inputs = (
        batch.positions.clone().requires_grad_(),
        batch.cell.clone().requires_grad_(),
    )
    assert torch.autograd.gradcheck(vectors, inputs)


def test_graph_of_differentiable_structures_carries_no_gradient():
    positions = torch.rand((4, 3), dtype=torch.float64, requires_grad=True)
    system = Structures.build([positions], [torch.full((4,), 6)], ids=["a"])
    found = radius_graph(system, 2.0)
    assert not found.edges.requires_grad
    assert found.vectors(system).requires_grad


@pytest.mark.parametrize("n_systems", [0, 3])
def test_batches_without_atoms(n_systems):
    nothing = [torch.zeros((0, 3))] * n_systems
    batch = Structures.build(
        nothing, [torch.zeros(0)] * n_systems, ids=[str(i) for i in range(n_systems)]
    )
    found = radius_graph(batch, 5.0)
    assert found.edges.shape == (2, 0)
    assert found.vectors(batch).shape == (0, 3)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, math.nan, math.inf])
def test_a_cutoff_that_is_no_radius(cutoff):
    with pytest.raises(DataError, match="give a positive, finite number"):
        radius_graph(structure([[0, 0, 0]]), cutoff)


def test_positions_that_are_not_finite_are_named():
    good, bad = structure([[0, 0, 0]], name="good"), structure([[0, 0, 0]], name="bad")
    bad.positions[0, 1] = math.nan
    with pytest.raises(DataError, match="'bad' has positions that are not finite"):
        radius_graph(Structures.concatenate([good, bad]), 3.0)


@pytest.mark.parametrize(
    ("cell", "pbc"),
    [
        (torch.zeros(3, 3), (True, True, True)),
        (torch.diag(torch.tensor([4.0, 4.0, 0.0])), (True, True, True)),
        (torch.tensor([[1.0, 0, 0], [2, 0, 0], [0, 0, 3]]), (True, True, False)),
        (torch.full((3, 3), math.nan), (True, False, False)),
    ],
)
def test_cells_that_do_not_span(cell, pbc):
    with pytest.raises(DataError, match="'one' is periodic, but its lattice vectors"):
        radius_graph(structure([[0, 0, 0]], cell, pbc), 3.0)


def test_a_chain_needs_one_lattice_vector_only():
    cell = torch.diag(torch.tensor([2.0, 0.0, 0.0]))
    chain = structure([[0, 0, 0]], cell, (True, False, False))
    assert radius_graph(chain, 3.0).shifts.tolist() == [[-1, 0, 0], [1, 0, 0]]


def test_graph_refuses_what_is_no_graph():
    edges, shifts = torch.zeros((2, 3)).long(), torch.zeros((3, 3)).long()
    assert Graph(edges=edges, shifts=shifts, cutoff=1.0).n_edges == 3
    with pytest.raises(DataError, match=r"Graph.shifts"):
        Graph(edges=edges, shifts=shifts[:2], cutoff=1.0)
    with pytest.raises(DataError, match=r"Graph.edges is torch.float32"):
        Graph(edges=edges.float(), shifts=shifts, cutoff=1.0)


@pytest.mark.gpu
def test_edges_on_cuda():
    batch = Structures.concatenate(mixed_batch())
    found = radius_graph(batch.to(device="cuda"), 3.5)
    assert found.edges.is_cuda
    assert found.shifts.is_cuda
    assert torch.equal(found.edges.cpu(), radius_graph(batch, 3.5).edges)
