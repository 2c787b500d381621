"""TensorNet files of matgl: numbers, trunk, cutoffs, and the files that are refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ase.build import molecule
from feature_slopes import FeatureSlope

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model
from mlffbench.models.pretrained.tensornet import TensorNet, smooth_bessel
from mlffbench.training.attached import AttachedPriorHead
from mlffbench.training.examples import Baseline
from mlffbench.training.trunk import HasTrunk

DOUBLE = ModelOptions(dtype="float64")
ARGUMENTS = {
    "element_types": ["H", "C", "O"],
    "units": 6,
    "nblocks": 2,
    "max_n": 3,
    "max_l": 3,
    "rbf_type": "SphericalBessel",
    "use_smooth": True,
    "activation_type": "swish",
    "cutoff": 4.0,
    "equivariance_invariance_group": "O(3)",
    "include_state": False,
    "is_intensive": False,
    "ntargets": 1,
    "num_rbf": 3,
}


def write_folder(folder: Path, *, dgl: bool = True, **changes: Any) -> Path:
    """Write a small network of random numbers as matgl would."""
    folder.mkdir()
    module = "matgl.models._tensornet_dgl" if dgl else "matgl.models._tensornet"
    model = {
        "@class": "TensorNet",
        "@module": module,
        "init_args": ARGUMENTS | changes.get("init_args", {}),
    }
    kwargs = {"model": model, "calc_repuls": False} | changes.get("kwargs", {})
    content = {"@class": "Potential", "kwargs": kwargs}
    (folder / "model.json").write_text(json.dumps(content))
    torch.manual_seed(0)
    network = TensorNet(
        n_elements=3,
        units=6,
        n_blocks=2,
        n_radial=3,
        cutoff=4.0,
        group="O(3)",
        of_dgl=dgl,
    )
    state = {f"model.{name}": value for name, value in network.state_dict().items()}
    state |= {
        "data_std": torch.tensor(3.0),
        "data_mean": torch.tensor(0.0),
        "model.bond_expansion.rbf.cutoff": torch.tensor(4.0),
        "model.tensor_embedding.emb3.weight": torch.zeros(6, 3),
        "element_refs.property_offset": torch.tensor([-16.5, -1036.4, -2046.0]),
        "element_refs.onehot": torch.eye(3),
    } | changes.get("state", {})
    torch.save(state, folder / "state.pt")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("matgl") / "small")


@pytest.fixture(scope="module", params=["dgl", "pyg"])
def model(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Any:
    made = tmp_path_factory.mktemp("matgl") / request.param
    return load_model(f"matgl:{write_folder(made, dgl=request.param == 'dgl')}", DOUBLE)


def of(*names: str) -> Structures:
    many = [molecule(name) for name in names]
    return Structures.build(
        [torch.tensor(atoms.positions) for atoms in many],
        [torch.tensor(atoms.numbers) for atoms in many],
        ids=list(names),
    )


def batch() -> Structures:
    return of("H2O", "CH4", "CH3CH2OH", "H")


def test_facts_are_read_off_the_folder(folder: Path) -> None:
    model: Any = load_model(f"matgl:{folder}", ModelOptions())
    assert isinstance(model, HasTrunk)
    assert (model.name, model.cutoff, model.card.cutoff) == ("matgl:small", 4.0, 4.0)
    assert model.elements == {1, 6, 8}
    assert len(model.weights_sha256) == 64
    labels = model.predict(of("NH3", "H2O"))
    assert labels.failures == {0: "elements not supported: N"}
    assert labels.energy.dtype == torch.float64


def test_it_keeps_every_promise(model: Any) -> None:
    promises = check_forcefield(model)
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []
    baseline = Baseline(scale=1.0, atomic_energies=dict.fromkeys(model.elements, 0.0))
    attached = AttachedPriorHead.attach(model, baseline, batch(), seed=0)
    promises = check_forcefield(attached)
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []
    assert {"clone", "heads"} <= {p.name for p in promises if p.status == "kept"}


def test_the_basis_is_orthonormal_and_vanishes_smoothly() -> None:
    r = torch.linspace(0, 5, 20_001, dtype=torch.float64)
    basis = smooth_bessel(r, 5.0, 4)
    weight = torch.trapezoid(
        basis[:, :, None] * basis[:, None, :] * r[:, None, None] ** 2, x=r, dim=0
    )
    torch.testing.assert_close(weight, torch.eye(4).double(), atol=1e-6, rtol=0)
    end = torch.tensor([5.0], dtype=torch.float64, requires_grad=True)
    for place in range(4):
        value = smooth_bessel(end, 5.0, 4)[0, place]
        [slope] = torch.autograd.grad(value, end, create_graph=True)
        assert abs(float(value.detach())) < 1e-12
        assert abs(float(slope.detach())) < 1e-12


@pytest.mark.parametrize("scope", ["graph", "graph+envelope"])
def test_forces_at_a_radius_are_minus_the_slope(model: Any, scope: Any) -> None:
    narrow = model.with_cutoff(2.3, scope)
    structures, step = batch(), 1e-5
    generator = torch.Generator().manual_seed(0)
    shape = structures.positions.shape
    way = torch.randn(shape, generator=generator, dtype=torch.float64)
    up, down = (
        narrow.predict(replace(structures, positions=structures.positions + by)).energy
        for by in (step * way, -step * way)
    )
    work = torch.zeros(structures.n_systems, dtype=torch.float64)
    work.index_add_(
        0, structures.system, (narrow.predict(structures).forces * way).sum(1)
    )
    torch.testing.assert_close(-(up - down) / (2 * step), work, atol=1e-6, rtol=1e-6)
    same = model.with_cutoff(4.0, scope).predict(structures)
    assert torch.equal(same.forces, model.predict(structures).forces)
    with pytest.raises(ModelError, match="beyond the trained 4 Å"):
        model.with_cutoff(4.1)


def test_features_are_twice_differentiable(model: Any) -> None:
    twin, structures = model.clone(), batch()
    weight = twin.trunk_parameters()["layers.0.linears_tensor.1.weight"].requires_grad_()
    generator = torch.Generator().manual_seed(1)
    way = torch.randn(
        structures.positions.shape, generator=generator, dtype=torch.float64
    )
    side = torch.randn(weight.shape, generator=generator, dtype=torch.float64)

    slope = FeatureSlope(twin, structures, way)
    mixed = slope.mixed_differences(weight, side)
    assert slope.mixed(weight, side) == pytest.approx(mixed, rel=1e-5)
    labels, expected = model.clone().labels_graph(structures), model.predict(structures)
    assert torch.equal(labels.energy.detach(), expected.energy)
    torch.testing.assert_close(labels.forces.detach(), expected.forces)


def test_the_two_generations_differ(folder: Path, tmp_path: Path) -> None:
    """The same tensors mean another network: of whom an atom takes the matrices."""
    other = write_folder(tmp_path / "other", dgl=False)
    first, second = (
        load_model(f"matgl:{one}", DOUBLE).predict(batch()) for one in (folder, other)
    )
    assert not torch.allclose(first.forces, second.forces)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kwargs": {"model": {"@class": "M3GNet"}}}, "holds a M3GNet; of matgl's"),
        ({"kwargs": {"calc_repuls": True}}, "adds a nuclear repulsion"),
        ({"init_args": {"rbf_type": "Gaussian"}}, "not treated here: rbf_type"),
        ({"init_args": {"units": 8}}, r"does not fit model\.json"),
        ({"state": {"data_mean": torch.tensor(0.5)}}, r"data_mean = 0\.5; expected 0"),
        ({"state": {"model.future": torch.tensor(0.5)}}, r"does not fit model\.json"),
    ],
)
def test_what_is_not_treated_is_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    path = write_folder(tmp_path / "other", **changes)
    with pytest.raises(ModelError, match=reason):
        load_model(f"matgl:{path}", DOUBLE)


def test_folders_that_are_no_model(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*model\.json: No such file"):
        load_model(f"matgl:{tmp_path}", DOUBLE)
    (tmp_path / "model.json").write_text("[]")
    with pytest.raises(ModelError, match="describes no Potential of matgl"):
        load_model(f"matgl:{tmp_path}", DOUBLE)
    (tmp_path / "model.json").write_bytes((folder / "model.json").read_bytes())
    (tmp_path / "state.pt").write_bytes(b"no state")
    with pytest.raises(ModelError, match=r"cannot read .*state\.pt"):
        load_model(f"matgl:{tmp_path}", DOUBLE)
