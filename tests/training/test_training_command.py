"""The commands `train` and `label` from end to end, on ten structures."""

import json
from pathlib import Path

import pytest
import torch
import typer
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from typer.testing import CliRunner

from mlffbench.cli.label import label
from mlffbench.cli.train import train
from mlffbench.core.errors import BenchError
from mlffbench.core.spectrum import SpectralReference
from mlffbench.models.twoheaded.checkpoint import load
from mlffbench.training.attached import AttachedPriorHead

pytestmark = pytest.mark.filterwarnings(
    # PyTorch Geometric compiles with it when first imported
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)

app = typer.Typer()
app.command()(train)
app.command()(label)

SUITE = """
name: ten
version: 1
summary: ten small molecules
level_of_theory: made up
splits:
  - {name: train, role: train, file: train.xyz}
  - {name: id_molecules, role: id_val, file: val.xyz}
  - {name: id_molecules, role: id_test, file: test.xyz}
  - name: ood_elements
    role: ood_val
    file: ood.xyz
    shift: {kind: elements, rule: fluorine}
models: [zero]
"""
MINE = """
from pathlib import Path
from mlffbench.models.twoheaded.checkpoint import load

def make():
    return load(Path({stem!r}))
"""
FILES = {
    "train": ["H2O", "CH4", "NH3", "C2H6", "CO2", "C2H4"],
    "val": ["H2CO", "C2H2"],
    "test": ["CH3OH"],
    "ood": ["CH3Cl"],
    "more": ["N2", "CO"],
}


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))
    for file, names in FILES.items():
        frames = []
        for number, name in enumerate(names):
            atoms = molecule(name)
            atoms.rattle(0.05, seed=number)
            forces = 0.1 * atoms.get_positions()
            energy = -10.0 * len(atoms)
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
            frames.append(atoms)
        write(tmp_path / f"{file}.xyz", frames, format="extxyz")
    path = tmp_path / "ten.yaml"
    path.write_text(SUITE, encoding="utf-8")
    return path


def run(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None:
        raise result.exception
    return result.output


def quick(suite: Path, out: Path, *words: object) -> str:
    small = ("--channels", 8, "--epochs", 2, "--prior-epochs", 2, "--batch", 3)
    where = ("--suite", suite, "--out", out, "--workers", 1, "--device", "cpu")
    return run("train", *where, *small, *words)


def test_prior_freeze_finetune_from_the_command_line(suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "models" / "ten"
    words = ("--model", "schnet", "--extra-geometries", tmp_path / "more.xyz")
    output = quick(suite, out, *words)
    assert "stage prior" in output
    assert "stage ref" in output
    assert "id_molecules" in output
    history = json.loads(out.with_name("ten.json").read_text("utf-8"))["facts"]
    assert history["trained_heads"] == ["prior", "ref"]
    assert (history["n_structures"], history["n_further_structures"]) == (6, 2)
    assert history["plan"]["stages"][0]["epochs"] == 2
    assert history["level_of_theory"] == "made up"
    assert history["command"]
    reference = SpectralReference.from_json(history["spectral_reference"])
    assert reference is not None
    assert len(reference.mean) == 8
    model = load(out)
    assert 17 in model.elements
    log = out.with_name("ten.csv").read_text("utf-8").splitlines()
    assert len(log) == 5
    assert not list(out.parent.glob("*.training.*"))
    assert "nothing to do" in quick(suite, out, *words)
    with pytest.raises(BenchError, match="holds another model"):
        quick(suite, out, *words, "--seed", 1)
    before = model.weights_sha256
    quick(suite, out, *words, "--overwrite")
    assert load(out).weights_sha256 == before


def test_a_prior_head_is_attached_to_a_model_trained_from_scratch(
    suite: Path, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    quick(suite, scratch, "--model", "schnet", "--recipe", "scratch")
    file = tmp_path / "mine.py"
    file.write_text(MINE.format(stem=str(scratch)), encoding="utf-8")
    base = f"{file}:make"
    out = tmp_path / "attached"
    quick(suite, out, "--model", base, "--recipe", "attach-prior-head")
    asked: list[str] = []

    def open_base(name: str):
        asked.append(name)
        return load(scratch)

    model = AttachedPriorHead.load(out.with_suffix(".json"), open_base)
    assert asked == [base]
    parameters = model.parameters_of("prior").values()
    assert all(bool(torch.isfinite(one).all()) for one in parameters)


def test_what_cannot_be_trained_is_told(suite: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="cannot be trained from nothing"):
        quick(suite, tmp_path / "m", "--model", "ani-1x")
    words = ("--model", "nothing", "--recipe", "attach-prior-head")
    with pytest.raises(BenchError, match="unknown model"):
        quick(suite, tmp_path / "m", *words)
    with pytest.raises(BenchError, match="average"):
        quick(suite, tmp_path / "m", "--model", "schnet", "--ema", 1.5)


def test_a_tested_geometry_cannot_be_an_extra_one(suite: Path, tmp_path: Path) -> None:
    words = ("--model", "schnet", "--extra-geometries", tmp_path / "test.xyz")
    with pytest.raises(BenchError, match="leave"):
        quick(suite, tmp_path / "m", *words)


def test_labels_of_a_file(suite: Path, tmp_path: Path) -> None:
    words = ("label", tmp_path / "train.xyz", "--prior", "gfn2-xtb", "--workers", 1)
    cache = ("--cache-dir", tmp_path / "here")
    output = run(*words, *cache)
    assert "newly computed  6" in " ".join(output.split("\n")).replace("   ", "  ")
    again = run(*words, *cache)
    assert "newly computed  0" in again
    assert "tblite" in again
    assert suite.exists()


def test_an_unknown_dataset_is_told() -> None:
    with pytest.raises(BenchError, match="Did you mean 'mini'"):
        run("label", "minni")
