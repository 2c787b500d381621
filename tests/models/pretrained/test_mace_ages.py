"""MACE files of other years and other kinds: those that open, and those that do not."""

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ase.build import molecule
from ase_structures import of
from small_mace import build, save
from torch import nn

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.load import load_model
from mlffbench.models.pretrained.mace_file import open_network, open_trusted
from mlffbench.models.pretrained.mace_network import import_mace
from mlffbench.models.pretrained.mace_store import main as convert

pytest.importorskip("mace")

TIGHT = 1e-10
DOUBLE = ModelOptions(dtype="float64")
MOLECULES = [molecule(name) for name in ("CH3CH2OH", "HCN", "C6H6")]


def of_2022(network: Any) -> nn.Module:
    """Return a network as MACE left it then: facts as plain attributes."""
    radius, numbers = float(network.r_max), network.atomic_numbers.tolist()
    for name in ("r_max", "atomic_numbers", "num_interactions"):
        del network._buffers[name]
    network.r_max, network.atomic_numbers = radius, numbers
    network.atomic_energies_fn.atomic_energies = (
        network.atomic_energies_fn.atomic_energies.squeeze(0)
    )
    network.scale_shift.scale = network.scale_shift.scale.squeeze()
    network.scale_shift.shift = network.scale_shift.shift.squeeze()
    for name in list(network.__dict__):
        if name in {"heads", "apply_cutoff", "lammps_mliap", "edge_irreps"} | {
            key for key in network.__dict__ if key.startswith("use_")
        }:
            del network.__dict__[name]
    return network  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def new_and_old(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the files of one network, of today and of 2022."""
    # before 0.3.13 a network had all couplings, not the reduced ones
    folder = tmp_path_factory.mktemp("networks")
    new = save(build(use_reduced_cg=False), folder / "new.model")
    old = save(of_2022(build(use_reduced_cg=False)), folder / "old.model")
    return new, old


@pytest.mark.parametrize("trust", [False, True])
def test_a_file_of_2022_is_the_network_of_today(
    new_and_old: tuple[Path, Path], trust: bool
) -> None:
    new, old = (
        load_model(f"mace:{path}", ModelOptions(dtype="float64", trust=trust))
        for path in new_and_old
    )
    batch = of(*MOLECULES)
    expected, found = new.predict(batch), old.predict(batch)
    torch.testing.assert_close(found.energy, expected.energy, atol=TIGHT, rtol=0)
    torch.testing.assert_close(found.forces, expected.forces, atol=TIGHT, rtol=0)
    assert (old.elements, old.cutoff) == (new.elements, 4.0)  # type: ignore[attr-defined]
    promises = check_forcefield(old)
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []


def test_a_converted_file_gives_the_same_numbers(
    new_and_old: tuple[Path, Path], tmp_path: Path
) -> None:
    batch = of(*MOLECULES)
    for path in new_and_old:
        assert convert([str(path), str(tmp_path / "stored")]) == 0
        ours, theirs = (
            load_model(f"mace:{one}", DOUBLE).predict(batch)
            for one in (tmp_path / "stored.json", path)
        )
        assert torch.equal(ours.energy, theirs.energy)
        assert torch.equal(ours.forces, theirs.forces)


def test_a_converted_file_is_refused_when_it_is_damaged(
    new_and_old: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stem = tmp_path / "stored"
    assert convert([str(new_and_old[1]), str(stem)]) == 0
    weights = stem.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-4] + b"ABCD")
    with pytest.raises(ModelError, match=r"not the weights that stored\.json describes"):
        load_model(f"mace:{stem}.json", DOUBLE)
    weights.unlink()
    with pytest.raises(ModelError, match="cannot read the converted MACE"):
        load_model(f"mace:{stem}.json", DOUBLE)
    stem.with_suffix(".json").write_text("{}")
    with pytest.raises(ModelError, match="no JSON of a converted MACE: format"):
        load_model(f"mace:{stem}.json", DOUBLE)
    assert convert([str(tmp_path / "gone.model"), str(stem)]) == 1
    assert "there is no MACE model file" in capsys.readouterr().err
    assert convert([]) == 2


def export_for_lammps(network: nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)


class LAMMPS_MLIAP_MACE:  # noqa: N801
    """Has the name of what mace_create_lammps_model saves for ML-IAP."""

    def __init__(self, network: nn.Module) -> None:
        self.model = network


def export_for_mliap(network: nn.Module, path: Path) -> None:
    torch.save(LAMMPS_MLIAP_MACE(network), path)


def state_dict(network: nn.Module, path: Path) -> None:
    torch.save(network.state_dict(), path)


def checkpoint(network: nn.Module, path: Path) -> None:
    torch.save({"model": network.state_dict(), "optimizer": {}, "epoch": 3}, path)


def other_dict(network: nn.Module, path: Path) -> None:
    torch.save({"hello": 1}, path)


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (export_for_lammps, "is a TorchScript export"),
        (state_dict, "is a state dict"),
        (checkpoint, "a checkpoint of a training that goes on"),
        (other_dict, "holds a dict of other things than a network"),
    ],
)
def test_what_holds_no_network_is_refused_in_one_true_sentence(
    tmp_path: Path,
    write: Callable[[nn.Module, Path], None],
    reason: str,
    trust: bool,
) -> None:
    path = tmp_path / "other.model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        write(build(), path)
    with pytest.raises(ModelError, match=reason) as refused:
        load_model(f"mace:{path}", ModelOptions(trust=trust))
    assert "expected the .model file of a whole network" in str(refused.value)
    assert "--trust" not in str(refused.value)


def test_a_network_that_torch_wrapped_is_taken_out(tmp_path: Path) -> None:
    network = build(radial_type="gaussian")  # which mace itself does not describe
    path = save(nn.DataParallel(network), tmp_path / "wrapped.model")
    for opened in (open_network(path), open_trusted(path)):
        assert type(opened).__name__ == "ScaleShiftMACE"
        for key, value in network.state_dict().items():
            assert torch.equal(opened.state_dict()[key], value), key


def test_layers_that_are_not_merged(tmp_path: Path) -> None:
    network = build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        from mace.modules.lora import inject_LoRAs

        inject_LoRAs(network, rank=1)
    path = save(network, tmp_path / "lora.model")
    with pytest.raises(ModelError, match=r"LoRA layers are not merged .*--trust"):
        load_model(f"mace:{path}", DOUBLE)


def test_files_that_only_the_ordinary_way_opens(
    new_and_old: tuple[Path, Path], tmp_path: Path
) -> None:
    packed, early = tmp_path / "x.model.gz", tmp_path / "early.model"
    packed.write_bytes(gzip.compress(new_and_old[0].read_bytes()))
    with pytest.raises(ModelError, match=r"is packed \(gzip\); unpack it first"):
        load_model(f"mace:{packed}", DOUBLE)
    torch.save([build], early, _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match=r"as before PyTorch 1\.6 .*--trust"):
        load_model(f"mace:{early}", DOUBLE)
    with pytest.raises(ModelError, match="a list of other things than a network"):
        load_model(f"mace:{early}", ModelOptions(trust=True))


def test_an_export_for_mliap(tmp_path: Path) -> None:
    path = tmp_path / "mliap.model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export_for_mliap(build(), path)
    with pytest.raises(ModelError, match="an export for LAMMPS"):
        load_model(f"mace:{path}", ModelOptions(trust=True))


def test_a_backend_that_is_not_there(new_and_old: tuple[Path, Path]) -> None:
    with pytest.raises(ModelError, match="no MACE backend 'cuda'; expected one of e3nn"):
        load_model(f"mace:{new_and_old[0]}?backend=cuda", DOUBLE)
    for name, package in (("cueq", "cuequivariance_torch"), ("oeq", "openequivariance")):
        try:
            __import__(package)
        except ImportError:
            pass
        else:
            continue
        with pytest.raises(ModelError, match=rf"needs '{package}', .* run: pip install"):
            load_model(f"mace:{new_and_old[0]}?backend={name}", DOUBLE)


@pytest.mark.parametrize("network", [0, 1])
def test_layers_of_cuequivariance_give_the_same_numbers(
    new_and_old: tuple[Path, Path], network: int
) -> None:
    pytest.importorskip("cuequivariance_torch")
    path, batch = new_and_old[network], of(*MOLECULES)
    plain = load_model(f"mace:{path}", DOUBLE)
    fast: Any = load_model(f"mace:{path}?backend=cueq", DOUBLE)
    expected, found = plain.predict(batch), fast.predict(batch)
    torch.testing.assert_close(found.energy, expected.energy, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.forces, expected.forces, atol=1e-6, rtol=0)


def test_mace_spice_ships_and_keeps_every_promise() -> None:
    model: Any = load_model("mace-spice", ModelOptions())
    assert model.card.licence.startswith("MIT")
    assert model.card.elements == model.elements
    assert (len(model.elements), model.cutoff) == (15, 4.5)
    assert len(model.weights_sha256) == 64
    promises = check_forcefield(model)
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []
    # the original pickled network, called by hand with mace 0.3.16 in float64
    labels = load_model("mace-spice", DOUBLE).predict(of(molecule("CH3CH2OH")))
    assert labels.energy.item() == pytest.approx(GOLDEN_ENERGY, abs=1e-6)
    assert labels.forces.abs().max().item() == pytest.approx(GOLDEN_FORCE, abs=1e-6)
    assert import_mace() is not None


GOLDEN_ENERGY, GOLDEN_FORCE = -4221.571930506334, 0.6582878938914039
