from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule

from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.core.units import KCAL_PER_MOL
from mlffbench.models.load import load_model
from mlffbench.models.physics.sgdml import import_predictor

# found, not imported: the package changes logging for the whole process
pytestmark = pytest.mark.skipif(find_spec("sgdml") is None, reason="needs sgdml")

WATER = molecule("H2O")


def springs(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return energies and forces of three springs between the atoms, in kcal/mol, Å."""
    energies, forces = np.zeros(len(positions)), np.zeros_like(positions)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        rest = np.linalg.norm(WATER.positions[a] - WATER.positions[b])
        vector = positions[:, a] - positions[:, b]
        length = np.linalg.norm(vector, axis=1)
        energies += 50 * (length - rest) ** 2
        pull = -100 * (length - rest)[:, None] * vector / length[:, None]
        forces[:, a] += pull
        forces[:, b] -= pull
    return energies, forces


def shaken(n: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(scale=0.05, size=(n, 3, 3))
    return WATER.positions + noise


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # sgdml 1.0.3 trains with a function that numpy 2.4 no longer has
    if not hasattr(np, "in1d"):
        setattr(np, "in1d", np.isin)  # noqa: B010 - not our name
    import_predictor()
    from sgdml.train import GDMLTrain

    positions = shaken(120, 0)
    energies, forces = springs(positions)
    words = {
        "type": "d", "code_version": "1.0.3", "name": "water", "theory": "springs",
        "md5": "0" * 32, "e_unit": "kcal/mol", "r_unit": "Ang",
    }  # fmt: skip
    dataset = {key: np.array(word) for key, word in words.items()}
    dataset |= {"z": WATER.numbers, "R": positions, "E": energies, "F": forces}
    trainer = GDMLTrain(max_processes=1)
    task = trainer.create_task(dataset, 40, dataset, 20, sig=10, use_sym=False)
    path = tmp_path_factory.mktemp("sgdml") / "water.npz"
    np.savez(path, **trainer.train(task))
    return path


def batch(positions: np.ndarray, numbers: np.ndarray) -> Structures:
    n = len(positions)
    return Structures.build(
        [torch.tensor(row) for row in positions],
        [torch.tensor(numbers)] * n,
        ids=[str(i) for i in range(n)],
    )


def test_it_reproduces_the_springs_it_learned_in_our_units(model_file: Path) -> None:
    prior = load_model(f"sgdml:{model_file}", ModelOptions())
    positions = shaken(10, 1)
    _, forces = springs(positions)
    labels = prior.predict(batch(positions, WATER.numbers))
    expected = torch.tensor(forces.reshape(-1, 3) * KCAL_PER_MOL)
    error = (labels.forces - expected).abs().mean() / expected.abs().mean()
    assert float(error) < 0.05
    assert labels.failures == {}


def test_another_molecule_fails_with_the_reason(model_file: Path) -> None:
    prior = load_model(f"sgdml:{model_file}", ModelOptions())
    labels = prior.predict(batch(shaken(2, 2), WATER.numbers[::-1].copy()))
    assert set(labels.failures) == {0, 1}
    assert "not the molecule" in labels.failures[0]
    assert torch.isnan(labels.forces).all()


def test_files_that_are_no_model_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no")
    np.savez(tmp_path / "other.npz", z=np.arange(3))
    with pytest.raises(ModelError, match="needs to be told which: sgdml:PATH"):
        load_model("sgdml", ModelOptions())
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(f"sgdml:{tmp_path / 'text.npz'}", ModelOptions())
    with pytest.raises(ModelError, match="is no sGDML model: it lacks"):
        load_model(f"sgdml:{tmp_path / 'other.npz'}", ModelOptions())
