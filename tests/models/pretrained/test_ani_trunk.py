"""The hidden layers of ANI under a prior head, and folders of the ANI model zoo."""

import bz2
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from feature_slopes import FeatureSlope, with_moving_trunk
from torch import Tensor

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model
from mlffbench.models.pretrained.ani_model import AniForceField
from mlffbench.training.attached import AttachedPriorHead
from mlffbench.training.examples import Baseline
from mlffbench.training.trunk import HasTrunk

pytest.importorskip("torchani")
pytest.importorskip("pkg_resources")

TIGHT = 1e-9
CONSTANTS = """TM = 1
Rcr = 4.6000e+00
Rca = 3.1000e+00
EtaR = [1.9700000e+01]
ShfR = [8.0000000e-01,1.9000000e+00,3.2187500e+00]
Zeta = [1.4100000e+01]
ShfZ = [3.9269908e-01,1.9634954e+00]
EtaA = [1.2500000e+01]
ShfA = [8.0000000e-01,1.8125000e+00]
Atyp = [H,O,S,F]
"""
"""Short expansions for elements out of order, as in the files of ANI-2x."""
WIDTHS = {"H": (8, 6), "O": (7, 5), "S": (6, 4), "F": (6, 4)}
N_INPUTS = 4 * 3 + 10 * 4


def layer(name: str, index: int, n_in: int, n_out: int, activation: int) -> str:
    stem = f"ANN-{name}.nnf-l{index}"
    return (
        f"layer [ nodes={n_out}; activation={activation}; type=0; blocksize={n_in}; "
        f"weights=FILE:{stem}.wparam[{n_in * n_out}]; "
        f"biases=FILE:{stem}.bparam[{n_out}]; ] "
    )


