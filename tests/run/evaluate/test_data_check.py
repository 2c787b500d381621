"""Labels in kcal/mol are told before anything is computed, in run.json and the report."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read, write
from typer.testing import CliRunner

from mlffbench.cli.app import app
from mlffbench.core.split import Split
from mlffbench.core.units import BOHR, KCAL_PER_MOL
from mlffbench.datasets.files.open import open_source
from mlffbench.datasets.unlabelled.unlabelled_file import open_unlabelled
from mlffbench.run.evaluate.data_check import N_STRUCTURES, check_data, sample
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve

SUITE = """
name: units
version: 1
summary: labels of GFN2-xTB, in kcal/mol in one file
level_of_theory: GFN2-xTB
splits:
  - {name: train, role: train, file: train.xyz}
  - {name: id, role: id_test, file: train2.xyz, shares_molecules: the same}
  - {name: ood, role: ood_test, file: kcal.xyz, shift: {kind: size}}
models: [zero]
"""


def labelled(path: Path, factor: float, *names: str, seed: int = 0) -> None:
    from tblite.ase import TBLite

    frames = [molecule(name) for name in names]
    for number, atoms in enumerate(frames):
        atoms.rattle(0.08, seed=seed + number)
        atoms.calc = TBLite(method="GFN2-xTB", verbosity=0, cache_api=False)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        atoms.info["REF_energy"] = energy * factor
        atoms.arrays["REF_forces"] = forces * factor
    write(path, frames, format="extxyz")


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    labelled(tmp_path / "train.xyz", 1.0, "H2O", "CH4", "CH3OH")
    labelled(tmp_path / "train2.xyz", 1.0, "H2O", "CH4", "CH3OH", seed=9)
    labelled(tmp_path / "kcal.xyz", 1 / KCAL_PER_MOL, "C2H6", "NH3", "HCN", "CH3CH2OH")
    path = tmp_path / "units.yaml"
    path.write_text(SUITE)
    return path


def test_the_file_in_kcal_is_named_and_no_other(suite: Path, tmp_path: Path) -> None:
    campaign = resolve(Request(suite=str(suite), out=tmp_path / "runs"))
    found = check_data(campaign.splits)
    assert [text.split(" look")[0] for text in found] == ["ood: energies", "ood: forces"]
    assert all("kcal/mol" in text for text in found)
    done = run_campaign(campaign)
    manifest = json.loads((done.folders[0].path / "run.json").read_text())
    assert manifest["checks"]["remarks"] == list(found)


def test_it_stands_in_the_terminal_and_on_top_of_the_report(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["run", "--suite", str(suite), "--no-diagnose"])
    assert done.exit_code == 0
    first = done.output.index("warning: ood: energies look like")
    assert first < done.output.index("zero baseline: ")
    report = (tmp_path / "runs" / "report.html").read_text(encoding="utf-8")
    assert "ood: forces look like forces in kcal/mol/Å" in report


def test_a_file_without_molecules_is_said(tmp_path: Path) -> None:
    labelled(tmp_path / "train.xyz", 1.0, "H2O")
    labelled(tmp_path / "train2.xyz", 1.0, "CH4")
    atoms = molecule("Li")
    atoms.info["REF_energy"], atoms.arrays["REF_forces"] = -1.0, np.zeros((1, 3))
    write(tmp_path / "kcal.xyz", atoms, format="extxyz")
    (tmp_path / "units.yaml").write_text(SUITE)
    campaign = resolve(Request(suite=str(tmp_path / "units.yaml")))
    (found,) = check_data(campaign.splits)
    assert found.startswith("ood: labels were not compared with GFN2-xTB: no molecule")
    split = campaign.splits[0]
    assert len(sample(split.source, split.rows)) == 1 <= N_STRUCTURES


def test_structures_with_a_cell_are_said_not_to_be_compared(tmp_path: Path) -> None:
    labelled(tmp_path / "water.xyz", 1.0, "H2O", "CH4")
    frames = [*read(tmp_path / "water.xyz", ":"), molecule("H2O")]
    frames[-1].set_cell([9, 9, 9])
    frames[-1].pbc = True
    frames[-1].info["REF_energy"] = -1.0
    frames[-1].arrays["REF_forces"] = np.zeros((3, 3))
    write(tmp_path / "some.xyz", frames, format="extxyz")
    source = open_source(tmp_path / "some.xyz")
    rows = np.arange(3)
    split = Split(name="some", role="id_test", source=source, rows=rows, rule="all")
    assert check_data((split,)) == (
        "some: 1 of 3 structures have a cell: their labels were not compared with "
        "GFN2-xTB",
    )


def test_without_labels_lengths_alone_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))
    frames = [molecule("H2O"), molecule("CH4")]
    for atoms in frames:
        atoms.positions /= BOHR
    write(tmp_path / "mine.xyz", frames, format="extxyz")
    source = open_unlabelled(tmp_path / "mine.xyz")
    split = Split(
        name="mine", role="id_test", source=source, rows=np.arange(2), rule="all"
    )
    assert check_data((split,)) == ("mine: positions look like bohr, not Å",)
    assert not (tmp_path / "cache").exists()  # GFN2-xTB was not run
