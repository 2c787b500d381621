import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase_structures import of
from family_checks import check_nothing
from small_mace import R_MAX, build, calculator_of, save
from torch import nn

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.files import sha256_of
from mlffbench.core.guards import caps
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.load import load_model
from mlffbench.models.pretrained import mace as published
from mlffbench.models.pretrained.mace_file import open_network, open_trusted
from mlffbench.models.pretrained.mace_model import MaceForceField
from mlffbench.models.pretrained.mace_network import import_mace
from mlffbench.models.weights import CACHE_VARIABLE
from mlffbench.run.model_files import file_hashes

pytest.importorskip("mace")

TIGHT = 1e-10
"""In eV and eV/Å; both sides compute in float64."""


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return build(num_interactions=2)


@pytest.fixture(scope="module")
def file(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(network, tmp_path_factory.mktemp("mace") / "small.model")


@pytest.fixture(scope="module")
def model(file: Path) -> Any:
    return load_model(f"mace:{file}", ModelOptions(dtype="float64"))


@pytest.fixture
def calculator(network: nn.Module) -> Any:
    return calculator_of(network)


def molecules() -> list[Atoms]:
    return [molecule(name) for name in ("CH3CH2OH", "HCN", "C6H6", "NH3", "H")]


def crystal() -> Atoms:
    """Return a skewed cell smaller than the cutoff, periodic in two directions."""
    return Atoms(
        "CNOH",
        positions=[[0, 0, 0], [1.2, 0.3, 0.1], [0.2, 1.4, 0.5], [3.1, 2.9, 1.1]],
        cell=[[3.5, 0, 0], [0.8, 3.2, 0], [0.3, -0.4, 9.0]],
        pbc=[True, True, False],
    )


def test_it_is_maces_own_calculator(model: Any, calculator: Any) -> None:
    many = [*molecules(), crystal()]
    labels = model.predict(of(*many))
    assert labels.failures == {}
    assert labels.energy.dtype == labels.forces.dtype == torch.float64
    start = 0
    for index, atoms in enumerate(many):
        atoms.calc = calculator
        energy = atoms.get_potential_energy()
        assert labels.energy[index].item() == pytest.approx(energy, abs=TIGHT)
        forces = labels.forces[start : start + len(atoms)].numpy()
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=TIGHT, rtol=0)
        start += len(atoms)
    assert labels.forces.abs().max() > 1e-3


def test_facts_are_read_off_the_network(model: Any, file: Path) -> None:
    assert model.elements == {1, 6, 7, 8}
    assert model.cutoff == model.trained_cutoff == model.card.cutoff == R_MAX
    assert model.card.source == str(file)
    assert model.weights_sha256 == sha256_of(file)
    labels = model.predict(of(molecule("HF"), molecule("H2O")))
    assert labels.failures == {0: "elements not supported: F"}


def test_float32_keeps_the_large_part_of_the_energy_exact(model: Any, file: Path) -> None:
    single = load_model(f"mace:{file}", ModelOptions())
    batch = of(*molecules())
    found, expected = single.predict(batch), model.predict(batch)
    assert found.energy.dtype == torch.float64
    torch.testing.assert_close(found.energy, expected.energy, atol=2e-5, rtol=0)
    torch.testing.assert_close(found.forces, expected.forces, atol=2e-5, rtol=0)


def test_a_narrower_graph(model: Any, calculator: Any) -> None:
    batch = of(molecule("C6H6"))
    same = model.with_cutoff(R_MAX).predict(batch)
    assert torch.equal(same.forces, model.predict(batch).forces)
    narrow = model.with_cutoff(3.0)
    assert (narrow.cutoff, model.cutoff, narrow.cutoff_scope) == (3.0, R_MAX, "graph")
    labels = narrow.predict(batch)
    calculator.r_max = 3.0
    atoms = molecule("C6H6")
    atoms.calc = calculator
    assert labels.energy.item() == pytest.approx(atoms.get_potential_energy(), abs=TIGHT)
    np.testing.assert_allclose(labels.forces.numpy(), atoms.get_forces(), atol=TIGHT)
    assert (labels.forces - same.forces).abs().max() > 1e-6
    assert narrow.with_cutoff(R_MAX).cutoff == R_MAX


