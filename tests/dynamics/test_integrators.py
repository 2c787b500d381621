"""Integrators against ASE, closed forms and the laws they must obey."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import units
from ase.md.verlet import VelocityVerlet as AseVerlet
from wells import (
    CoupledWells,
    Never,
    Springs,
    Wells,
    asked,
    chains,
    course,
    systems_of,
)

from mlffbench.core.structures import Structures
from mlffbench.dynamics.ase_engine import AseEngine, to_atoms
from mlffbench.dynamics.engine import BatchedEngine
from mlffbench.dynamics.motion import BOLTZMANN, kinetic_energies, temperatures
from mlffbench.dynamics.noise import BLOCK
from mlffbench.dynamics.recording import tracks
from mlffbench.dynamics.state import State


def run(model, systems, plan):
    parts = list(BatchedEngine(asked(model), systems, Never(), plan).parts())
    return tracks(parts, systems.structures.sizes.tolist()), State.from_arrays(parts[-1])


def atoms_in_wells(n: int, number: int = 6) -> Structures:
    """Return many systems of one or two atoms at the origin."""
    per = 1
    return Structures.build(
        [torch.zeros((per, 3), dtype=torch.float64) for _ in range(n)],
        [torch.full((per,), number) for _ in range(n)],
        ids=[f"atom-{i}" for i in range(n)],
    )


def test_velocity_verlet_is_ases() -> None:
    systems = systems_of(chains(5, 8), n_steps=200)
    plan = course(thermostat=False, record_every=1)
    engine = BatchedEngine(asked(Springs()), systems, Never(), plan)
    parts = list(engine.parts())
    found = tracks(parts, [5, 8])
    start = State.from_arrays(parts[0])
    first = 0
    for index, size in enumerate((5, 8)):
        structure = systems.structures.select([index])
        atoms = to_atoms(structure, asked(Springs()))
        atoms.set_velocities(start.velocities[first : first + size].numpy() / units.fs)
        first += size
        AseVerlet(atoms, 0.5 * units.fs).run(200)
        assert np.abs(found[index].positions[-1] - atoms.positions).max() < 1e-8
        kinetic = atoms.get_kinetic_energy()
        assert found[index].kinetic[-1] == pytest.approx(kinetic, abs=1e-8)


def test_the_ase_engine_walks_the_same_frames() -> None:
    systems = systems_of(chains(5, 8), n_steps=60)
    plan = course(thermostat=False)
    ours = tracks(
        list(BatchedEngine(asked(Springs()), systems, Never(), plan).parts()), [5, 8]
    )
    theirs = tracks(
        list(AseEngine(asked(Springs()), systems, Never(), plan).parts()), [5, 8]
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.step.tolist() == other.step.tolist() == list(range(0, 61, 10))
        assert np.abs(mine.positions - other.positions).max() < 1e-9
        assert np.abs(mine.energy - other.energy).max() < 1e-9


def test_an_oscillator_swings_at_its_frequency() -> None:
    start = atoms_in_wells(1)
    start = replace(start, positions=start.positions + 1)
    systems = systems_of(start, time_step=0.25, n_steps=2600)
    plan = course(thermostat=False, record_every=1, sane_kelvin=(-1, 1e5))
    found, _ = run(Wells(2.0), systems, plan)
    x = found[0].positions[:, 0, 0]
    crossings = np.flatnonzero((x[:-1] < 0) & (x[1:] >= 0))
    period = np.diff(crossings).mean() * 0.25
    frequency = math.sqrt(2.0 / 12.011) * units.fs
    assert period == pytest.approx(2 * math.pi / frequency, rel=2e-3)


def test_the_energy_error_scales_as_the_square_of_the_step() -> None:
    errors = []
    for step in (2.0, 1.0, 0.5):
        systems = systems_of(
            chains(6), time_step=step, n_steps=round(400 / step), temperature=200
        )
        found, _ = run(Springs(), systems, course(thermostat=False, record_every=1))
        total = found[0].energy + found[0].kinetic
        errors.append(float(np.std(total)))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.15)


def test_langevin_samples_a_well() -> None:
    n = 400
    systems = systems_of(
        atoms_in_wells(n), time_step=1.0, temperature=300, friction=0.05, n_steps=1500
    )
    found, _ = run(Wells(1.0), systems, course(thermostat=True, record_every=50))
    x = np.stack([track.positions[10:, 0] for track in found])
    spread = (x**2).mean(axis=(1, 2))  # independent systems give the error
    error = spread.std(ddof=1) / math.sqrt(n)
    assert abs(spread.mean() - BOLTZMANN * 300 / 1.0) < 4 * error
    kinetic = np.stack([track.kinetic[10:] for track in found]).mean(axis=1)
    heat = 2 * kinetic / (3 * BOLTZMANN)
    assert abs(heat.mean() - 300) < 4 * heat.std(ddof=1) / math.sqrt(n) + 1
    assert heat.std(ddof=1) / math.sqrt(n) < 5


def test_langevin_samples_coupled_wells_and_shares_energy_out() -> None:
    n, stiffness, coupling = 300, 1.0, 3.0
    pair = Structures.build(
        [torch.tensor([[-0.4, 0, 0], [0.4, 0, 0]]).double() for _ in range(n)],
        [torch.tensor([6, 1]) for _ in range(n)],
        ids=[f"pair-{i}" for i in range(n)],
    )
    systems = systems_of(
        pair, time_step=0.5, temperature=300, friction=0.05, n_steps=2400
    )
    found, state = run(
        CoupledWells(stiffness, coupling),
        systems,
        course(thermostat=True, record_every=60),
    )
    x = np.stack([track.positions[15:] for track in found])
    hessian = np.array(
        [[stiffness + coupling, -coupling], [-coupling, stiffness + coupling]]
    )
    wanted = BOLTZMANN * 300 * np.linalg.inv(hessian)
    got = np.einsum("sfad,sfbd->sab", x, x) / (x.shape[1] * 3)
    error = got.std(axis=0, ddof=1) / math.sqrt(n)
    assert (np.abs(got.mean(axis=0) - wanted) < 4 * error).all()
    # equipartition: carbon and hydrogen are equally hot
    atoms = torch.arange(2 * n)
    light, heavy = atoms % 2 == 1, atoms % 2 == 0
    for mine in (light, heavy):
        energies = kinetic_energies(
            systems.masses[mine], state.velocities[mine], torch.arange(n), n
        )
        heat = temperatures(energies, torch.full((n,), 3.0, dtype=torch.float64))
        assert abs(float(heat.mean()) - 300) < 4 * float(heat.std()) / math.sqrt(n)


def test_each_system_has_its_own_temperature_step_and_friction() -> None:
    n = 200
    systems = systems_of(
        atoms_in_wells(n), time_step=1.0, temperature=100, friction=0.05, n_steps=2000
    )
    hot = torch.arange(n) % 2 == 1
    systems = replace(
        systems,
        temperature=torch.where(hot, 600.0, 100.0).double(),
        time_step=torch.where(hot, 0.5, 1.0).double(),
        friction=torch.where(hot, 0.1, 0.05).double(),
        n_steps=torch.where(hot, 2000, 1000),
    )
    found, _ = run(Wells(1.0), systems, course(thermostat=True, record_every=50))
    for mine, kelvin, frames in ((hot, 600, 41), (~hot, 100, 21)):
        chosen = [found[i] for i in torch.nonzero(mine).flatten().tolist()]
        assert {len(track.step) for track in chosen} == {frames}
        heat = [2 * track.kinetic[5:].mean() / (3 * BOLTZMANN) for track in chosen]
        error = np.std(heat, ddof=1) / math.sqrt(len(heat))
        assert abs(np.mean(heat) - kelvin) < 4 * error


@pytest.mark.parametrize("thermostat", [True, False])
def test_companions_do_not_change_a_trajectory(thermostat: bool) -> None:
    structures = chains(4, 7, 5)
    plan = course(thermostat=thermostat, record_every=5)
    together, _ = run(Springs(), systems_of(structures, n_steps=BLOCK + 20), plan)
    for index in range(3):
        alone, _ = run(
            Springs(), systems_of(structures.select([index]), n_steps=BLOCK + 20), plan
        )
        assert np.array_equal(alone[0].positions, together[index].positions)
        assert np.array_equal(alone[0].kinetic, together[index].kinetic)


def test_seeds_and_names_give_other_trajectories() -> None:
    structures = chains(4, 4, ids=["a", "b"])
    structures = replace(structures, ids=("a", "a"))
    systems = systems_of(structures, names=("a #0", "a #1"))
    first, _ = run(Springs(), systems, course(thermostat=True))
    again, _ = run(Springs(), systems, course(thermostat=True))
    other, _ = run(Springs(), systems, course(thermostat=True, seed=1))
    assert np.array_equal(first[0].positions, again[0].positions)
    assert not np.array_equal(first[0].positions[1:], first[1].positions[1:])
    assert not np.array_equal(first[0].positions[1:], other[0].positions[1:])


def test_conserved_dynamics_start_without_momentum_and_spin() -> None:
    systems = systems_of(chains(6))
    plan = course(thermostat=False)
    state = State.from_arrays(
        next(iter(BatchedEngine(asked(Springs()), systems, Never(), plan).parts()))
    )
    momentum = systems.masses[:, None] * state.velocities
    arms = state.positions - state.positions.mean(0)
    assert float(momentum.sum(0).abs().max()) < 1e-12
    assert float(torch.linalg.cross(arms, momentum).sum(0).abs().max()) < 1e-12


def test_a_crystal_drifts_through_its_cell_unwrapped() -> None:
    """Free motion along a lattice vector goes on beyond the cell."""
    structures = Structures.build(
        [torch.zeros((1, 3), dtype=torch.float64)],
        [torch.tensor([6])],
        ids=["one"],
        cell=torch.eye(3, dtype=torch.float64)[None] * 2,
        pbc=torch.ones((1, 3), dtype=torch.bool),
    )
    systems = systems_of(structures, temperature=3000, n_steps=1000, friction=1e-13)
    found, state = run(Wells(0.0), systems, course(thermostat=True))
    assert np.abs(found[0].positions).max() > 2
    expected = state.velocities[0].numpy() * 1000 * 0.5
    assert found[0].positions[-1, 0] == pytest.approx(expected, rel=1e-3)
