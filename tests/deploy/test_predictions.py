"""``predict``: what is written, resumed, refused, and how several models differ."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule
from click.testing import Result
from typer.testing import CliRunner

import mlffbench
from mlffbench.cli.app import app
from mlffbench.core.errors import BenchError
from mlffbench.deploy.model_spread import spread_of_forces
from mlffbench.deploy.prediction_job import training_for


def invoke(*words: object) -> Result:
    return CliRunner().invoke(app, ["predict", *[str(word) for word in words]])


@pytest.fixture(scope="module")
def molecules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of three molecules, one with an element that springs lacks."""
    path = tmp_path_factory.mktemp("mine") / "mine.xyz"
    frames = [molecule(name) for name in ("H2O", "NH3", "CH4")]
    frames[2].info["REF_energy"] = -1.0
    ase.io.write(path, frames)
    return path


@pytest.fixture(scope="module")
def predicted(
    molecules: Path, shared_springs: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    """Return where two models wrote, and what was printed."""
    out = tmp_path_factory.mktemp("predictions")
    models = f"zero,{shared_springs}"
    return out, invoke(molecules, "--model", models, "--out", out)


def test_it_says_what_it_did(predicted: tuple[Path, Result]) -> None:
    _, done = predicted
    told = " ".join(done.output.split())
    assert done.exit_code == 0, told
    assert "zero baseline: 3 of 3 structures" in told
    assert "baseline: 2 of 3 structures, median spread of the models" in told
    assert "mine/1: element not supported: N" in told
    assert "holds labels; they are ignored" in told
    assert "no split has the role train" not in told


def test_ase_reads_what_the_model_says(
    predicted: tuple[Path, Result], molecules: Path, shared_springs: str
) -> None:
    out, _ = predicted
    (path,) = out.glob("*springs*.extxyz")
    frames = ase.io.read(path, ":")
    model = mlffbench.load_model(shared_springs)
    labels = model.predict(mlffbench.load_structures(str(molecules)))
    assert frames[0].get_potential_energy() == pytest.approx(float(labels.energy[0]))
    assert frames[0].get_forces() == pytest.approx(labels.forces[:3].numpy(), abs=1e-6)
    assert frames[1].calc is None
    assert frames[1].info["reason"] == "element not supported: N"
    assert frames[2].info["forces_spread"] > 0
    assert frames[0].arrays["forces_spread"].shape == (3,)
    assert frames[0].info["id"] == "mine/0"


def test_the_same_command_only_reads_and_other_forms_agree(
    predicted: tuple[Path, Result], molecules: Path, shared_springs: str
) -> None:
    out, _ = predicted
    manifest = out / "zero" / "baseline" / "prediction.json"
    before = manifest.stat().st_mtime_ns
    for form in ("npz", "db"):
        done = invoke(molecules, "--model", "zero", "--out", out, "--format", form)
        assert done.exit_code == 0, done.output
    assert manifest.stat().st_mtime_ns == before
    arrays = np.load(out / "zero--baseline.npz")
    frames = ase.io.read(out / "zero--baseline.db", ":")
    assert arrays["energy"] == pytest.approx([f.get_potential_energy() for f in frames])
    assert json.loads(str(arrays["provenance"]))["model"] == "zero"
    assert arrays["n_atoms"].tolist() == [3, 4, 5]
    found = mlffbench.predict_file(molecules, models="zero", out=out, device="cpu")
    assert found["energy"].tolist() == pytest.approx(arrays["energy"].tolist())
    assert set(found["mode"]) == {"baseline"}
    assert found["file"].tolist() == [str(out / "zero--baseline.extxyz")] * 3


def test_spread_is_that_of_the_models_that_have_forces() -> None:
    nothing = np.full((1, 3), np.nan)
    one, other = np.array([[1.0, 0, 0]]), np.array([[-1.0, 0, 0]])
    assert spread_of_forces([one, other]).tolist() == [1.0]
    assert spread_of_forces([one, other, nothing]).tolist() == [1.0]
    assert np.isnan(spread_of_forces([one, nothing])).all()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "name a model with --model"),
        (("--model", "zeroo"), "unknown model 'zeroo'"),
        (("--model", "zero", "--mode", "tttt"), "unknown mode 'tttt'"),
        (("--model", "zero", "--set", "ttt.steps=3"), "mode 'ttt', which is not run"),
    ],
)
def test_what_was_mistyped_is_told(
    molecules: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    result = invoke(molecules, *words, "--out", tmp_path / "out")
    assert isinstance(result.exception, BenchError)
    assert sentence in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_mode_without_training_geometries_names_the_option(
    molecules: Path, tmp_path: Path
) -> None:
    words = ("--model", "gfn2-xtb", "--mode", "rr", "--out", tmp_path / "out")
    result = invoke(molecules, *words)
    assert result.exit_code == 1
    assert "gfn2-xtb rr: " in result.output
    assert torch.get_num_threads() == 1


def test_a_model_without_a_suite_is_asked_for_one(
    molecules: Path, shared_springs: str
) -> None:
    training, settings = training_for(shared_springs, "", 0)
    assert not settings
    with pytest.raises(BenchError, match=r"no suite of .* is known; name one with"):
        training.read()
    training, _ = training_for("mini-schnet", "", 0)
    assert training.name == "mini-ood/train"