SCOPES = ("graph", "graph+envelope")


def apart(distance: float) -> Atoms:
    """Return a water molecule and a carbon atom at a distance from the oxygen."""
    water = molecule("H2O")
    return water + Atoms("C", positions=[water.positions[0] + [0, 0, distance]])


def test_an_envelope_is_smooth_where_truncation_jumps(model: Any) -> None:
    radius, step = 3.0, 1e-6
    jumps = {}
    for scope in SCOPES:
        narrow = model.with_cutoff(radius, scope)
        assert (narrow.cutoff, narrow.cutoff_scope) == (radius, scope)
        inside, outside = (narrow.predict(of(apart(radius + s))) for s in (-step, step))
        jumps[scope] = (
            float((inside.energy - outside.energy).abs()),
            float((inside.forces - outside.forces).abs().max()),
        )
        beyond, gone = (narrow.predict(of(apart(d))) for d in (radius + 1e-3, 30.0))
        torch.testing.assert_close(beyond.forces, gone.forces, atol=1e-9, rtol=0)
    assert min(jumps["graph"]) > 1e-4
    assert max(jumps["graph+envelope"]) < 1e-7


@pytest.mark.parametrize("scope", SCOPES)
def test_forces_at_a_radius_are_minus_the_slope(model: Any, scope: str) -> None:
    narrow = model.with_cutoff(2.7, scope)
    batch = of(molecule("CH3CH2OH"), molecule("C6H6"))
    generator = torch.Generator().manual_seed(0)
    shape = batch.positions.shape
    direction = torch.randn(shape, generator=generator, dtype=torch.float64)
    step = 1e-5
    up, down = (
        narrow.predict(replace(batch, positions=batch.positions + by)).energy
        for by in (step * direction, -step * direction)
    )
    forces = narrow.predict(batch).forces
    work = batch.positions.new_zeros(2)
    work.index_add_(0, batch.system, (forces * direction).sum(1))
    torch.testing.assert_close(-(up - down) / (2 * step), work, atol=1e-6, rtol=1e-6)


def test_the_envelope_is_maces_own_at_another_radius(model: Any) -> None:
    """A network built with the radius in its envelope only gives the same numbers."""
    network: Any = build(num_interactions=2)
    network.radial_embedding.cutoff_fn.r_max.fill_(2.7)
    calculator = calculator_of(network)
    calculator.r_max = 2.7
    atoms = molecule("CH3CH2OH")
    atoms.calc = calculator
    labels = model.with_cutoff(2.7, "graph+envelope").predict(of(atoms))
    assert labels.energy.item() == pytest.approx(atoms.get_potential_energy(), abs=TIGHT)
    np.testing.assert_allclose(labels.forces.numpy(), atoms.get_forces(), atol=TIGHT)


def test_the_trained_radius_gives_the_same_bits_under_both(
    model: Any, tmp_path: Path
) -> None:
    batch = of(*molecules(), crystal())
    # 4.3 Å of a file in float32 are 4.30000019 Å, in the envelope too
    path = save(build(r_max=4.3).float(), tmp_path / "single.model")
    single = load_model(f"mace:{path}", ModelOptions(dtype="float64"))
    for one in (model, single):
        expected = one.predict(batch)
        for scope in SCOPES:
            for same in (
                one.with_cutoff(one.cutoff, scope),
                one.with_cutoff(3.0, scope).with_cutoff(one.cutoff),
            ):
                assert torch.equal(same.predict(batch).forces, expected.forces)
                assert torch.equal(same.predict(batch).energy, expected.energy)
        assert torch.equal(one.predict(batch).forces, expected.forces)


def test_a_narrow_clone_is_trained_at_its_radius(model: Any) -> None:
    """Gradients to the trunk are those of the narrow labels, under its envelope."""
    narrow = model.with_cutoff(2.7, "graph+envelope").clone()
    batch = of(molecule("CH3CH2OH"))
    labels = narrow.labels_graph(batch)
    torch.testing.assert_close(labels.forces.detach(), narrow.predict(batch).forces)
    features = narrow.embed_graph(batch)
    torch.testing.assert_close(features.detach(), narrow.embed(batch))
    assert not torch.allclose(features.detach(), model.embed(batch))


