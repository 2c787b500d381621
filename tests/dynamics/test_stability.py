"""Criteria and observables on trajectories made by hand."""

import numpy as np
import pytest
import torch

from mlffbench.core.structures import Structures
from mlffbench.dynamics.motion import BOLTZMANN
from mlffbench.dynamics.observables import (
    distance_distribution,
    distribution_error,
    energy_drift,
    mean_temperature,
)
from mlffbench.dynamics.stability import (
    BondCriterion,
    ExplosionCriterion,
    find_bonds,
    hydrogen_drift,
)
from mlffbench.dynamics.survival import kaplan_meier

CPU = torch.device("cpu")
NO_HEAT = torch.zeros(2)
GOLDEN_SHARE = [1, 0.875, 0.625, 0.5, 0.5, 0.5]
GOLDEN_LOW = [0.387, 0.2293333, 0.1520359, 0.1520359, 0.1520359]
GOLDEN_HIGH = [0.981393, 0.8606983, 0.774865, 0.774865, 0.774865]
GOLDEN_MEAN = 0.7375


def water(n: int = 1) -> Structures:
    positions = torch.tensor([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]).double()
    return Structures.build(
        [positions] * n,
        [torch.tensor([8, 1, 1])] * n,
        ids=[f"water-{i}" for i in range(n)],
    )


def test_bonds_are_those_of_the_molecule() -> None:
    (bonds,) = find_bonds(water())
    assert bonds.pairs.tolist() == [[0, 1], [0, 2]]
    assert bonds.names == ("O1–H2", "O1–H3")
    assert bonds.reference.tolist() == pytest.approx([0.96, (0.24**2 + 0.93**2) ** 0.5])


def test_bonds_cross_the_cell() -> None:
    crystal = Structures.build(
        [torch.tensor([[0.2, 0, 0], [3.9, 0, 0]]).double()],
        [torch.tensor([6, 6])],
        ids=["C2"],
        cell=torch.eye(3, dtype=torch.float64)[None] * 5,
        pbc=torch.ones((1, 3), dtype=torch.bool),
    )
    (bonds,) = find_bonds(crystal)
    assert bonds.reference.tolist() == pytest.approx([1.3])
    watch = BondCriterion([bonds], [2]).select([0], CPU)
    moved = crystal.positions.clone()
    moved[0, 0] += 5  # a whole cell further: unwrapped positions would say 6.3 Å
    assert watch.faults(crystal.positions, NO_HEAT, NO_HEAT) == {}
    assert 0 in watch.faults(moved, NO_HEAT, NO_HEAT)


@pytest.mark.parametrize(("stretch", "fails"), [(0.49, False), (0.51, True)])
def test_the_bond_criterion_is_half_an_angstrom(stretch: float, fails: bool) -> None:
    pair = water(2)
    watch = BondCriterion(find_bonds(pair), [3, 3]).select([0, 1], CPU)
    moved = pair.positions.clone()
    moved[4, 0] += stretch
    faults = watch.faults(moved, NO_HEAT, NO_HEAT)
    assert list(faults) == ([1] if fails else [])
    if fails:
        assert faults[1] == "bond O1–H2 is 1.47 Å, its mean 0.96 Å"


def test_the_reference_is_the_mean_of_frames() -> None:
    (bonds,) = find_bonds(water())
    frames = torch.stack([water().positions, water().positions * 1.5])
    averaged = bonds.with_reference(frames)
    assert averaged.reference.tolist() == pytest.approx((1.25 * bonds.reference).tolist())


def test_nan_is_no_bond() -> None:
    watch = BondCriterion(find_bonds(water()), [3]).select([0], CPU)
    assert 0 in watch.faults(water().positions * torch.nan, NO_HEAT, NO_HEAT)


def test_selected_systems_keep_their_own_bonds() -> None:
    pair = water(2)
    watch = BondCriterion(find_bonds(pair), [3, 3]).select([1], CPU)
    moved = pair.positions[3:].clone()
    assert watch.faults(moved, NO_HEAT, NO_HEAT) == {}
    moved[2, 1] += 1
    assert list(watch.faults(moved, NO_HEAT, NO_HEAT)) == [0]


@pytest.mark.parametrize(
    ("heat", "before", "fails"),
    [
        (10_299, 300, False),
        (10_301, 300, True),  # 10,000 K above the thermostat
        (4_900, 50, False),
        (5_100, 50, True),  # 100 times the frame before
        (float("nan"), 300, True),
    ],
)
def test_explosion(heat: float, before: float, fails: bool) -> None:
    watch = ExplosionCriterion(torch.tensor([300.0, 300.0])).select([0], CPU)
    faults = watch.faults(
        torch.zeros(3, 3), torch.tensor([heat]), torch.tensor([float(before)])
    )
    assert bool(faults) == fails


