"""Whole commands on a card, against the same on the CPU."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mini_suites import write_mini_suite
from typer.testing import CliRunner

from mlffbench.cli.app import app

pytestmark = [
    pytest.mark.gpu,
    # PyTorch Geometric compiles with it when first imported
    pytest.mark.filterwarnings(
        "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
    ),
]
MODES = ("baseline", "rr", "ttt", "rr+ttt", "rr-paper", "ttt-paper")


def command(*words: object) -> None:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output + str(done.exception)


def forces_of(folder: Path) -> np.ndarray:
    with np.load(folder / "forces.npz") as arrays:
        return np.concatenate([arrays[name].ravel() for name in sorted(arrays.files)])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the runs of every mode in float64 by device."""
    folder = tmp_path_factory.mktemp("card")
    suite = write_mini_suite(folder, "few", modes="[baseline]", settings="{}")
    found = {}
    for device in ("cpu", "cuda"):
        words = ["run", "--suite", suite, "--mode", ",".join(MODES), "--limit", 4]
        words += ["--device", device, "--dtype", "float64", "--no-diagnose"]
        words += ["--set", "ttt-paper.steps=50"]
        command(*words, "--out", folder / device)
        found[device] = folder / device / "few--limit-4" / "mini-schnet"
    return found


@pytest.mark.parametrize("mode", ["baseline", "rr", "ttt", "rr+ttt", "rr-paper"])
def test_a_mode_gives_the_numbers_of_the_cpu(runs: dict[str, Path], mode: str) -> None:
    tables = {
        device: pd.read_parquet(folder / mode / "predictions.parquet")
        for device, folder in runs.items()
    }
    told: dict[str, Any] = {
        device: json.loads((folder / mode / "run.json").read_text())
        for device, folder in runs.items()
    }
    assert len(tables["cuda"]) == len(tables["cpu"]) > 0
    assert torch.cuda.get_device_name() in json.dumps(told["cuda"])
    forces = {device: forces_of(folder / mode) for device, folder in runs.items()}
    # a descent magnifies the rounding of its first steps
    close = 1e-8 if mode in {"baseline", "rr", "rr-paper"} else 1e-3
    np.testing.assert_allclose(forces["cuda"], forces["cpu"], atol=close, rtol=0)
    if "adapted" in tables["cpu"]:
        adapted = [table["adapted"].eq(True) for table in tables.values()]
        assert (adapted[0] == adapted[1]).all()


def test_the_papers_descent_ends_near_that_of_the_cpu(runs: dict[str, Path]) -> None:
    forces = {device: forces_of(folder / "ttt-paper") for device, folder in runs.items()}
    np.testing.assert_allclose(forces["cuda"], forces["cpu"], atol=1e-2, rtol=0)


def test_a_run_on_a_card_is_diagnosed_screened_and_reported(tmp_path: Path) -> None:
    suite = write_mini_suite(tmp_path, "few", modes="[baseline]", settings="{}")
    out = tmp_path / "runs"
    command("run", "--suite", suite, "--limit", 4, "--device", "cuda", "--out", out)
    assert (out / "report.html").stat().st_size > 100_000
    smiles = tmp_path / "mine.smi"
    smiles.write_text("CCO ethanol\nCC(=O)N acetamide\n")
    pytest.importorskip("rdkit")
    words = ["screen", smiles, "--model", "mini-schnet", "--device", "cuda"]
    command(*words, "--suite", suite, "--out", tmp_path / "screened")


def test_workers_share_a_card_and_give_the_same_bytes(tmp_path: Path) -> None:
    suite = write_mini_suite(tmp_path, "few", modes="[baseline]", settings="{}")
    words = ["run", "--suite", suite, "--limit", 20, "--device", "cuda", "--no-diagnose"]
    words += ["--batch-atoms", 100]
    found = []
    for n in (1, 2):
        command(*words, "--workers", n, "--out", tmp_path / f"{n}")
        [path] = (tmp_path / f"{n}").rglob("predictions.parquet")
        found.append(forces_of(path.parent))
    np.testing.assert_array_equal(found[1], found[0])


def test_simulate_on_a_card(tmp_path: Path) -> None:
    suite = write_mini_suite(tmp_path, "few", modes="[baseline]", settings="{}")
    words = ["simulate", "--suite", suite, "--model", "mini-schnet", "--device", "cuda"]
    words += ["--mode", "baseline,ttt", "--limit", 2, "--time", 0.02, "--seeds", 1]
    command(*words, "--out", tmp_path / "runs")
    assert len(list((tmp_path / "runs").rglob("dynamics.json"))) == 2
