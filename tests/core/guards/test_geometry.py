"""Cells flatter than an atom, and structures that float32 cannot hold."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlffbench.core.assembly import refusals
from mlffbench.core.card import ModelCard
from mlffbench.core.errors import DataError
from mlffbench.core.graph import radius_graph
from mlffbench.core.guards.geometry import (
    MOST_PAIRS,
    fault_of_cell,
    heights,
    impossible,
    n_pairs,
)
from mlffbench.core.structures import FAR, Structures
from mlffbench.models.physics.sanity import collapsed


def batch(positions: torch.Tensor, cell: torch.Tensor | None = None) -> Structures:
    pbc = None if cell is None else torch.ones((1, 3), dtype=torch.bool)
    return Structures.build(
        [positions.double()],
        [torch.ones(len(positions), dtype=torch.int64)],
        ids=["one"],
        cell=None if cell is None else cell.double()[None],
        pbc=pbc,
    )


def test_heights_of_a_skew_cell() -> None:
    cell = np.array([[4.0, 0, 0], [4.0, 3.0, 0], [0, 0, 7.0]])
    assert heights(cell) == pytest.approx([12 / 5, 3, 7])
    assert heights(cell[:2]) == pytest.approx([12 / 5, 3])
    assert heights(cell[2:]) == pytest.approx([7])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-9, 9), min_size=9, max_size=9))
def test_any_nine_numbers_are_a_cell_or_a_sentence(values: list[float]) -> None:
    cell = np.array(values).reshape(3, 3)
    fault = fault_of_cell(cell)
    assert fault or heights(cell).min() >= 0.5
    if not fault:
        volume = abs(np.linalg.det(cell))
        area = np.linalg.norm(np.cross(cell[1], cell[2]))
        assert heights(cell)[0] == pytest.approx(volume / area)


@pytest.mark.parametrize("value", [1e-7, 1e-300, 0.0, np.nan, np.inf, 1e308])
def test_extreme_cells_are_sentences(value: float) -> None:
    assert fault_of_cell(np.diag([6.0, 6.0, value])) or value == 1e308
    assert fault_of_cell(np.full((3, 3), value))


def test_a_flat_cell_has_no_graph() -> None:
    flat = batch(torch.zeros((2, 3)), torch.diag(torch.tensor([6.0, 6.0, 1e-7])))
    with pytest.raises(DataError, match=r"1e-07 Å thin, flatter than any atom .*; give"):
        radius_graph(flat, 5.0)


def test_too_many_images_are_a_sentence() -> None:
    crowd = batch(torch.rand((500, 3)), torch.eye(3))
    with pytest.raises(DataError, match="a cell so small that within 6 Å"):
        radius_graph(crowd, 6.0)
    assert radius_graph(batch(torch.zeros((1, 3)), torch.eye(3)), 6.0).edges.shape[1] > 0


def test_what_is_far_out_comes_near_and_keeps_its_shape() -> None:
    near = batch(torch.rand((4, 3)))
    assert near.near_origin() is near
    assert torch.equal(near.to(dtype=torch.float32).positions, near.positions.float())
    far = batch(near.positions + 1e6)
    shown = far.to(dtype=torch.float32)
    assert shown.positions.norm(dim=1).max() < FAR
    apart = torch.cdist(shown.positions.double(), shown.positions.double())
    assert torch.allclose(apart, torch.cdist(near.positions, near.positions), atol=1e-6)
    assert torch.equal(far.to(dtype=torch.float64).positions, far.positions)
    assert impossible(far) == {}


def test_no_structure_at_all_is_fine() -> None:
    empty = batch(torch.rand((4, 3))).select([])
    assert impossible(empty) == {}
    assert empty.near_origin().n_systems == 0


def test_what_is_no_structure_is_refused_by_every_adapter() -> None:
    flat = batch(torch.zeros((2, 3)), torch.diag(torch.tensor([6.0, 6.0, 1e-7])))
    card = ModelCard(elements=frozenset({1}), charges=None, periodic=True)
    reason = "its cell is 1e-07 Å thin, flatter than any atom"
    assert refusals(flat, card) == collapsed(flat) == {0: reason}
    close = batch(torch.tensor([[0.0, 0, 0], [0, 0, 0.1]]))
    assert collapsed(Structures.concatenate([flat, close])) == {
        0: reason,
        1: "collapsed: H–H at 0.10 Å",
    }


@pytest.mark.parametrize("periodic", [1, 2, 3])
def test_pairs_are_counted_as_far_as_the_cutoff_reaches(periodic: int) -> None:
    vectors = np.diag([40.0, 40.0, 40.0])[:periodic]
    at = np.random.default_rng(0).uniform(0, 40, (900, periodic))
    found = 0
    for image in product((-40.0, 0.0, 40.0), repeat=periodic):
        apart = at[:, None] - at - np.array(image)
        found += int((np.linalg.norm(apart, axis=-1) < 4).sum())
    assert n_pairs(vectors, 900, cutoff=4.0) == pytest.approx(found - 900, rel=0.15)


def test_a_large_cell_of_water_has_a_neighbour_list() -> None:
    assert n_pairs(np.diag([80.0, 80.0, 80.0]), 50_000, cutoff=6.0) < MOST_PAIRS
