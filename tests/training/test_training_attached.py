"""A prior head on a pretrained network: what it learns and what it must not change."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import Silent, few_splits, springs, tiny_model, tiny_plan, tiny_stages

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import CutoffScope, HasEnvelope, HasPriorHead
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model
from mlffbench.models.physics.zero import load as load_zero
from mlffbench.models.twoheaded import checkpoint
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.refine.ttt import PriorTuning
from mlffbench.training.attached import AttachedPriorHead
from mlffbench.training.examples import fit_baseline, has_label
from mlffbench.training.materials import Materials
from mlffbench.training.project import Order, prepare
from mlffbench.training.stages import train
from mlffbench.training.trunk import as_trunk

pytestmark = pytest.mark.filterwarnings(
    # PyTorch Geometric compiles with it when first imported
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)


def attach(materials: Materials, base: TwoHeaded) -> AttachedPriorHead:
    train_set = materials.train
    return AttachedPriorHead.attach(
        as_trunk(base),
        fit_baseline(train_set.structures, train_set.labels["prior"]),
        train_set.structures.to(dtype=torch.float32),
        seed=0,
    )


def trained(materials: Materials, base: TwoHeaded, stem: Path) -> AttachedPriorHead:
    model = attach(materials, base)
    stages = tiny_stages("attach-prior-head")
    plan = tiny_plan(materials, stages)
    watcher = Silent()
    train(model, plan, materials, stem=stem, watcher=watcher)
    assert watcher.rows[-1]["loss"] < watcher.rows[0]["loss"]
    return model


def test_training_the_head_leaves_the_model_as_it_was(
    materials: Materials, tmp_path: Path
) -> None:
    base = tiny_model(materials)
    before = {name: value.clone() for name, value in base.state().items()}
    model = trained(materials, base, tmp_path / "m")
    assert all(torch.equal(before[name], value) for name, value in base.state().items())
    structures = materials.train.structures.to(dtype=torch.float32)
    assert torch.equal(model.predict(structures).forces, base.predict(structures).forces)


def test_it_keeps_the_promises_of_a_model_with_prior_head(materials: Materials) -> None:
    model = attach(materials, tiny_model(materials))
    assert isinstance(model, HasPriorHead)
    findings = check_forcefield(model)
    broken = [one for one in findings if one.status == "broken"]
    assert not broken
    kept = {one.name for one in findings if one.status == "kept"}
    assert {"clone", "heads"} <= kept


def test_prior_forces_are_the_slope_of_its_energy(materials: Materials) -> None:
    model = attach(materials, tiny_model(materials))
    structures = materials.train.structures.select([0, 3]).to(dtype=torch.float32)
    forces = model.forward(structures, "prior").forces.detach()
    way = torch.randn(
        structures.positions.shape, generator=torch.Generator().manual_seed(0)
    )
    step = 1e-2
    energies = [
        model.forward(
            replace(structures, positions=structures.positions + sign * step * way),
            "prior",
        )
        .energy.detach()
        .sum()
        for sign in (1, -1)
    ]
    slope = (energies[0] - energies[1]) / (2 * step)
    assert float((forces * way).sum()) == pytest.approx(-float(slope), rel=2e-2)


def test_the_prior_loss_reaches_the_pretrained_parameters(materials: Materials) -> None:
    model = attach(materials, tiny_model(materials))
    structures = materials.train.structures.to(dtype=torch.float32)
    target = springs(structures)
    prediction = model.forward(structures, "prior")
    loss = (prediction.forces - target.forces).square().mean()
    parameters = list(model.representation_parameters())
    slopes = torch.autograd.grad(loss, parameters, allow_unused=True)
    assert sum(slope is not None and bool(slope.any()) for slope in slopes) > 4


def test_a_saved_head_comes_back(materials: Materials, tmp_path: Path) -> None:
    base = tiny_model(materials)
    model = trained(materials, base, tmp_path / "m")
    model.save(tmp_path / "m", "tiny", {"command": "mlffbench train"})
    asked: list[str] = []

    def open_base(name: str) -> TwoHeaded:
        asked.append(name)
        return base

    again = AttachedPriorHead.load(tmp_path / "m.json", open_base)
    assert asked == ["tiny"]
    assert again.history == {"command": "mlffbench train"}
    structures = materials.train.structures.to(dtype=torch.float32)
    one, other = (m.forward(structures, "prior") for m in (model, again))
    assert torch.equal(one.forces, other.forces)
    assert torch.equal(one.energy, other.energy)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be read as a prior head"):
        AttachedPriorHead.load(
            tmp_path / "m.json", lambda name: load_zero(ModelOptions())
        )


def test_a_model_without_features_is_refused() -> None:
    with pytest.raises(ModelError, match="it is no network with per-atom features"):
        as_trunk(load_zero(ModelOptions()))


@pytest.fixture
def saved(materials: Materials, tmp_path: Path) -> Path:
    """Return the stem of a head on a checkpoint that lies beside it."""
    base = tmp_path / "base"
    digest = checkpoint.save(tiny_model(materials), base, {"trained_heads": ["ref"]})
    model = attach(materials, checkpoint.load(base))
    model.save(tmp_path / "head", f"checkpoint:{base}", {})
    assert json.loads((tmp_path / "head.json").read_text())["base_weights"] == digest
    return tmp_path / "head"


def test_an_untrained_prior_head_is_refused_until_one_is_attached(saved: Path) -> None:
    base = load_model(f"checkpoint:{saved.with_name('base')}", ModelOptions())
    assert isinstance(base, TwoHeaded)
    assert base.trained_heads == {"ref"}
    with pytest.raises(ModelError, match=r"never trained.*attach-prior-head.*finetune"):
        PriorTuning().check(base)
    loaded = load_model(f"attached:{saved}", ModelOptions())
    PriorTuning().check(loaded)


def test_a_model_that_does_not_say_what_is_trained_is_trusted(
    materials: Materials,
) -> None:
    model = tiny_model(materials)
    assert model.trained_heads == {"prior", "ref"}
    PriorTuning().check(model)


@pytest.mark.parametrize("suffix", ["", ".json", ".safetensors"])
def test_the_catalogue_opens_head_and_base_alike(
    materials: Materials, saved: Path, suffix: str
) -> None:
    options = ModelOptions(dtype="float64")
    loaded = load_model(f"attached:{saved}{suffix}", options)
    assert isinstance(loaded, AttachedPriorHead)
    parameters = [*loaded.parameters_of("prior").values()]
    parameters += loaded.representation_parameters()
    assert {parameter.dtype for parameter in parameters} == {torch.float64}
    base = load_model(f"checkpoint:{saved.with_name('base')}", options)
    structures = materials.train.structures
    assert torch.equal(loaded.predict(structures).forces, base.predict(structures).forces)


def test_what_is_no_saved_head_is_refused(saved: Path) -> None:
    options, file = ModelOptions(), saved.with_name("head.json")
    base = saved.with_name("base")
    with pytest.raises(ModelError, match="cannot be read as a prior head"):
        load_model(f"attached:{base}", options)
    with pytest.raises(ModelError, match="No such file"):
        load_model(f"attached:{saved.with_name('gone')}", options)
    content = json.loads(file.read_text())
    for base_name, words in (
        (f"attached:{saved}", "it is such a head itself"),
        ("zero", "cannot be given a prior head: it is no network"),
        ("nonesuch", "which cannot be used: unknown model 'nonesuch'"),
    ):
        file.write_text(json.dumps(content | {"base": base_name}))
        with pytest.raises(ModelError, match=words):
            load_model(f"attached:{saved}", options)
    file.write_text(json.dumps(content | {"version": 2}))
    with pytest.raises(ModelError, match="version: Input should be 1"):
        load_model(f"attached:{saved}", options)
    file.write_text(json.dumps(content))
    weights = saved.with_name("head.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(ModelError, match="not the weights that its JSON describes"):
        load_model(f"attached:{saved}", options)


def test_another_base_than_the_one_it_was_fitted_to_is_refused(
    saved: Path, materials: Materials
) -> None:
    checkpoint.save(tiny_model(materials, seed=1), saved.with_name("base"), {})
    with pytest.raises(ModelError, match="whose weights have changed since"):
        load_model(f"attached:{saved}", ModelOptions())


def test_a_model_without_features_is_refused_before_a_prior_labels_anything() -> None:
    def labeller(structures: Structures) -> Labels:
        raise AssertionError("labels were computed")

    order = Order(
        suite="tiny",
        model="zero",
        recipe="attach-prior-head",
        epochs=1,
        prior_epochs=1,
    )
    with pytest.raises(ModelError, match="it is no network with per-atom features"):
        prepare(
            order,
            few_splits(),
            further=[],
            labeller=labeller,
            pretrained=load_zero(ModelOptions()),
        )


def test_structures_the_pretrained_model_cannot_treat_are_left_out(
    materials: Materials,
) -> None:
    base = tiny_model(materials)
    base.card = replace(base.card, elements=frozenset({1, 6, 8}))
    asked: list[set[int]] = []

    def labeller(structures: Structures) -> Labels:
        asked.append(set(structures.numbers.tolist()))
        return springs(structures)

    order = Order(
        suite="tiny",
        model="mine",
        recipe="attach-prior-head",
        epochs=1,
        prior_epochs=1,
        prior="springs",
    )
    project = prepare(order, few_splits(), further=[], labeller=labeller, pretrained=base)
    assert set().union(*asked) == {1, 6, 8}
    assert isinstance(project.model, AttachedPriorHead)
    labels = project.materials.train.labels["prior"]
    there = has_label(labels)
    assert 0 < int(there.sum()) < len(there)
    assert set(labels.failures.values()) == {"elements not supported: N"}
    assert set(project.model.baseline.atomic_energies) == {1, 6, 8}


SCOPES = ("graph", "graph+envelope")


@pytest.mark.parametrize("scope", SCOPES)
def test_its_cutoff_is_that_of_the_pretrained_model(
    materials: Materials, scope: CutoffScope
) -> None:
    base = tiny_model(materials)
    model = attach(materials, base)
    assert isinstance(model, HasEnvelope)
    assert (model.cutoff, model.cutoff_scopes) == (base.cutoff, base.cutoff_scopes)
    structures = materials.train.structures.to(dtype=torch.float32)
    narrow = model.with_cutoff(2.0, scope)
    assert (narrow.cutoff, narrow.cutoff_scope, model.cutoff) == (2.0, scope, base.cutoff)
    found = narrow.predict(structures).forces
    assert torch.equal(found, base.with_cutoff(2.0, scope).predict(structures).forces)
    prior = narrow.predict_prior(structures)
    assert not prior.energy.requires_grad
    assert not prior.forces.requires_grad
    assert not torch.allclose(prior.forces, model.predict_prior(structures).forces)
    same = model.with_cutoff(model.cutoff, scope)
    for one in ("predict", "predict_prior"):
        expected = getattr(model, one)(structures).forces
        assert torch.equal(getattr(same, one)(structures).forces, expected)


def test_a_narrow_copy_adapts_without_touching_the_wide_one(materials: Materials) -> None:
    model = attach(materials, tiny_model(materials))
    structures = materials.train.structures.to(dtype=torch.float32)
    before = model.predict(structures).forces
    twin = model.with_cutoff(2.0).clone()
    assert twin.cutoff == 2.0
    with torch.no_grad():
        for parameter in twin.representation_parameters():
            parameter.add_(0.1)
    assert torch.equal(model.predict(structures).forces, before)
    narrow = model.with_cutoff(2.0).predict(structures).forces
    assert not torch.allclose(twin.predict(structures).forces, narrow)