def drifting(distances: list[float]) -> np.ndarray:
    """Return water frames whose second atom is that far from the oxygen."""
    frames = np.repeat(water().positions.numpy()[None], len(distances), axis=0)
    frames[:, 1, 0] = distances
    return frames


@pytest.mark.parametrize(
    ("distances", "frame"),
    [
        ([1, 1, 1, 1], None),
        ([1, 3, 3, 3], 1),
        ([1, 3, 1, 3], 3),  # it came back once
        ([1, 3, 3, 1], None),  # and for good
        ([3, 3, 3, 3], 0),
        ([1, 1, 1, 2.49], None),
    ],
)
def test_hydrogen_drift(distances: list[float], frame: int | None) -> None:
    (bonds,) = find_bonds(water())
    found = hydrogen_drift(drifting(distances), np.array([8, 1, 1]), bonds)
    assert found == frame


def test_the_drift_of_a_line_is_its_slope() -> None:
    time = np.linspace(0, 10, 101)
    kinetic = 2 + np.sin(20 * time)
    energy = 7 - kinetic + 0.03 * time
    drift = energy_drift(time, energy, kinetic, 15)
    assert drift is not None
    assert drift.slope == pytest.approx(0.03 / 15, rel=1e-9)
    assert drift.ratio == pytest.approx(0.3 / kinetic.std(), rel=1e-9)
    assert drift.ripple == pytest.approx(0, abs=1e-12)
    assert energy_drift(time[:2], energy[:2], kinetic[:2], 15) is None


def test_the_drift_is_in_real_picoseconds() -> None:
    """LAMBench's slip would be a factor 10.18: fs taken for ASE's unit of time."""
    drift = energy_drift(
        np.array([0.0, 1, 2]), np.array([0.0, 1, 2]), np.array([1.0, 1, 1]), 1
    )
    assert drift is not None
    assert drift.slope == pytest.approx(1.0)


def test_temperature_counts_degrees_of_freedom() -> None:
    kinetic = np.full(5, 1.5 * BOLTZMANN * 300)
    assert mean_temperature(kinetic, 3) == pytest.approx(300)
    assert mean_temperature(kinetic, 6) == pytest.approx(150)


def test_h_of_r_is_a_density_and_its_error_an_overlap() -> None:
    triangle = np.array([[[0, 0, 0], [1.01, 0, 0], [0, 3.01, 0]]])
    density = distance_distribution(triangle)
    assert density.sum() * 0.02 == pytest.approx(1)
    centres = 0.01 + 0.02 * np.flatnonzero(density)
    wanted = [1.01, 3.01, np.hypot(1.01, 3.01)]
    assert centres == pytest.approx(wanted, abs=0.011)
    assert distribution_error(density, density) == 0
    # disjoint densities: ∫|h − h'| dr = 2
    other = distance_distribution(triangle + np.array([[[0], [0.3], [0.7]]]))
    assert distribution_error(density, other) == pytest.approx(2, rel=1e-6)


def test_survival_agrees_with_lifelines() -> None:
    """Golden: lifelines 0.30.3, KaplanMeierFitter().fit(stable, failed), log-log."""
    stable = np.array([0.2, 0.5, 0.5, 0.9, 1.0, 1.0, 1.0, 0.7])
    failed = np.array([True, True, True, False, False, False, False, True])
    curve = kaplan_meier(stable, failed)
    assert curve.time.tolist() == [0, 0.2, 0.5, 0.7, 0.9, 1.0]
    assert curve.share.tolist() == pytest.approx(GOLDEN_SHARE)
    assert curve.low[1:].tolist() == pytest.approx(GOLDEN_LOW, abs=1e-6)
    assert curve.high[1:].tolist() == pytest.approx(GOLDEN_HIGH, abs=1e-6)
    assert curve.at_risk.tolist() == [8, 8, 7, 5, 4, 3]
    assert curve.restricted_mean(1.0) == pytest.approx(GOLDEN_MEAN)
    assert curve.at(0.6) == pytest.approx(GOLDEN_SHARE[2])


def test_survival_without_failures_is_flat_and_without_interval() -> None:
    curve = kaplan_meier(np.array([2.0, 2.0]), np.array([False, False]))
    assert curve.share.tolist() == [1, 1]
    assert np.isnan(curve.low).all()
    assert curve.restricted_mean(2.0) == 2


def test_survival_when_all_fail_at_once() -> None:
    curve = kaplan_meier(np.zeros(3), np.ones(3, dtype=bool))
    assert curve.restricted_mean(1.0) == 0
    assert curve.at(0.5) == 0