class Hard(nn.Module):
    """An envelope of somebody else's: a step, with no radius to move."""

    def forward(self, lengths: torch.Tensor) -> torch.Tensor:
        return (lengths < R_MAX).to(lengths)


def test_an_envelope_that_cannot_be_moved() -> None:
    network: Any = build()
    network.radial_embedding.cutoff_fn = Hard()
    model = MaceForceField(
        "hard",
        network,
        ModelCard(elements=frozenset()),
        head="",
        device=torch.device("cpu"),
        dtype=torch.float64,
    )
    with pytest.raises(ModelError, match=r"no radial envelope .* policy 'truncate'"):
        model.with_cutoff(3.0, "graph+envelope")
    assert model.with_cutoff(3.0).predict(of(molecule("H2O"))).failures == {}


@pytest.mark.parametrize("cutoff", [R_MAX + 0.1, 0.0, -1.0, float("nan")])
def test_a_cutoff_that_cannot_work(model: Any, cutoff: float) -> None:
    with pytest.raises(
        ModelError, match="the envelope is 0, so that further edges are inert"
    ):
        model.with_cutoff(cutoff)


def test_embedding_is_maces_invariant_descriptor(model: Any, calculator: Any) -> None:
    many = [molecule("CH3CH2OH"), crystal()]
    features = model.embed(of(*many))
    expected = [calculator.get_descriptors(a, invariants_only=True) for a in many]
    np.testing.assert_allclose(features.numpy(), np.concatenate(expected), atol=TIGHT)
    with pytest.raises(ModelError, match="elements not supported: F"):
        model.embed(of(molecule("HF")))


def test_heads(tmp_path: Path) -> None:
    network = build(["prior", "ref"])
    path = save(network, tmp_path / "two.model")
    options = ModelOptions(dtype="float64")
    with pytest.raises(
        ModelError, match=r"heads prior, ref; choose one: mace:PATH\?head="
    ):
        load_model(f"mace:{path}", options)
    with pytest.raises(ModelError, match="no head 'reff'; it has: prior, ref"):
        load_model(f"mace:{path}?head=reff", options)
    with pytest.raises(ModelError, match=r"knows \?head=NAME&backend=NAME, not dtype"):
        load_model(f"mace:{path}?dtype=float64", options)
    atoms = molecule("CH3CH2OH")
    found = {}
    for head in ("prior", "ref"):
        labels = load_model(f"mace:{path}?head={head}", options).predict(of(atoms))
        atoms.calc = calculator_of(network, head=head)
        found[head] = atoms.get_potential_energy()
        assert labels.energy.item() == pytest.approx(found[head], abs=TIGHT)
    assert abs(found["prior"] - found["ref"]) > 1e-4


VARIANTS = {
    "plain": {},
    "density": {
        "interaction_cls_first": "RealAgnosticDensityInteractionBlock",
        "interaction_cls": "RealAgnosticDensityResidualInteractionBlock",
        "pair_repulsion": True,
        "distance_transform": "Agnesi",
    },
}


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_a_rebuilt_network_is_the_saved_one(tmp_path: Path, name: str) -> None:
    modules = import_mace()
    changes = {
        key: getattr(modules, value) if str(value).endswith("Block") else value
        for key, value in VARIANTS[name].items()
    }
    network = build(num_interactions=2, **changes)
    path = save(network, tmp_path / "saved.model")
    before = torch.get_rng_state()
    rebuilt = open_network(path)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_default_dtype() == torch.float32
    expected = network.state_dict()
    assert rebuilt.state_dict().keys() == expected.keys()
    for key, value in rebuilt.state_dict().items():
        assert torch.equal(value, expected[key]), key
    atoms = molecule("CH3CH2OH")
    options = ModelOptions(dtype="float64")
    labels = load_model(f"mace:{path}", options).predict(of(atoms))
    atoms.calc = calculator_of(network)
    assert labels.energy.item() == pytest.approx(atoms.get_potential_energy(), abs=TIGHT)
    np.testing.assert_allclose(labels.forces.numpy(), atoms.get_forces(), atol=TIGHT)


