"""AIMNet2 at random weights in its package's own file; without it, skipped."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from family_checks import broken, check_trunk, of, with_head

from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.load import load_model

aimnet = pytest.importorskip("aimnet")
DOUBLE = ModelOptions(dtype="float64")
D3 = {"s6": 1.0, "s8": 0.3908, "a1": 0.566, "a2": 3.128}


def write(path: Path, **changes: Any) -> Path:
    from aimnet.config import build_module

    home = Path(aimnet.__file__).parent / "models" / "aimnet2.yaml"
    config = yaml.safe_load(home.read_text())
    outputs = config["kwargs"]["outputs"]
    del outputs["lrcoulomb"]
    keys = {"rc": 4.6, "key_in": "charges", "key_out": "energy"}
    outputs["srcoulomb"] = {"class": "aimnet.modules.SRCoulomb", "kwargs": keys}
    torch.manual_seed(0)
    network = build_module(config)
    shifts = network.outputs.atomic_shift.shifts.weight.data
    torch.nn.init.normal_(shifts[1:])
    content = {
        "format_version": 2,
        "model_yaml": yaml.safe_dump(config, sort_keys=False),
        "state_dict": network.state_dict(),
        "cutoff": 5.0,
        "needs_coulomb": True,
        "needs_dispersion": True,
        "coulomb_mode": "sr_embedded",
        "coulomb_sr_rc": 4.6,
        "coulomb_sr_envelope": "exp",
        "d3_params": D3,
        "has_embedded_lr": True,
        "implemented_species": [1, 6, 7, 8],
    }
    torch.save(content | changes, path)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("aimnet") / "small.pt")


def test_it_keeps_every_promise(path: Path) -> None:
    model: Any = load_model(f"aimnet:{path}", DOUBLE)
    assert broken(model) == []
    assert broken(with_head(model)) == []
    assert model.elements == {1, 6, 7, 8}


def test_it_says_what_its_own_calculator_says(path: Path) -> None:
    from aimnet.calculators import AIMNet2Calculator
    from ase.build import molecule

    model: Any = load_model(f"aimnet:{path}", ModelOptions())
    calculator = AIMNet2Calculator(str(path), device="cpu")
    for charge in (0, 1):
        atoms = molecule("CH3CH2OH")
        found = calculator(
            {"coord": atoms.positions, "numbers": atoms.numbers, "charge": charge},
            forces=True,
        )
        ours = model.predict(of("CH3CH2OH", charge=[charge]))
        energy = float(found["energy"].detach())
        assert float(ours.energy) == pytest.approx(energy, abs=1e-4)
        theirs = found["forces"].detach().double().reshape(-1, 3)
        torch.testing.assert_close(ours.forces, theirs, atol=1e-4, rtol=0)


def test_trunk(path: Path) -> None:
    check_trunk(load_model(f"aimnet:{path}", DOUBLE), "model.mlps.0.0.weight")


def test_what_is_refused(path: Path, tmp_path: Path) -> None:
    for name, changes, reason in (
        ("embedded.pt", {"coulomb_mode": "none", "needs_coulomb": False}, "twice"),
        ("bare.pt", {"d3_params": None}, "d3_params|DFT-D3"),
        ("empty.pt", {"implemented_species": []}, "elements|implemented_species"),
    ):
        with pytest.raises(ModelError, match=reason):
            load_model(f"aimnet:{write(tmp_path / name, **changes)}", DOUBLE)
    script = path.rename(tmp_path / "old.jpt")
    with pytest.raises(ModelError, match="is TorchScript"):
        load_model(f"aimnet:{script}", DOUBLE)
