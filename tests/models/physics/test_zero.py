import json

import h5py
import pytest
import torch
from ase.build import molecule

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.core.units import HARTREE
from mlffbench.models.load import load_model
from mlffbench.models.physics.zero import ATOMIC_ENERGIES


def test_it_is_the_sum_of_isolated_atoms() -> None:
    water = molecule("H2O")
    structures = Structures.build(
        [torch.tensor(water.positions)], [torch.tensor(water.numbers)], ids=["water"]
    )
    labels = load_model("zero", ModelOptions()).predict(structures)
    expected = HARTREE * (2 * ATOMIC_ENERGIES[1] + ATOMIC_ENERGIES[8])
    assert labels.energy.item() == pytest.approx(expected, abs=1e-9)
    assert not labels.forces.any()
    assert labels.forces.shape == (3, 3)


def test_the_energies_are_those_of_the_embedded_set() -> None:
    from importlib.resources import files

    path = files("mlffbench.datasets.sets.mini") / "mini.hdf5"
    with h5py.File(str(path)) as file:
        stored = json.loads(file.attrs["atomic_energies_hartree"])
    assert {int(number): value for number, value in stored.items()} == ATOMIC_ENERGIES


def test_it_keeps_every_promise() -> None:
    promises = check_forcefield(load_model("zero", ModelOptions()))
    assert [p.name for p in promises if p.status == "broken"] == []
