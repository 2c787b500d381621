"""Models on a card: the numbers of the CPU, in float64 to rounding, in float32 nearly."""

from dataclasses import replace

import ase_structures
import pytest
import torch
from ase.build import molecule

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.model_options import ModelOptions, tf32_is_on
from mlffbench.core.structures import Structures
from mlffbench.models.catalog import MODELS
from mlffbench.models.load import load_model

pytestmark = pytest.mark.gpu

NAMES = ("mini-mace", "mini-schnet", "mini-gemnet", "mace-spice", "ani-1x")
CLOSE = {"float64": 1e-8, "float32": 2e-4}
"""Largest difference of a force from the CPU's in float64, in eV/Å."""


def some() -> Structures:
    """Return molecules of all sizes, one atom alone among them."""
    names = ["CH3CH2OH", "H2O", "C6H6", "CH3CONH2", "HCOOH", "N2", "CH4"]
    atoms = [molecule(name) for name in names]
    for number, one in enumerate(atoms):
        one.rattle(0.1, seed=number)
    return ase_structures.of(*atoms)


def skip_where_missing(name: str) -> None:
    if MODELS.entry(name).missing():
        pytest.skip("extra is not installed")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_card_gives_the_numbers_of_the_cpu(name: str, dtype: str) -> None:
    skip_where_missing(name)
    structures = some()
    expected = load_model(name, ModelOptions(dtype="float64")).predict(structures)
    model = load_model(name, ModelOptions(device="cuda", dtype=dtype))
    assert not tf32_is_on()
    kind = getattr(torch, dtype)
    found = model.predict(structures.to(device="cuda", dtype=kind))
    assert found.forces.is_cuda
    close = CLOSE[dtype]
    forces, energy = found.forces.cpu().double(), found.energy.cpu().double()
    torch.testing.assert_close(forces, expected.forces.double(), atol=close, rtol=0)
    torch.testing.assert_close(
        energy, expected.energy.double(), atol=20 * close, rtol=1e-7
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_promise_holds_on_a_card(name: str) -> None:
    skip_where_missing(name)
    model = load_model(name, ModelOptions(device="cuda"))
    promises = check_forcefield(model, device="cuda")
    assert [(one.name, one.detail) for one in promises if one.status == "broken"] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_card_gives_the_same_bits_again(name: str) -> None:
    skip_where_missing(name)
    model = load_model(name, ModelOptions(device="cuda"))
    one = some().to(device="cuda", dtype=torch.float32)
    many = Structures.concatenate(
        [replace(one, ids=tuple(f"{n} {i}" for i in one.ids)) for n in range(50)]
    )
    first, *others = [model.predict(many).forces for _ in range(4)]
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("name", ["mini-mace", "mini-schnet", "mini-gemnet"])
def test_features_and_gradients_of_parameters_on_a_card(name: str) -> None:
    skip_where_missing(name)
    structures, gradients, features = some(), [], []
    for device in ("cpu", "cuda"):
        model = load_model(name, ModelOptions(device=device, dtype="float64"))
        shown = structures.to(device=device)
        features.append(model.embed(shown).cpu())
        twin = model.clone()
        moved = [p.requires_grad_() for p in twin.representation_parameters()]
        error = twin.forward(shown, "prior").forces.square().sum()
        slopes = torch.autograd.grad(error, moved, allow_unused=True)
        gradients.append(torch.cat([s.flatten().cpu() for s in slopes if s is not None]))
    torch.testing.assert_close(features[1], features[0], atol=1e-8, rtol=0)
    size = float(gradients[0].abs().max())
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-7 * size, rtol=0)


def test_a_batch_that_the_card_cannot_hold_is_halved_for_real() -> None:
    from mlffbench.refine.baseline import Baseline
    from mlffbench.run.evaluate.predict import LIMITS, predict_batch

    model = load_model("mini-schnet", ModelOptions(device="cuda"))
    one = some().select([2])
    many = Structures.concatenate(
        [replace(one, ids=(f"{n}",), group=(f"{n}",)) for n in range(20_000)]
    )
    asked = {"device": "cuda", "dtype": torch.float32}
    few = predict_batch(model, Baseline(), one, **asked)
    torch.cuda.empty_cache()
    share = 4e9 / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        found = predict_batch(model, Baseline(), many, **asked)
        assert LIMITS.exceeded_by(model.name, many.to(device="cuda", dtype=torch.float32))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        LIMITS.forget()
    assert not found.failures
    torch.testing.assert_close(
        found.forces[-12:].double(), few.forces.double(), atol=1e-4, rtol=0
    )
