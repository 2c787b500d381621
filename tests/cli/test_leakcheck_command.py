"""``leakcheck`` and ``label`` from the outside: answers, exit codes, bare files."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write
from typer.testing import CliRunner

from mlffbench.cli.app import app

RUN = CliRunner()


def unlabelled(path: Path, *names: str, seed: int = 0, **info: str) -> str:
    """Write shaken molecules without labels."""
    frames = [molecule(name) for name in names]
    for number, atoms in enumerate(frames):
        rng = np.random.default_rng(seed + number)
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        atoms.info.update(info)
    write(path, frames, format="extxyz")
    return str(path)


@pytest.fixture
def train(tmp_path: Path) -> str:
    return unlabelled(tmp_path / "train.xyz", "CH3CH2OH", "CH3CH2OH", smiles="CCO")


def test_rattled_copies_without_labels_and_smiles_are_found(
    tmp_path: Path, train: str
) -> None:
    test = unlabelled(tmp_path / "test.xyz", "CH3CH2OH", "CH3OCH3", seed=7)
    done = RUN.invoke(app, ["leakcheck", train, test])
    assert done.exit_code == 1
    assert "1 molecule in both" in done.output
    assert "CCO" in done.output
    assert "connectivity" in done.output
    assert "test: " in done.output
    assert "2 structures of 2 molecules" in done.output


def test_nothing_shared_is_exit_code_0(tmp_path: Path, train: str) -> None:
    test = unlabelled(tmp_path / "test.xyz", "CH3OCH3", "CH4")
    done = RUN.invoke(app, ["leakcheck", train, test, "--json"])
    assert done.exit_code == 0
    assert json.loads(done.output)["answer"] == "not shared"


def test_a_near_duplicate_is_exit_code_1(tmp_path: Path, train: str) -> None:
    done = RUN.invoke(app, ["leakcheck", train, train])
    assert done.exit_code == 1
    assert "2 near duplicates of a train geometry" in done.output


def test_a_suite_file_is_a_set(suite_file: Path, tmp_path: Path) -> None:
    test = unlabelled(tmp_path / "test.xyz", "CH3OH", "C6H6")
    done = RUN.invoke(app, ["leakcheck", f"{suite_file}:train", test])
    assert done.exit_code == 1
    assert "6 structures of 1 molecule" in done.output
    done = RUN.invoke(app, ["leakcheck", str(suite_file), test, "--no-geometries"])
    assert "27 structures of 7 molecules" in done.output


def test_a_half_of_a_split_is_a_set() -> None:
    words = ["leakcheck", "mini:ood_dimers/val", "mini:ood_dimers/test"]
    done = RUN.invoke(app, [*words, "--no-geometries"])
    assert done.exit_code == 0
    assert "no molecule is in both" in done.output
    done = RUN.invoke(app, ["leakcheck", "mini:ood_dimers/vla", "mini"])
    assert done.exit_code == 1
    assert "unknown split of mini 'ood_dimers/vla'" in str(done.exception)


def test_label_takes_what_has_no_labels(tmp_path: Path) -> None:
    bare = unlabelled(tmp_path / "bare.xyz", "H2O", "CH4")
    cache = str(tmp_path / "labels")
    done = RUN.invoke(app, ["label", bare, "--prior", "zero", "--cache-dir", cache])
    assert done.exit_code == 0
    assert "newly computed  2" in done.output.replace("│", " ")
