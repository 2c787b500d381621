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
from mlffbench.models.physics.sgdml_file import read_sgdml

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


def as_of_2018(file: Path, folder: Path, **changes: np.ndarray) -> Path:
    """Return a file in the format of the published MD17 models."""
    with np.load(file) as now:
        old = {
            "Rt_desc": now["R_desc"],
            "Rt_d_desc_alpha": now["R_d_desc_alpha"][:, :, None] * now["std"],
            "perms": (now["perms"] + 1).astype(np.uint8),
            **{key: now[key] for key in ("z", "sig", "c", "tril_perms_lin")},
            "dataset": np.array("water"),
        }
    path = folder / "water-2018.npz"
    np.savez(path, **(old | changes))
    return path


def by_the_formula(file: Path, places: np.ndarray) -> tuple[float, np.ndarray]:
    """Return energy and forces from the equations, one training point at a time."""
    with np.load(file) as old:
        trained, alphas = old["Rt_desc"].T, old["Rt_d_desc_alpha"][:, :, 0]
        perms, sigma, energy = old["perms"] - 1, float(old["sig"]), float(old["c"])
    first, second = np.tril_indices(len(places), -1)
    apart = places[first] - places[second]
    inverse = 1 / np.linalg.norm(apart, axis=1)
    number = {frozenset(pair): k for k, pair in enumerate(zip(first, second))}  # noqa: B905
    slope = np.zeros_like(inverse)
    for perm in perms.astype(int):
        moved = [
            number[frozenset((perm[a], perm[b]))]
            for a, b in zip(first, second)  # noqa: B905
        ]
        for one, alpha in zip(trained[:, moved], alphas[:, moved], strict=True):
            away = inverse - one
            scaled = np.sqrt(5) * np.linalg.norm(away) / sigma
            weight = 5 / (3 * sigma**2) * np.exp(-scaled)
            energy += weight * (1 + scaled) * (away @ alpha)
            slope += weight * (1 + scaled) * alpha
            slope -= weight * 5 / sigma**2 * (away @ alpha) * away
    forces = np.zeros_like(places)
    pull = (slope * inverse**3)[:, None] * apart
    np.add.at(forces, first, pull)
    np.add.at(forces, second, -pull)
    return energy, forces


def test_a_file_of_2018_agrees_with_the_equations_and_with_todays(
    model_file: Path, tmp_path: Path
) -> None:
    old = as_of_2018(model_file, tmp_path)
    positions = shaken(4, 3)
    labels = load_model(f"sgdml:{old}", ModelOptions()).predict(
        batch(positions, WATER.numbers)
    )
    today = load_model(f"sgdml:{model_file}", ModelOptions()).predict(
        batch(positions, WATER.numbers)
    )
    torch.testing.assert_close(labels.forces, today.forces, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(labels.energy, today.energy, atol=1e-9, rtol=1e-9)
    for place, row in enumerate(positions):
        energy, forces = by_the_formula(old, row)
        mine = labels.forces[3 * place : 3 * place + 3].numpy() / KCAL_PER_MOL
        np.testing.assert_allclose(mine, forces, atol=1e-6)
        assert float(labels.energy[place]) / KCAL_PER_MOL == pytest.approx(energy)


def test_a_bond_that_is_none_is_another_order_or_broken(model_file: Path) -> None:
    prior = load_model(f"sgdml:{model_file}", ModelOptions())
    positions = np.stack([WATER.positions, WATER.positions])
    positions[1, 2] += [0.0, 0.0, 3.0]
    labels = prior.predict(batch(positions, WATER.numbers))
    assert set(labels.failures) == {1}
    assert "atoms 1 and 3 are" in labels.failures[1]
    assert "another order" in labels.failures[1]


def test_a_folder_serves_each_molecule_by_its_own_file(
    model_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    other = read_sgdml(model_file)
    (tmp_path / "models" / "water.npz").write_bytes(model_file.read_bytes())
    np.savez(tmp_path / "models" / "thiol.npz", **(other | {"z": np.array([16, 1, 1])}))
    both = load_model(f"sgdml:{tmp_path / 'models'}", ModelOptions())
    assert both.elements == {1, 8, 16}
    one = load_model(f"sgdml:{model_file}", ModelOptions())
    positions = shaken(3, 4)
    waters = batch(positions, WATER.numbers)
    torch.testing.assert_close(
        both.predict(waters).forces, one.predict(waters).forces, atol=0, rtol=0
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"perms": np.array([[1, 1, 2]])}, "permutations are none of 3 atoms"),
        ({"tril_perms_lin": np.array([0, 2, 1])}, "contradict each other"),
        ({"z": np.array([8, 1])}, "2 atoms do not fit"),
        ({"Rt_desc": np.ones((3, 1))}, "3 atoms do not fit"),
        ({"c": np.array(np.nan)}, "not finite"),
        ({"c": np.ones(3)}, r"c is of shape \(3,\), not one number"),
        ({"sig": np.array([10.0])}, "sig is of shape"),  # other numbers without a word
        ({"z": np.array([8, 1.5, 1])}, "z holds no whole numbers"),
        ({"z": np.array([8, 0, 1])}, "z holds numbers that are no elements"),
        ({"Rt_desc": np.ones((3, 40), "f4")}, "R_desc is float32, not float64"),
        ({"Rt_desc": np.ones((3, 40)) * 1j}, "R_desc holds no real numbers"),
        ({"lattice": np.eye(3)}, "trained in a periodic cell"),
        ({"alphas_E": np.ones(2)}, "alphas_E is not of 40 geometries"),
    ],
)
def test_a_file_that_contradicts_itself(
    model_file: Path, tmp_path: Path, changes: dict[str, np.ndarray], words: str
) -> None:
    path = as_of_2018(model_file, tmp_path, **changes)
    with pytest.raises(ModelError, match=words):
        load_model(f"sgdml:{path}", ModelOptions())


def test_words_of_python_2(model_file: Path, tmp_path: Path) -> None:
    with np.load(model_file) as content:
        words = {key: content[key] for key in ("r_unit", "e_unit", "dataset_theory")}
    path = tmp_path / "bytes.npz"
    words["dataset_theory"] = np.array("springs, 1 Å")
    as_bytes = {key: np.char.encode(word, "utf-8") for key, word in words.items()}
    np.savez(path, **(read_sgdml(model_file) | as_bytes))
    models = [load_model(f"sgdml:{one}", ModelOptions()) for one in (model_file, path)]
    assert models[1].card.level_of_theory == "springs, 1 Å"
    water = batch(WATER.positions[None], WATER.numbers)
    first, second = (one.predict(water).forces for one in models)
    assert torch.equal(first, second)


def test_files_that_are_no_model_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no")
    np.savez(tmp_path / "other.npz", z=np.arange(3))
    with pytest.raises(ModelError, match="needs to be told which: sgdml:PATH"):
        load_model("sgdml", ModelOptions())
    with pytest.raises(ModelError, match=r"it is no \.npz archive"):
        load_model(f"sgdml:{tmp_path / 'text.npz'}", ModelOptions())
    with pytest.raises(ModelError, match="is no sGDML model: it lacks"):
        load_model(f"sgdml:{tmp_path / 'other.npz'}", ModelOptions())
