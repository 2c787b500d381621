"""A model that computes elsewhere: nothing mixes devices, the numbers are the CPU's.

A pretended card stands for a real one, which tests marked ``gpu`` ask for.
"""

from dataclasses import replace

import ase_structures
import pytest
import torch
from ase.build import molecule
from pretend_card import CARD, pretend_card

from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model
from mlffbench.refine.modes import load_refiner
from mlffbench.refine.refiner import LearnsFromTraining, Training
from mlffbench.run.evaluate.predict import Prediction, predict_batch

NAMES = ("H2O", "CH4", "NH3", "CH3OH", "C2H6", "HCN", "H2CO", "C2H4", "N2", "CO2")
FAR = {"prior": "zero", "steps": 3, "gate": "off"}
SETTINGS = {
    "baseline": {},
    "rr": {"criterion": "quantile", "n_radii": 3},
    "rr-paper": {"n_radii": 3},
    "ttt": {"prior": "gfn1-xtb", "steps": 3},
    "ttt, Adam": {**FAR, "optimizer": "adam"},
    "ttt, no gate": FAR,
    "ttt-paper": {"prior": "zero", "steps": 2},
}


def shaken(seed: int) -> Structures:
    atoms = [molecule(name) for name in NAMES]
    for number, one in enumerate(atoms):
        one.rattle(0.1, seed=seed + number)
    return replace(ase_structures.of(*atoms), group=NAMES)


def predicted(name: str, mode: str, device: str) -> Prediction:
    model = load_model(name, ModelOptions(device=device, dtype="float64"))
    refiner = load_refiner(mode.partition(",")[0], SETTINGS[mode])
    if isinstance(refiner, LearnsFromTraining):
        book = Training(name="toy/train", sha256="0" * 64, read=lambda: shaken(0))
        refiner.learn(model, book)
    where = {"device": device, "dtype": torch.float64}
    return predict_batch(model, refiner, shaken(99), **where)


@pytest.mark.parametrize("mode", SETTINGS)
def test_every_mode_computes_on_another_device(mode: str) -> None:
    here = predicted("mini-schnet", mode, "cpu")
    with pretend_card():
        there = predicted("mini-schnet", mode, str(CARD))
    assert not here.failures
    assert not there.failures
    assert torch.equal(there.forces, here.forces)
    assert torch.equal(there.energy, here.energy)
    told = [fact.get("adapted") for fact in here.facts]
    assert told == [fact.get("adapted") for fact in there.facts]
    assert there.gradient_steps == here.gradient_steps
    assert (here.gradient_steps > 0) == mode.startswith(("ttt,", "ttt-"))


def test_what_is_refused_is_refused_there_too() -> None:
    strange = ase_structures.of(molecule("H2O"), molecule("NaCl"), molecule("CH4"))
    with pretend_card():
        model = load_model("mini-gemnet", ModelOptions(device=str(CARD)))
        found = model.predict(strange)
        assert model.embed(strange.select([0])).device == CARD
    assert found.failures.keys() == {1}
    assert found.forces.device == torch.device("cpu")
    assert (
        found.forces.isfinite().all(1).tolist() == [True] * 3 + [False] * 2 + [True] * 5
    )


def test_devices_do_not_mix() -> None:
    with pretend_card():
        there = torch.ones(3, device=CARD)
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            there + torch.ones(3)
        with pytest.raises(TypeError, match=r"use Tensor.cpu\(\) first"):
            there.numpy()
        with pytest.raises(RuntimeError, match="expected a generator of the card"):
            torch.randn(3, device=CARD, generator=torch.Generator())
        whole, two = torch.ones(3, dtype=torch.int64), torch.tensor([0, 1])
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            whole.to(CARD)[two] = whole[:2]
        assert (there + 1).cpu().tolist() == [2.0] * 3
