"""Refined weights kept: reloaded bit for bit, refused elsewhere, opened by mace."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import units
from ase.md.verlet import VelocityVerlet
from typer.testing import CliRunner

import mlffbench
from mlffbench.cli.app import app
from mlffbench.core.errors import BenchError
from mlffbench.core.structures import Structures
from mlffbench.datasets.unlabelled.unlabelled_file import open_unlabelled
from mlffbench.deploy.mace_export import export_mace
from mlffbench.deploy.refined_files import RefinedManifest, read_refined
from mlffbench.models.twoheaded.architecture import Architecture, MaceShape
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.refine.ttt import PriorTuning

pytest.importorskip("rdkit")
QUICK: dict[str, Any] = {"prior": "zero", "steps": 2, "gate": "off"}


@pytest.fixture(scope="module")
def molecules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mine") / "mine.smi"
    path.write_text("CCO ethanol\nO water\n[NH4+] ammonium\n")
    return path


@pytest.fixture(scope="module")
def refined(molecules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of mini-schnet refined for two of three molecules."""
    out = tmp_path_factory.mktemp("refined")
    words = ["refine", molecules, "--model", "mini-schnet", "--out", out]
    for name, value in QUICK.items():
        words += ["--set", f"ttt.{name}={value}"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert "mini-schnet ttt: adapted to 2 of 2 units" in told
    assert "ammonium/0: left out: charge +1 not supported" in told
    return out


def all_of(path: Path) -> Structures:
    source = open_unlabelled(path)
    return source.structures(np.arange(source.index.n_structures))


def test_what_is_reloaded_is_what_the_refinement_made(
    refined: Path, molecules: Path
) -> None:
    mine = all_of(molecules).select([0, 1])
    base = mlffbench.load_model("mini-schnet", device="cpu")
    expected = PriorTuning(**QUICK).refine(base, mine).model.predict(mine)
    model = mlffbench.load_model(f"refined:{refined}", device="cpu")
    found = model.predict(mine)
    # what is predicted in one pass may differ, and rounding with it
    torch.testing.assert_close(found.forces, expected.forces, atol=1e-5, rtol=1e-5)
    assert found.energy.tolist() == pytest.approx(expected.energy.tolist(), abs=1e-5)
    assert not torch.equal(found.forces, base.predict(mine).forces)
    again = mlffbench.refine_file(
        molecules, model="mini-schnet", out=refined, settings=QUICK, device="cpu"
    )
    assert again["adapted"].tolist() == [True, True]
    assert (again["loss_after"] <= again["loss_before"]).all()


def test_other_molecules_are_refused_and_isomers_are_told(
    refined: Path, molecules: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Path(molecules.parent / "other.smi")
    other.write_text("C methane\nCOC ether\n")
    model = mlffbench.load_model(f"refined:{refined}", device="cpu")
    with caplog.at_level(logging.WARNING):
        found = model.predict(Structures.concatenate([all_of(other), all_of(molecules)]))
    assert "were refined for C2H6O, H2O, not for CH4" in found.failures[0]
    assert "not for H4N (+1)" in found.failures[4]
    assert set(found.failures) == {0, 4}
    assert torch.isfinite(found.energy[1:4]).all()
    alone = model.predict(all_of(other).select([0]))
    assert list(alone.failures) == [0]  # nothing else is in the batch
    assert "a structure of C2H6O is bonded otherwise" in caplog.text


def test_the_calculator_of_refined_weights_is_the_refined_model(
    refined: Path, molecules: Path
) -> None:
    ethanol = all_of(molecules).select([0])
    calc = mlffbench.calculator("mini-schnet", mode="ttt", refined=refined, device="cpu")
    atoms = as_atoms(ethanol)
    atoms.calc = calc
    model = mlffbench.load_model(f"refined:{refined}", device="cpu")
    expected = model.predict(ethanol.to(dtype=torch.float32)).forces.numpy()
    assert np.abs(atoms.get_forces() - expected).max() < 1e-6
    unit = read_refined(refined).units[0]
    assert calc.facts["refined_for"] == unit.name
    assert (calc.facts["adapted"], calc.facts["steps"]) == (unit.adapted, unit.steps)
    with pytest.raises(BenchError, match="holds 'mini-schnet' refined by 'ttt', not"):
        mlffbench.calculator("mini-mace", refined=refined)


def test_free_dynamics_of_refined_weights_conserve_energy(
    refined: Path, molecules: Path
) -> None:
    atoms = as_atoms(all_of(molecules).select([0]))
    atoms.calc = mlffbench.calculator(
        "mini-schnet", refined=refined, dtype="float64", device="cpu"
    )
    speeds = np.random.default_rng(0).normal(scale=0.05, size=(len(atoms), 3))
    atoms.set_velocities(speeds)
    energies = []
    motion = VelocityVerlet(atoms, 0.5 * units.fs)
    motion.attach(lambda: energies.append(atoms.get_total_energy() / len(atoms)))
    motion.run(60)
    assert np.ptp(energies) < 1e-3  # eV per atom
    assert atoms.get_kinetic_energy() > 0.02  # while it moves


def as_atoms(structures: Structures) -> Any:
    from ase import Atoms

    return Atoms(structures.numbers.numpy(), structures.positions.numpy())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("weights", "damaged or replaced; refine again"),
        ("json", "is no refined model: "),
        ("number", "was changed after it was written; refine again"),
        ("path", "weights lie in the folder itself, under a plain name"),
        ("base", "whose weights have changed since; refine again"),
        ("nothing", "cannot read the refined model"),
    ],
)
def test_a_damaged_folder_is_refused(
    refined: Path, tmp_path: Path, change: str, sentence: str
) -> None:
    for file in refined.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((tmp_path / "refined.json").read_text())
    if change == "weights":
        (tmp_path / manifest["units"][0]["weights"]).write_bytes(b"0" * 100)
    elif change == "json":
        (tmp_path / "refined.json").write_text('{"format": "else"}')
    elif change in {"number", "path"}:
        if change == "path":
            manifest["units"][0]["weights"] = "../unit-000.safetensors"
        else:
            manifest["units"][0]["offsets"] = [1.0]
        (tmp_path / "refined.json").write_text(json.dumps(manifest))
    elif change == "base":
        manifest["model_weights"] = "0" * 64
        RefinedManifest.model_validate(manifest).write(tmp_path)
    else:
        (tmp_path / "refined.json").unlink()
    with pytest.raises(BenchError, match=sentence):
        mlffbench.load_model(f"refined:{tmp_path}", device="cpu")


