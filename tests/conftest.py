"""Shared by many tests: a small suite of files, a model with closed-form forces."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.io import write

SPRINGS = '''
import torch
from mlffbench.core.labels import Labels


class Springs:
    """Every pair of atoms of a structure on a spring of 1 Å and 1 eV/Å²."""

    name = "springs"
    elements = frozenset({1, 6, 8})

    def predict(self, structures):
        x = structures.positions
        same = structures.system[:, None] == structures.system[None, :]
        same &= ~torch.eye(len(x), dtype=torch.bool)
        vector = x[:, None] - x[None, :]
        length = (vector**2).sum(-1).clamp(min=1e-12).sqrt()
        stretch = torch.where(same, length - 1, torch.zeros_like(length))
        pair = (stretch**2).sum(1) / 4
        energy = torch.zeros(structures.n_systems, dtype=x.dtype)
        energy.index_add_(0, structures.system, pair)
        forces = -(stretch[..., None] * vector / length[..., None]).sum(1)
        return Labels(energy=energy, forces=forces, source="model:springs")
'''


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests compute and cache away from the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFFBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _single_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def springs(tmp_path: Path) -> str:
    """Return the name of a user's model file."""
    path = tmp_path / "springs.py"
    path.write_text(SPRINGS)
    return f"{path}:Springs"


def labelled(name: str, seed: int, *, group: str | None = None) -> Atoms:
    """Return a shaken molecule with labels of a harmonic well around each atom."""
    atoms = molecule(name)
    rng = np.random.default_rng(seed)
    shake = rng.normal(scale=0.05, size=(len(atoms), 3))
    atoms.positions += shake
    atoms.info["REF_energy"] = float(0.5 * (shake**2).sum() - 10 * len(atoms))
    atoms.info["group"] = group or name
    atoms.arrays["REF_forces"] = -shake
    return atoms


def write_suite(folder: Path) -> Path:
    """Write the three files and the suite over them into a folder."""
    write(folder / "train.xyz", [labelled("CH3OH", i) for i in range(6)])
    id_test = [labelled(n, i) for n in ("H2O", "CH4", "C2H6") for i in range(4)]
    write(folder / "id.xyz", id_test)
    ood = [labelled(n, i) for n in ("NH3", "CO2", "H2CO") for i in range(3)]
    write(folder / "ood.xyz", ood)
    path = folder / "toy.yaml"
    path.write_text(
        """
name: toy
version: 1
summary: three small files
level_of_theory: wells
splits:
  - {name: train, role: train, file: train.xyz}
  - {name: id, role: id_test, file: id.xyz}
  - {name: ood, role: ood_test, file: ood.xyz, shift: {kind: elements, rule: has N}}
models: [zero]
"""
    )
    return path


@pytest.fixture
def suite_file(tmp_path: Path) -> Path:
    """Return a suite over three extxyz files: train, ID test, OOD with a foreign N."""
    return write_suite(tmp_path)


@pytest.fixture(scope="session")
def shared_suite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same suite, for tests that only read what was made of it."""
    return write_suite(tmp_path_factory.mktemp("suite"))


@pytest.fixture(scope="session")
def shared_springs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of the user's model file, for the same tests."""
    path = tmp_path_factory.mktemp("model") / "springs.py"
    path.write_text(SPRINGS)
    return f"{path}:Springs"
