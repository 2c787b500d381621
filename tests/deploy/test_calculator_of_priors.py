"""The ASE calculator at length: priors as the runner has them, vibrations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.optimize import BFGS
from ase.vibrations import Vibrations

import mlffbench
from mlffbench.core.structures import Structures
from mlffbench.refine.baseline import Baseline
from mlffbench.run.evaluate.predict import predict_batch

MODELS = ("zero", "uff", "mmff94", "gfn1-xtb", "gfn2-xtb")


def runner_forces(name: str, frame: Atoms) -> np.ndarray:
    """Return what the runner says of a frame, in float64."""
    model = mlffbench.load_model(name, device="cpu", dtype="float64")
    shown = Structures.build(
        [torch.tensor(frame.positions)], [torch.tensor(frame.numbers)], ids=["atoms/0"]
    )
    found = predict_batch(model, Baseline(), shown, device="cpu", dtype=torch.float64)
    return found.forces.numpy()


def shaken(name: str) -> list[Atoms]:
    rng = np.random.default_rng(1)
    frames = [molecule(name) for _ in range(3)]
    for frame in frames:
        frame.positions += rng.normal(scale=0.05, size=frame.positions.shape)
    return frames


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_calculator_is_the_runner(name: str) -> None:
    calc = mlffbench.calculator(name, device="cpu", dtype="float64")
    largest = 0.0
    for frame in [*shaken("CH3OH"), *shaken("CH3CONH2")]:
        frame.calc = calc
        difference = frame.get_forces() - runner_forces(name, frame)
        largest = max(largest, float(np.abs(difference).max()))
    print(f"{name}: {largest:.1e} eV/Å")  # noqa: T201
    assert largest < 1e-6


def relaxed(name: str, model: str) -> Atoms:
    atoms = molecule(name)
    atoms.calc = mlffbench.calculator(model, device="cpu", dtype="float64")
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=200)
    return atoms


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gfn2-xtb", "mini-schnet"])
def test_vibrations_have_six_modes_of_no_energy(model: str, tmp_path: Path) -> None:
    atoms = relaxed("CH3OH", model)
    found = Vibrations(atoms, name=str(tmp_path / "vib"), delta=0.005)
    found.run()
    waves = np.sort(np.abs(found.get_frequencies()))
    told = " ".join(f"{one:.0f}" for one in waves)
    print(f"{model}, |wavenumbers| of CH3OH in 1/cm: {told}")  # noqa: T201
    # three translations, three rotations; the methyl rotor is the softest of the rest
    assert waves[5] < 40
    assert waves[6] > 60
    assert 2500 < waves[-1] < 4500