def write_zoo(folder: Path, n_networks: int = 3) -> Path:
    """Write networks of random numbers in the layout of NeuroChem."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    (folder / "rHOSF.params").write_text(CONSTANTS)
    (folder / "sae_linfit.dat").write_text("H,0=-0.6\nO,1=-75.2\nS,2=-398.1\nF,3=-99.8\n")
    for number in range(n_networks):
        networks = folder / f"train{number}" / "networks"
        networks.mkdir(parents=True)
        for symbol, widths in WIDTHS.items():
            sizes = [N_INPUTS, *widths, 1]
            text = f"inputsize={N_INPUTS}; atom_net A $ "
            for index in range(1, len(sizes)):
                n_in, n_out = sizes[index - 1], sizes[index]
                text += layer(symbol, index, n_in, n_out, 9 if index < 3 else 6)
                for kind, count in (("w", n_in * n_out), ("b", n_out)):
                    values = generator.normal(0, n_in**-0.5, count).astype(np.float32)
                    stem = f"ANN-{symbol}.nnf-l{index}.{kind}param"
                    (networks / stem).write_bytes(values.tobytes())
            packed = bz2.compress(f"{text}$ \0".encode())
            (networks / f"ANN-{symbol}.nnf").write_bytes(b"1121\n=\n" + packed)
    return folder


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zoo(tmp_path_factory.mktemp("ani") / "small_3x")


@pytest.fixture(scope="module")
def model(zoo: Path) -> Any:
    return load_model(f"ani:{zoo}", ModelOptions())


def of(*many: Atoms) -> Structures:
    return Structures.build(
        [torch.tensor(atoms.positions) for atoms in many],
        [torch.tensor(atoms.numbers) for atoms in many],
        ids=[f"{index} {atoms.symbols}" for index, atoms in enumerate(many)],
    )


def batch() -> Structures:
    return of(*(molecule(name) for name in ("H2O", "SH2", "HF", "H2O2", "H")))


def test_facts_are_read_off_the_folder(model: Any, zoo: Path) -> None:
    assert isinstance(model, AniForceField)
    assert isinstance(model, HasTrunk)
    assert model.name == "ani:small_3x"
    assert model.elements == {1, 8, 9, 16}
    assert (model.cutoff, model.card.cutoff, model.card.source) == (4.6, 4.6, str(zoo))
    assert len(model.weights_sha256) == 64
    labels = model.predict(of(molecule("CH4"), molecule("H2O")))
    assert labels.failures == {0: "elements not supported: C"}


def test_it_keeps_every_promise(model: Any) -> None:
    promises = check_forcefield(model)
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []


def test_labels_with_a_graph_are_those_of_predict(model: Any) -> None:
    structures = batch()
    _, labels = with_moving_trunk(model, structures)
    expected = model.predict(structures)
    assert torch.equal(labels.energy, expected.energy)
    assert torch.equal(labels.forces, expected.forces)


def test_features_carry_the_energy(model: Any) -> None:
    """The last layers, applied to the features by hand, give the energy of predict."""
    structures = batch()
    features = model.embed_graph(structures).detach()
    order = [1, 8, 16, 9]
    width = max(widths[-1] for widths in WIDTHS.values())
    assert features.shape == (structures.n_atoms, 3 * width + 4)
    atoms = torch.zeros(structures.n_atoms, dtype=torch.float64)
    for element, (symbol, number) in enumerate(zip(WIDTHS, order, strict=True)):
        here = structures.numbers == number
        assert features[here, 3 * width + element].eq(1).all()
        n_out = WIDTHS[symbol][-1]
        hidden = features[here, : 3 * n_out].reshape(-1, 3, n_out)
        weight = model._ensemble._weights[element][-1][:, :, 0]
        bias = model._ensemble._biases[element][-1][:, 0, 0]
        energies = (hidden * weight).sum(2) + bias
        atoms[here] = energies.mean(1) + model._self_energies[element]
    total = torch.zeros(structures.n_systems, dtype=torch.float64)
    total.index_add_(0, structures.system, atoms)
    expected = model.predict(structures).energy / 27.211386245988
    torch.testing.assert_close(total, expected, atol=TIGHT, rtol=0)


def unit(shape: Sequence[int], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    way = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return way / way.norm()


@pytest.mark.parametrize("name", ["0.0.weight", "1.1.bias", "2.1.weight"])
def test_features_are_twice_differentiable(model: Any, name: str) -> None:
    """d(slope along positions)/d(weight), against finite differences of both."""
    twin, structures = model.clone(), batch()
    weight = twin.trunk_parameters()[name].requires_grad_()
    way, side = unit(structures.positions.shape, 1), unit(weight.shape, 2)

    slope = FeatureSlope(twin, structures, way)
    assert slope.value() == pytest.approx(slope.differences(), rel=1e-6, abs=1e-8)
    expected = slope.mixed_differences(weight, side)
    assert slope.mixed(weight, side) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_with_a_prior_head_it_keeps_every_promise(model: Any) -> None:
    baseline = Baseline(scale=1.0, atomic_energies=dict.fromkeys(model.elements, 0.0))
    attached = AttachedPriorHead.attach(model, baseline, batch(), seed=0)
    promises = check_forcefield(attached)
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []
    assert {"clone", "heads"} <= {p.name for p in promises if p.status == "kept"}


def test_a_clone_moves_alone(model: Any) -> None:
    structures = batch()
    expected = model.predict(structures).forces
    twin = model.clone()
    assert torch.equal(twin.predict(structures).forces, expected)
    with torch.no_grad():
        for parameter in twin.trunk_parameters().values():
            parameter.mul_(1.1)
    assert not torch.allclose(twin.predict(structures).forces, expected)
    assert torch.equal(model.predict(structures).forces, expected)


def test_folders_that_are_no_zoo(zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no folder"):
        load_model(f"ani:{tmp_path}/gone", ModelOptions())
    with pytest.raises(ModelError, match=r"holds 0 \*.params files and 0 networks"):
        load_model(f"ani:{tmp_path}", ModelOptions())
    with pytest.raises(ModelError, match="needs to be told which: ani:FOLDER"):
        load_model("ani", ModelOptions())
    copy = tmp_path / "copy"
    shutil.copytree(zoo, copy)
    energies = copy / "sae_linfit.dat"
    energies.write_text("H,0=-0.6\nO,1=-75.2\n")
    with pytest.raises(ModelError, match="has 2 energies for 4 elements"):
        load_model(f"ani:{copy}", ModelOptions())
    (copy / "train1" / "networks" / "ANN-O.nnf-l1.wparam").unlink()
    with pytest.raises(ModelError, match="cannot be read as a folder of ANI networks"):
        load_model(f"ani:{copy}", ModelOptions())
