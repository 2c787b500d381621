"""GemNet: what an energy must be, checked on an untrained network in float64."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from small_gemnet import built, crystal, place

from mlffbench.core.structures import Structures
from mlffbench.models.twoheaded.architecture import Architecture, GemnetShape
from mlffbench.models.twoheaded.gemnet_layers import envelope, legendre, triplets_of
from mlffbench.models.twoheaded.networks import make_backbone

MODEL = built()


def methanol(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    atoms = molecule("CH3OH")
    noise = np.random.default_rng(seed).normal(scale=0.05, size=atoms.positions.shape)
    return atoms.positions + noise, atoms.numbers


def rotation() -> np.ndarray:
    matrix, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    return matrix * np.sign(np.linalg.det(matrix))


def test_energy_is_invariant_and_forces_turn_with_the_molecule() -> None:
    positions, numbers = methanol()
    here = MODEL.predict(place(positions, numbers))
    assert float(here.forces.abs().max()) > 1e-3
    turn = rotation()
    for matrix in (turn, -turn):  # a reflection too
        there = MODEL.predict(place(positions @ matrix + 5.0, numbers))
        torch.testing.assert_close(there.energy, here.energy, atol=1e-10, rtol=0)
        expected = here.forces @ torch.tensor(matrix)
        torch.testing.assert_close(there.forces, expected, atol=1e-9, rtol=0)
    order = np.array([3, 0, 5, 1, 4, 2])
    swapped = MODEL.predict(place(positions[order], numbers[order]))
    torch.testing.assert_close(swapped.energy, here.energy, atol=1e-10, rtol=0)
    torch.testing.assert_close(swapped.forces, here.forces[order], atol=1e-9, rtol=0)


def test_forces_are_the_slope_of_the_energy() -> None:
    positions, numbers = methanol()
    forces = MODEL.predict(place(positions, numbers)).forces.numpy()
    step = 1e-4
    for atom, axis in ((0, 0), (3, 2), (5, 1)):
        ends = []
        for sign in (1, -1):
            moved = positions.copy()
            moved[atom, axis] += sign * step
            ends.append(float(MODEL.predict(place(moved, numbers)).energy))
        slope = -(ends[0] - ends[1]) / (2 * step)
        assert forces[atom, axis] == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("beyond", [3.0])
def test_an_atom_that_leaves_the_cutoff_is_not_felt_to_do_so(beyond: float) -> None:
    positions, numbers = methanol()
    positions = np.vstack([positions, [[0.0, 0.0, 0.0]]])
    numbers = np.append(numbers, 1)
    away = np.array([0.0, 0.0, 1.0])
    far = positions[:-1, 2].argmax()
    labels = []
    for distance in (beyond - 1e-5, beyond + 1e-5):
        positions[-1] = positions[far] + distance * away
        labels.append(MODEL.predict(place(positions, numbers)))
    torch.testing.assert_close(labels[0].energy, labels[1].energy, atol=1e-9, rtol=0)
    torch.testing.assert_close(labels[0].forces, labels[1].forces, atol=1e-6, rtol=0)


def test_two_molecules_far_apart_are_two_and_a_batch_is_its_parts() -> None:
    (first, z), (second, _) = methanol(0), methanol(1)
    both = place(np.vstack([first, second + 50.0]), np.append(z, z))
    parts = [place(first, z, "a"), place(second, z, "b")]
    alone = [MODEL.predict(part) for part in parts]
    together = MODEL.predict(both)
    total = alone[0].energy + alone[1].energy
    torch.testing.assert_close(together.energy, total, atol=1e-10, rtol=0)
    batch = MODEL.predict(Structures.concatenate(parts))
    expected = torch.cat([one.forces for one in alone])
    torch.testing.assert_close(batch.forces, expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(together.forces, expected, atol=1e-9, rtol=0)


def test_one_atom_has_no_forces() -> None:
    atom = MODEL.predict(place(np.zeros((1, 3)), np.array([6])))
    assert torch.isfinite(atom.energy).all()
    assert torch.equal(atom.forces, torch.zeros(1, 3, dtype=torch.float64))


def test_a_cell_smaller_than_the_cutoff_is_its_supercell() -> None:
    found = []
    for structures in (crystal(), crystal((2, 1, 2))):
        labels = MODEL.predict(structures)
        assert not labels.failures
        found.append(labels)
    small, large = found
    torch.testing.assert_close(large.energy, 4 * small.energy, atol=1e-9, rtol=0)
    forces = small.forces.repeat(4, 1)
    torch.testing.assert_close(large.forces, forces, atol=1e-9, rtol=0)
    assert float(small.forces.abs().max()) > 1e-3


def test_every_parameter_has_a_gradient_and_the_heads_share_what_the_paper_shares() -> (
    None
):
    model = built(depth="min")
    structures = place(*methanol())
    labels = model.forward(structures, "prior")
    loss = labels.energy.sum() + labels.forces.square().sum()
    mine = {**model.parameters_of("shared"), **model.parameters_of("prior")}
    slopes = torch.autograd.grad(loss, list(mine.values()), allow_unused=True)
    without = [n for n, g in zip(mine, slopes, strict=True) if g is None]
    assert without == []
    shared = {name.partition(".")[0] for name in model.parameters_of("shared")}
    assert {"embedding", "edge_embedding", "outputs"} <= shared
    assert "interactions.1.skip.linear.weight" in model.parameters_of("prior")
    assert "interactions.0.skip.linear.weight" in model.parameters_of("shared")


def parameters_of_the_published_size(shape: GemnetShape, n_elements: int) -> int:
    """Return the number of weights, layer by layer, as the publication draws them."""
    a, e, t, p = shape.atom, shape.edge, shape.triplet, shape.projected
    atoms = p * e + e * a + shape.atom_layers * 2 * a * a
    triplets = e * e + p * e + e * t + p * p * shape.spherical + p * t * t + 2 * t * e
    block = e * e + triplets + 2 * 2 * e * e + atoms + (2 * a + e) * e + 2 * e * e
    outputs = (shape.blocks + 1) * (atoms + a)
    embedding = n_elements * a + (2 * a + shape.radial) * e + 3 * shape.radial * p
    return embedding + shape.blocks * block + outputs


def test_the_number_of_parameters_is_that_of_the_layers() -> None:
    architecture = Architecture(network="gemnet", elements=(1, 6, 7, 8), cutoff=5.0)
    backbone = make_backbone(architecture, seed=0)
    found = sum(parameter.numel() for parameter in backbone.parameters())
    assert isinstance(architecture.shape, GemnetShape)
    assert found == parameters_of_the_published_size(architecture.shape, 4)
    assert found == 1_887_392


def test_bases_against_their_definitions() -> None:
    cosine = torch.linspace(-1, 1, 5, dtype=torch.float64)
    third = (5 * cosine**3 - 3 * cosine) / 2
    torch.testing.assert_close(legendre(cosine, 4)[:, 3], third)
    ends = envelope(torch.tensor([0.0, 1.0, 1.5], dtype=torch.float64), 5)
    torch.testing.assert_close(ends, torch.tensor([1.0, 0, 0], dtype=torch.float64))
    centre = torch.tensor([0, 1, 0, 0])
    vectors = torch.eye(3, dtype=torch.float64)[[0, 1, 1, 2]]
    found = triplets_of(centre, vectors, 2, 2)
    n_seats = found.legendre.shape[2]
    pairs = found.legendre.view(2, n_seats, 2, n_seats)
    assert found.seat.tolist() == [0, 3, 1, 2]
    between = torch.ones(3, 3, dtype=torch.float64) - torch.eye(3, dtype=torch.float64)
    assert torch.equal(pairs[0, :, 0], between)  # every other edge, none with itself
    assert not pairs[1].any()  # a lone edge has no partner
    assert float(pairs[:, :, 1].abs().max()) == 0  # all at right angles