def test_a_trusted_file_is_opened_the_ordinary_way(model: Any, file: Path) -> None:
    trusted = load_model(f"mace:{file}", ModelOptions(dtype="float64", trust=True))
    batch = of(molecule("H2O"))
    expected, found = model.predict(batch), trusted.predict(batch)
    torch.testing.assert_close(found.energy, expected.energy, atol=TIGHT, rtol=0)
    torch.testing.assert_close(found.forces, expected.forces, atol=TIGHT, rtol=0)


def test_a_file_in_float32(tmp_path: Path) -> None:
    network = build()
    half = save(network.to(torch.bfloat16), tmp_path / "half.model")
    assert next(open_network(half).parameters()).dtype == torch.float32
    path = save(network.float(), tmp_path / "single.model")
    rebuilt, trusted = open_network(path).state_dict(), open_trusted(path).state_dict()
    assert rebuilt.keys() == trusted.keys()
    for key, value in rebuilt.items():
        assert value.dtype == trusted[key].dtype, key
        assert torch.equal(value, trusted[key]), key


class Runs:
    """Something that makes a file when it is unpickled the ordinary way."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_code_in_a_graph_module_is_not_run(tmp_path: Path) -> None:
    from torch.fx.graph_module import reduce_graph_module

    mark = tmp_path / "mark"
    code = f"import os\nos.mkdir({str(mark)!r})\ndef forward(self):\n    pass\n"
    network = build()
    network.extra = Runs(reduce_graph_module, {"_code": code}, "")  # type: ignore[assignment]
    path = save(network, tmp_path / "graph.model")
    assert open_network(path).state_dict().keys() == network.state_dict().keys()
    assert not mark.exists()
    with pytest.raises(ModelError):  # the code ran; what it left is no module
        open_trusted(path)
    assert mark.exists()


def test_a_foreign_global_is_refused_by_name(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    network = build()
    network.extra = Runs(os.mkdir, str(mark))  # type: ignore[assignment]
    path = save(network, tmp_path / "evil.model")
    with pytest.raises(
        ModelError, match=r"names 'posix.mkdir', which is no part .*--trust"
    ):
        load_model(f"mace:{path}", ModelOptions())
    assert not mark.exists()
    load_model(f"mace:{path}", ModelOptions(trust=True))
    assert mark.is_dir()


def test_files_that_are_no_models(tmp_path: Path) -> None:
    text = tmp_path / "text.model"
    text.write_text("not a model")
    with pytest.raises(ModelError, match="not a readable MACE model file"):
        load_model(f"mace:{text}", ModelOptions())
    with pytest.raises(ModelError, match="not a readable MACE model file"):
        load_model(f"mace:{text}", ModelOptions(trust=True))
    state = save(nn.Linear(2, 2).state_dict(), tmp_path / "state.model")
    with pytest.raises(ModelError, match=r"is a state dict: tensors without the network"):
        load_model(f"mace:{state}", ModelOptions())
    with pytest.raises(ModelError, match="is a state dict"):
        load_model(f"mace:{state}", ModelOptions(trust=True))
    layer = save(nn.Linear(2, 2), tmp_path / "layer.model")
    with pytest.raises(ModelError, match=r"holds a Linear, expected a Scale.*network$"):
        load_model(f"mace:{layer}", ModelOptions())
    with pytest.raises(ModelError, match="there is no MACE model file"):
        load_model(f"mace:{tmp_path}/gone.model", ModelOptions())


def test_a_network_that_gives_no_number_or_anothers(tmp_path: Path) -> None:
    network: Any = build()
    numbers, path = network.atomic_numbers, tmp_path / "odd.model"
    network.atomic_numbers = torch.tensor([0, 1, 8, 150])  # kinds that are no elements
    model = load_model(f"mace:{save(network, path)}", ModelOptions())
    assert model.elements == {1, 8}
    assert model.predict(of(molecule("H2O"))).forces.isfinite().all()
    network.atomic_numbers = torch.tensor([1, 1, 6, 8])
    with pytest.raises(ModelError, match=r"an element twice in its table, \[1, 1, 6"):
        load_model(f"mace:{save(network, path)}", ModelOptions())
    network.atomic_numbers = numbers
    network.node_embedding.linear.weight.data[0] = torch.nan
    with pytest.raises(ModelError, match=r"'node_embedding\.linear\.weight'.*not finite"):
        load_model(f"mace:{save(network, path)}", ModelOptions())


def test_a_file_claims_no_more_than_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network: Any = build()
    path, layer = tmp_path / "bold.model", network.products[0].linear
    honest, layer.irreps_out = layer.irreps_out, type(layer.irreps_out)("9999x0e")
    with pytest.raises(ModelError, match="larger than the 9,967 numbers that it holds"):
        load_model(f"mace:{save(network, path)}", ModelOptions())
    layer.irreps_out = honest
    network.scale_shift.scale = torch.ones(1).expand(10**12)
    with pytest.raises(ModelError, match=r"1000000000000,\) is not stored number by"):
        load_model(f"mace:{save(network, path)}", ModelOptions())
    monkeypatch.setattr(caps, "FREE_BYTES", 1_000)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data/0", bytes(1 << 20))
    with pytest.raises(ModelError, match="would unpack"):
        load_model(f"mace:{path}", ModelOptions())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"cbuiltins\nbytearray\n(I9999999999\ntR.")
    with pytest.raises(ModelError, match="names 'bytearray'"):
        load_model(f"mace:{path}", ModelOptions())


def test_kinds_below_zero_stand_for_no_element(tmp_path: Path) -> None:
    network: Any = build()
    expected = load_model(f"mace:{save(network, tmp_path / 'a')}", ModelOptions())
    # the last place but seven is that of 1, where a table of Python counts backwards
    network.atomic_numbers = torch.tensor([1, -8, 7, 8])
    model = load_model(f"mace:{save(network, tmp_path / 'b')}", ModelOptions())
    water = of(molecule("H2O"))
    assert torch.equal(model.predict(water).forces, expected.predict(water).forces)


def test_a_truncated_file(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.model"
    path.write_bytes(file.read_bytes()[:20_000])
    with pytest.raises(ModelError, match="not a readable MACE model file"):
        load_model(f"mace:{path}", ModelOptions())


def test_a_network_the_installed_mace_does_not_know(tmp_path: Path) -> None:
    network = build()
    network.register_buffer("future", torch.zeros(3))
    path = save(network, tmp_path / "future.model")
    with pytest.raises(ModelError, match=r"unexpected \['future'\].*--trust"):
        load_model(f"mace:{path}", ModelOptions())


def test_published_weights_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    for weights in (published.OFF23_SMALL, published.OFF23_MEDIUM, published.OFF23_LARGE):
        assert len(str(weights.sha256)) == 64
        assert weights.url.startswith("https://github.com/ACEsuit/mace-off/raw/main/")
    (tmp_path / published.OFF23_SMALL.file).write_bytes(b"half a download")
    with pytest.raises(ModelError, match="expected 165cce4c"):
        load_model("mace-off23-small", ModelOptions())


def test_a_published_file_put_there_by_hand(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    (tmp_path / published.MP_0.file).write_bytes(file.read_bytes())
    model = load_model("mace-mp-0", ModelOptions())
    assert model.name == "mace-mp-0"
    assert model.elements == {1, 6, 7, 8}
    assert (tmp_path / f"{published.MP_0.file}.sha256").exists()


def test_an_empty_batch_and_one_that_is_refused_whole(model: Any) -> None:
    structures = of(molecule("H2O"))
    check_nothing(model, structures)
    assert model.predict(of(molecule("LiF"))).failures == {
        0: "elements not supported: Li F"
    }


def test_a_question_mark_in_the_name_of_a_file(file: Path, tmp_path: Path) -> None:
    odd = tmp_path / "is it?head=none.model"
    odd.write_bytes(file.read_bytes())
    for spec in (f"mace:{odd}", f"mace:{odd}?head=Default"):
        assert load_model(spec, ModelOptions()).name == f"mace:{odd.name}"
        assert file_hashes(spec) == {odd.name: sha256_of(odd)}
    with pytest.raises(ModelError, match=r"knows \?head=NAME&backend=NAME, not gone"):
        load_model(f"mace:{file}?gone.model", ModelOptions())


def test_it_keeps_every_promise(model: Any) -> None:
    promises = check_forcefield(model)
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []
