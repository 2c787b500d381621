"""The ASE calculator: the runner's numbers, in relaxations and dynamics."""

from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

import mlffbench
from mlffbench.core.structures import Structures
from mlffbench.deploy.prediction_job import training_for
from mlffbench.refine.baseline import Baseline
from mlffbench.refine.radius.radius import RadiusRefinement
from mlffbench.refine.refiner import Refiner
from mlffbench.refine.ttt import PriorTuning
from mlffbench.run.evaluate.predict import predict_batch

QUICK: dict[str, Any] = {"prior": "zero", "steps": 2, "gate": "off"}
RADII: dict[str, Any] = {"criterion": "quantile", "n_radii": 3}


def shown(frame: Atoms) -> Structures:
    return Structures.build(
        [torch.tensor(frame.positions)],
        [torch.tensor(frame.numbers)],
        ids=["atoms/0"],
        group=["atoms"],
    )


def runner_forces(refiner: Refiner, model: Any, frame: Atoms) -> np.ndarray:
    """Return what the runner says of a frame, in float64."""
    found = predict_batch(model, refiner, shown(frame), device="cpu", dtype=torch.float64)
    return found.forces.numpy()


def travelled(atoms: Atoms) -> list[Atoms]:
    """Return the frames of a short relaxation and of short dynamics, with forces."""
    frames: list[Atoms] = []

    def keep() -> None:
        copy = atoms.copy()
        copy.info["F"] = atoms.get_forces()
        frames.append(copy)

    relaxation = BFGS(atoms, logfile=None)
    relaxation.attach(keep)
    relaxation.run(fmax=1e-3, steps=5)
    atoms.set_velocities(
        np.random.default_rng(0).normal(scale=0.02, size=(len(atoms), 3))
    )
    motion = VelocityVerlet(atoms, 0.5 * units.fs)
    motion.attach(keep)
    motion.run(5)
    return frames


def test_a_relaxation_and_dynamics_follow_the_runner() -> None:
    atoms = molecule("CH3OH")
    atoms.calc = mlffbench.calculator("mini-schnet", device="cpu", dtype="float64")
    model = mlffbench.load_model("mini-schnet", device="cpu", dtype="float64")
    frames = travelled(atoms)
    assert len(frames) == 12
    for frame in frames:
        expected = runner_forces(Baseline(), model, frame)
        assert np.abs(frame.info["F"] - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("mode", "settings", "make"),
    [("ttt", QUICK, PriorTuning), ("rr", RADII, RadiusRefinement)],
)
def test_a_mode_refines_once_and_keeps_what_it_made(
    mode: str, settings: dict[str, Any], make: Any
) -> None:
    atoms = molecule("CH3OH")
    calc = mlffbench.calculator(
        "mini-schnet", mode=mode, settings=settings, device="cpu", dtype="float64"
    )
    atoms.calc = calc
    model = mlffbench.load_model("mini-schnet", device="cpu", dtype="float64")
    refiner = make(**settings)
    if mode == "rr":
        refiner.learn(model, training_for("mini-schnet", "", 0)[0])
    first = atoms.copy()
    refined = refiner.refine(model, shown(first)).model
    for frame in travelled(atoms):
        expected = runner_forces(Baseline(), refined, frame)
        assert np.abs(frame.info["F"] - expected).max() < 1e-6
    assert calc.facts
    before = atoms.get_forces()
    calc.forget()
    calc.reset()
    fresh = runner_forces(refiner, model, atoms)
    assert np.abs(atoms.get_forces() - fresh).max() < 1e-6
    assert before.shape == fresh.shape


@pytest.mark.parametrize(
    ("info", "sentence"),
    [
        ({"charge": 1}, r"charge \+1 not supported"),
        ({"total_charge": -1, "spin": 2}, "charge -1 not supported"),
        ({"charge": "much"}, "charge"),
    ],
)
def test_charge_and_spin_are_read_off_the_atoms(
    info: dict[str, Any], sentence: str
) -> None:
    atoms = molecule("H2O")
    atoms.info |= info
    atoms.calc = mlffbench.calculator("mini-schnet", device="cpu")
    with pytest.raises(CalculationFailed, match=sentence):
        atoms.get_forces()


def test_a_charge_that_is_given_goes_before_and_elements_are_refused() -> None:
    atoms = molecule("H2O")
    atoms.info["charge"] = 1
    atoms.calc = mlffbench.calculator("mini-schnet", charge=0, device="cpu")
    assert np.isfinite(atoms.get_forces()).all()
    strange = Atoms("Xe2", [[0, 0, 0], [0, 0, 3.0]])
    strange.calc = mlffbench.calculator("mini-schnet", device="cpu")
    with pytest.raises(CalculationFailed, match="elements not supported: Xe"):
        strange.get_forces()


def test_a_charge_that_changes_is_seen_and_a_wrong_spin_is_refused() -> None:
    atoms = molecule("H2O")
    atoms.calc = mlffbench.calculator("mini-schnet", device="cpu")
    assert np.isfinite(atoms.get_potential_energy())
    atoms.info["charge"] = 1
    with pytest.raises(CalculationFailed, match=r"charge \+1 not supported"):
        atoms.get_potential_energy()
    for wrong in (0, 2):
        neutral = molecule("H2O")
        neutral.calc = mlffbench.calculator(
            "mini-schnet", charge=0, multiplicity=wrong, device="cpu"
        )
        with pytest.raises(CalculationFailed, match="expected the multiplicity"):
            neutral.get_potential_energy()
