"""A pretrained MACE under a prior head: what may move, what must not, and TTT of it."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import molecule
from feature_slopes import FeatureSlope, with_moving_trunk
from small_mace import build, save
from torch import Tensor

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.errors import ModelError
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model
from mlffbench.models.pretrained.mace_model import MaceForceField
from mlffbench.refine import prior_head
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.ttt import PriorTuning
from mlffbench.training.attached import AttachedPriorHead
from mlffbench.training.examples import fit_baseline
from mlffbench.training.trunk import HasTrunk

pytest.importorskip("mace")

DOUBLE = ModelOptions(dtype="float64")
ELEMENTS = [1, 6, 7, 8]
TIGHT = 1e-10
"""In eV and eV/Å, in float64."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(
        build(num_interactions=2), tmp_path_factory.mktemp("mace") / "small.model"
    )


@pytest.fixture(scope="module")
def model(file: Path) -> MaceForceField:
    loaded = load_model(f"mace:{file}", DOUBLE)
    assert isinstance(loaded, MaceForceField)
    return loaded


def batch(*names: str) -> Structures:
    rng = np.random.default_rng(0)
    names = names or ("H2O", "CH4", "HCN", "CH3OH")
    return Structures.build(
        [
            torch.tensor(atoms.positions + rng.normal(0, 0.05, (len(atoms), 3)))
            for atoms in map(molecule, names)
        ],
        [torch.tensor(molecule(name).numbers) for name in names],
        ids=list(names),
    )


class Springs:
    """A prior that pulls every atom to the origin: E = Σ x²/2, in eV."""

    name, elements = "springs", frozenset(ELEMENTS)

    def predict(self, structures: Structures) -> Labels:
        squares = (structures.positions**2).sum(1) / 2
        energy = squares.new_zeros(structures.n_systems)
        return Labels(
            energy=energy.index_add(0, structures.system, squares),
            forces=-structures.positions,
            source="springs",
        )


def attach(model: MaceForceField) -> AttachedPriorHead:
    structures = batch()
    baseline = fit_baseline(structures, Springs().predict(structures))
    return AttachedPriorHead.attach(model, baseline, structures, seed=0)


@pytest.fixture
def springs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prior_head, "load_model", lambda *_: Springs())


def flat(parameters: dict[str, Any]) -> Tensor:
    return torch.cat([value.detach().flatten() for value in parameters.values()])


def test_the_trunk_is_all_that_features_depend_on(model: MaceForceField) -> None:
    twin = model.clone()
    every = dict(twin._network.named_parameters())
    trunk = twin.trunk_parameters()
    assert every.keys() - trunk.keys() == {n for n in every if n.startswith("readouts.")}
    for parameter in trunk.values():
        parameter.requires_grad_()
    features = twin.embed_graph(batch())
    slopes = torch.autograd.grad(features.square().sum(), list(trunk.values()))
    assert all(bool(slope.any()) for slope in slopes)


def test_features_are_those_of_embed(model: MaceForceField) -> None:
    assert isinstance(model, HasTrunk)
    assert torch.equal(model.embed_graph(batch()).detach(), model.embed(batch()))
    structures = batch()
    model.embed_graph(structures)
    assert not structures.positions.requires_grad
    for ask in (model.embed_graph, model.labels_graph):
        with pytest.raises(ModelError, match="elements not supported: F"):
            ask(batch("HF"))


def test_an_energy_of_the_features_has_first_and_second_derivatives(
    model: MaceForceField,
) -> None:
    twin, structures = model.clone(), batch("CH3OH")
    name, weight = next(iter(twin.trunk_parameters().items()))
    weight.requires_grad_()
    generator = torch.Generator().manual_seed(0)
    way = torch.randn(structures.positions.shape, generator=generator).double()
    side = torch.randn(weight.shape, generator=generator).double()

    slope = FeatureSlope(twin, structures, way)
    assert slope.value() == pytest.approx(slope.differences(), rel=1e-6)
    expected = slope.mixed_differences(weight, side)
    assert slope.mixed(weight, side) == pytest.approx(expected, rel=1e-5), name


def test_labels_with_a_graph_are_those_of_predict(model: MaceForceField) -> None:
    structures = batch()
    twin, labels = with_moving_trunk(model, structures)
    expected = model.predict(structures)
    torch.testing.assert_close(labels.energy, expected.energy, atol=TIGHT, rtol=0)
    torch.testing.assert_close(labels.forces, expected.forces, atol=TIGHT, rtol=0)
    assert not twin.predict(structures).energy.requires_grad


