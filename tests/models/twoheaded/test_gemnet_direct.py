"""GemNet-dT: direct forces and a cap on neighbours, untrained and in float64."""

from typing import Any

import numpy as np
import pytest
import torch
from ase.build import molecule
from small_gemnet import built, crystal, place

from mlffbench.core.graph import radius_graph
from mlffbench.core.structures import Structures
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.models.twoheaded.neighbour_cap import capped
from mlffbench.refine.ttt import PriorTuning

DIRECT = built(direct_forces=True)
CAPPED = built(direct_forces=True, max_neighbours=3)


def rattled(name: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    atoms = molecule(name)
    noise = np.random.default_rng(seed).normal(scale=0.05, size=atoms.positions.shape)
    return atoms.positions + noise, atoms.numbers


@pytest.mark.parametrize("model", [DIRECT, CAPPED], ids=["all", "capped"])
def test_direct_forces_turn_with_the_molecule_and_follow_the_order(
    model: TwoHeaded,
) -> None:
    positions, numbers = rattled("CH3CH2OH")
    here = model.predict(place(positions, numbers))
    assert float(here.forces.abs().max()) > 1e-3
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    for matrix in (turn, -turn):  # one of them is a reflection
        there = model.predict(place(positions @ matrix + 5.0, numbers))
        torch.testing.assert_close(there.energy, here.energy, atol=1e-10, rtol=0)
        expected = here.forces @ torch.tensor(matrix)
        torch.testing.assert_close(there.forces, expected, atol=1e-9, rtol=0)
    order = np.random.default_rng(2).permutation(len(numbers))
    there = model.predict(place(positions[order], numbers[order]))
    torch.testing.assert_close(there.energy, here.energy, atol=1e-10, rtol=0)
    torch.testing.assert_close(there.forces, here.forces[order], atol=1e-9, rtol=0)


@pytest.mark.parametrize("model", [DIRECT, CAPPED], ids=["all", "capped"])
def test_a_batch_is_its_parts(model: TwoHeaded) -> None:
    names = ("CH3CH2OH", "CH4", "C2H2")
    parts = [place(*rattled(name), name) for name in names]
    alone = [model.predict(part) for part in parts]
    batch = model.predict(Structures.concatenate(parts))
    forces = torch.cat([one.forces for one in alone])
    torch.testing.assert_close(batch.forces, forces, atol=1e-12, rtol=0)
    energies = torch.cat([one.energy for one in alone])
    torch.testing.assert_close(batch.energy, energies, atol=1e-12, rtol=0)


def test_direct_forces_are_no_slope_and_the_card_says_so() -> None:
    methanol = place(*rattled("CH3OH"))
    forces = DIRECT.predict(methanol).forces
    assert not DIRECT.card.conservative
    assert built().card.conservative
    moved = methanol.positions.clone().requires_grad_()
    batch = DIRECT.prepare(methanol)
    energy = DIRECT._energy(batch, moved, "ref")
    [slope] = torch.autograd.grad(energy.sum(), [moved])
    assert float((forces + slope).abs().max()) > 1e-3
    # the directions of a pair pull by amounts of their own, so the sum need not vanish
    assert float(forces.sum(0).norm()) > 1e-6
    atom = DIRECT.predict(place(np.zeros((1, 3)), np.array([6])))
    assert torch.equal(atom.forces, torch.zeros(1, 3, dtype=torch.float64))


def kept(positions: Any, most: int, cutoff: float = 3.0) -> set[tuple[int, int]]:
    structures = place(positions, np.full(len(positions), 6))
    graph = radius_graph(structures, cutoff)
    places = capped(graph, graph.vectors(structures).norm(dim=1), most)
    return {(a, b) for a, b in graph.edges[:, places].T.tolist()}


def test_a_pair_stays_where_both_are_among_the_nearest() -> None:
    line = np.zeros((4, 3))
    line[:, 0] = (0.0, 1.0, 2.1, 3.3)
    chain = {(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)}
    assert kept(line, 2) == chain
    # the second counts the first as its nearest, the third counts the second, ...
    assert kept(line, 1) == {(0, 1), (1, 0)}
    assert len(kept(line, 3, cutoff=9.0)) == 12


def test_a_tied_shell_that_does_not_fit_is_left_out_whole() -> None:
    centre = np.zeros((5, 3))
    centre[1:] = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.7
    assert not any(0 in pair for pair in kept(centre, 3))
    assert sum(a == 0 for a, _ in kept(centre, 4)) == 4
    rng = np.random.default_rng(0)
    cloud = rng.uniform(0, 4, size=(30, 3))
    pairs = kept(cloud, 6, cutoff=5.0)
    assert max(np.bincount([a for a, _ in pairs])) <= 6
    assert {(b, a) for a, b in pairs} == pairs


def test_a_cap_makes_energies_jump_where_all_neighbours_do_not() -> None:
    """As the third neighbour changes place with the fourth."""
    positions = np.array(
        [[0.0, 0, 0], [1.0, 0, 0], [0, 1.1, 0], [0, 0, 2.0], [0, 0, -2.0]]
    )
    numbers = np.array([6, 1, 1, 8, 1])

    def jump(model: TwoHeaded) -> float:
        energies = []
        for side in (-1, 1):
            positions[4, 2] = -2.0 + side * 2e-3  # beyond what counts as a tie
            energies.append(float(model.predict(place(positions, numbers)).energy))
        return abs(energies[0] - energies[1])

    smooth, rough = jump(built()), jump(built(max_neighbours=3))
    assert rough > 10 * smooth


def test_ttt_follows_the_direct_forces_of_the_prior_head() -> None:
    methanol = place(*rattled("CH3OH"))
    targets = torch.zeros_like(methanol.positions)
    mode = PriorTuning(gate="off", steps=8, learning_rate=2e-2)
    adapted = mode.adapt(DIRECT, methanol, targets, "one")
    assert adapted.losses[-1] < 0.9 * adapted.losses[0]
    assert adapted.model is not None
    before, after = DIRECT.predict(methanol), adapted.model.predict(methanol)
    assert float((before.forces - after.forces).abs().max()) > 1e-4


def test_a_capped_crystal_is_its_supercell() -> None:
    model = built(direct_forces=True, max_neighbours=9)
    found = []
    for structures in (crystal(), crystal((2, 1, 1))):
        degree = torch.bincount(model.prepare(structures).edges[0])
        assert 0 < int(degree.max()) <= 9
        found.append(model.predict(structures))
    small, large = found
    torch.testing.assert_close(large.energy, 2 * small.energy, atol=1e-9, rtol=0)
    forces = small.forces.repeat(2, 1)
    torch.testing.assert_close(large.forces, forces, atol=1e-9, rtol=0)