def test_weights_of_a_whole_file_keep_the_energy_of_each_molecule(
    molecules: Path, tmp_path: Path
) -> None:
    settings = {**QUICK, "unit": "split"}
    mlffbench.refine_file(
        molecules, model="mini-schnet", out=tmp_path, settings=settings, device="cpu"
    )
    mine = all_of(molecules).select([0, 1])
    base = mlffbench.load_model("mini-schnet", device="cpu")
    found = mlffbench.load_model(f"refined:{tmp_path}", device="cpu").predict(mine)
    expected = base.predict(mine).energy.tolist()
    assert found.energy.tolist() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"mode": "rr"}, "mode 'rr' moves no weights, so there is no refined model"),
        ({"mode": "rr+ttt"}, "also chooses a radius for every structure"),
        ({"model": "zero"}, "needs a prior head"),
        ({"settings": {"steps": 3}}, "holds another refinement, of 'mini-schnet'"),
    ],
)
def test_what_cannot_be_kept_is_told(
    refined: Path, molecules: Path, given: dict[str, Any], sentence: str
) -> None:
    settings = QUICK if given.get("mode", "ttt") == "ttt" else {}
    asked: dict[str, Any] = {"model": "mini-schnet", "settings": settings, **given}
    if "settings" in given:
        asked["settings"] = {**QUICK, **given["settings"]}
    with pytest.raises(BenchError) as raised:
        mlffbench.refine_file(molecules, out=refined, device="cpu", **asked)
    assert sentence in str(raised.value)


@pytest.mark.filterwarnings("ignore")  # of mace and TorchScript
def test_mace_opens_what_was_made_of_a_mace(tmp_path: Path, molecules: Path) -> None:
    pytest.importorskip("mace")
    from mlffbench.models.pretrained.mace_network import import_mace

    import_mace()  # before e3nn
    from mace.calculators import MACECalculator

    shape = MaceShape(
        channels=2, max_l=0, max_ell=1, correlation=1, radial_widths=(4,), readout_width=2
    )
    model = TwoHeaded.build(
        Architecture(network="mace", elements=(1, 6, 8), mace=shape),
        atomic_energies={"prior": {}, "ref": {1: -13.6, 6: -1030.1, 8: -2042.0}},
        scale={"prior": 1.0, "ref": 0.7},
        seed=3,
        dtype="float64",
    )
    assert export_mace(model, model, tmp_path / "unit.model")
    ethanol = all_of(molecules).select([0])
    atoms = as_atoms(ethanol)
    atoms.calc = MACECalculator(
        model_paths=str(tmp_path / "unit.model"), device="cpu", default_dtype="float64"
    )
    labels = model.predict(ethanol)
    assert atoms.get_potential_energy() == pytest.approx(float(labels.energy), abs=1e-8)
    assert np.abs(atoms.get_forces() - labels.forces.numpy()).max() < 1e-10
    other = mlffbench.load_model("mini-schnet", device="cpu")
    assert not export_mace(other, other, tmp_path / "no.model")