@pytest.mark.parametrize("trust", [False, True])
def test_a_clone_moves_alone(file: Path, trust: bool) -> None:
    model = load_model(f"mace:{file}", replace(DOUBLE, trust=trust))
    assert isinstance(model, MaceForceField)
    structures = batch()
    expected = model.predict(structures)
    twin = model.clone()
    assert torch.equal(twin.predict(structures).forces, expected.forces)
    before = flat(model.trunk_parameters())
    with torch.no_grad():
        for parameter in twin.trunk_parameters().values():
            parameter.mul_(1.1)
    assert not torch.allclose(twin.predict(structures).forces, expected.forces)
    narrow = twin.with_cutoff(model.cutoff).predict(structures)
    assert torch.equal(narrow.forces, twin.predict(structures).forces)
    assert torch.equal(flat(model.trunk_parameters()), before)
    assert torch.equal(model.predict(structures).forces, expected.forces)


def test_the_same_features_bit_for_bit_on_every_call(file: Path) -> None:
    model = load_model(f"mace:{file}", ModelOptions())  # float32: nothing rounds it away
    assert isinstance(model, MaceForceField)
    forces = [model.labels_graph(batch()).forces.detach() for _ in range(4)]
    assert all(torch.equal(forces[0], other) for other in forces)


def test_with_a_prior_head_it_keeps_every_promise(model: MaceForceField) -> None:
    promises = check_forcefield(attach(model))
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []
    kept = {promise.name for promise in promises if promise.status == "kept"}
    assert {"clone", "heads"} <= kept


@pytest.mark.usefixtures("springs")
def test_ttt_of_a_saved_head_moves_the_trunk_and_nothing_else(
    model: MaceForceField, file: Path, tmp_path: Path
) -> None:
    attach(model).save(tmp_path / "head", f"mace:{file}", {})
    loaded = load_model(f"attached:{tmp_path / 'head.json'}", DOUBLE)
    assert isinstance(loaded, AttachedPriorHead)
    structures = batch()
    baseline = model.predict(structures)
    before = loaded.predict(structures)
    assert torch.equal(before.energy, baseline.energy)
    assert torch.equal(before.forces, baseline.forces)

    tuning = PriorTuning(gate="off", unit="split", steps=15, learning_rate=3e-3)
    tuning.check(loaded)
    refined = tuning.refine(loaded, structures)
    [losses] = refined.trace.values()
    assert losses[-1] < 0.8 * losses[0]
    assert isinstance(refined.model, Routed)
    adapted = refined.model._models["H2O"]
    assert isinstance(adapted, AttachedPriorHead)
    ours, theirs = adapted.parameters_of("prior"), loaded.parameters_of("prior")
    assert torch.equal(flat(ours), flat(theirs))
    moved, untouched = adapted.parameters_of("shared"), loaded.parameters_of("shared")
    assert not torch.equal(flat(moved), flat(untouched))
    assert torch.equal(flat(untouched), flat(model.trunk_parameters()))

    # a MACE of its own, given the moved weights, says what the adapted model says
    other = load_model(f"mace:{file}", DOUBLE)
    assert isinstance(other, MaceForceField)
    with torch.no_grad():
        for name, parameter in other.trunk_parameters().items():
            parameter.copy_(moved[name])
    after = adapted.predict(structures)
    assert torch.equal(after.forces, other.predict(structures).forces)
    assert torch.equal(after.energy, other.predict(structures).energy)
    assert torch.equal(refined.model.predict(structures).forces, after.forces)
    assert not torch.allclose(after.forces, baseline.forces)
    assert torch.equal(loaded.predict(structures).forces, baseline.forces)


def test_a_loaded_head_computes_in_what_its_base_does(
    model: MaceForceField, file: Path, tmp_path: Path
) -> None:
    attach(model).save(tmp_path / "head", f"mace:{file}", {"epochs": 3})
    double, single = (
        load_model(f"attached:{tmp_path / 'head'}", options)
        for options in (DOUBLE, ModelOptions())
    )
    assert isinstance(double, AttachedPriorHead)
    assert isinstance(single, AttachedPriorHead)
    assert double.history == {"epochs": 3}
    assert len(double.weights_sha256) == 64
    assert (double.elements, double.card) == (model.elements, model.card)
    structures = batch()
    exact = double.forward(structures, "prior")
    rough = single.forward(structures, "prior")
    torch.testing.assert_close(rough.forces, exact.forces, atol=1e-4, rtol=1e-4)
    assert not torch.equal(rough.forces, exact.forces)


def test_a_head_refuses_other_weights_than_it_was_fitted_to(
    model: MaceForceField, file: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.model"
    copy.write_bytes(file.read_bytes())
    base = load_model(f"mace:{copy}", DOUBLE)
    assert isinstance(base, MaceForceField)
    attach(base).save(tmp_path / "head", f"mace:{copy}", {})
    load_model(f"attached:{tmp_path / 'head'}", DOUBLE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # e3nn saves TorchScript
        network = torch.load(file, weights_only=False)
        network.readouts[0].linear.weight.data *= 1.5
        torch.save(network, copy)
    with pytest.raises(ModelError, match="whose weights have changed since"):
        load_model(f"attached:{tmp_path / 'head'}", DOUBLE)
    copy.unlink()
    with pytest.raises(ModelError, match=r"head for the model 'mace:.*there is no MACE"):
        load_model(f"attached:{tmp_path / 'head'}", DOUBLE)
