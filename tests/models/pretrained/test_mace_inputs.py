"""MACE networks that want charge and spin, as MACE-OMOL does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import molecule
from small_mace import build, calculator_of, save

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model

pytest.importorskip("mace")

TIGHT = 1e-10
DOUBLE = ModelOptions(dtype="float64")
SPECS = {
    "total_charge": {
        "type": "categorical",
        "per": "graph",
        "num_classes": 5,
        "offset": 2,
        "emb_dim": 3,
    },
    "total_spin": {
        "type": "categorical",
        "per": "graph",
        "num_classes": 4,
        "offset": 0,
        "emb_dim": 3,
    },
}
"""Charges −2 to 2, multiplicities up to 3."""


@pytest.fixture(params=[False, True], ids=["plain", "readout"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return a network, and the model of its file."""
    network: Any = build(embedding_specs=SPECS, use_embedding_readout=request.param)
    if request.param:
        network.embedding_readout.linear.weight.data.normal_()
    path = save(network, tmp_path / "charged.model")
    return network, load_model(f"mace:{path}", DOUBLE)


def batch(charges: list[int], multiplicities: list[int]) -> Structures:
    many = [molecule("H2O"), molecule("NH3"), molecule("CH3CH2OH")]
    return Structures.build(
        [torch.tensor(atoms.positions) for atoms in many],
        [torch.tensor(atoms.numbers) for atoms in many],
        ids=["water", "ammonia", "ethanol"],
        charge=charges,
        multiplicity=multiplicities,
    )


def test_it_is_maces_own_calculator(made: Any) -> None:
    network, model = made
    charges, multiplicities = [1, 0, -2], [2, 1, 3]
    labels = model.predict(batch(charges, multiplicities))
    assert labels.failures == {}
    start = 0
    for place, name in enumerate(("H2O", "NH3", "CH3CH2OH")):
        atoms = molecule(name)
        atoms.info |= {"charge": charges[place], "spin": multiplicities[place]}
        atoms.calc = calculator_of(network)
        energy = atoms.get_potential_energy()
        assert labels.energy[place].item() == pytest.approx(energy, abs=TIGHT)
        forces = labels.forces[start : start + len(atoms)].numpy()
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=TIGHT, rtol=0)
        start += len(atoms)
    neutral = model.predict(batch([0, 0, 0], [1, 1, 1]))
    assert (labels.forces - neutral.forces).abs().max() > 1e-4


def test_it_keeps_every_promise(made: Any) -> None:
    _, model = made
    assert model.card.charges == {-2, -1, 0, 1, 2}
    promises = check_forcefield(model)
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []


def test_what_has_no_embedding_is_refused(made: Any) -> None:
    _, model = made
    labels = model.predict(batch([3, 0, 0], [1, 5, 1]))
    assert labels.failures == {
        0: "charge +3 not supported",
        1: "multiplicity 5 not supported",
    }
    with pytest.raises(ModelError, match="cannot treat 'ammonia': multiplicity 5 not"):
        model.embed(batch([0, 0, 0], [1, 5, 1]))


def test_other_inputs_are_refused(tmp_path: Path) -> None:
    specs = {"temperature": SPECS["total_spin"] | {"type": "continuous", "in_dim": 1}}
    path = save(build(embedding_specs=specs), tmp_path / "other.model")
    with pytest.raises(ModelError, match=r"wants further inputs \(temperature\)"):
        load_model(f"mace:{path}", DOUBLE)
