"""``screen``: verdicts, their reasons, the files, and what few labels leave out."""

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from typer.testing import CliRunner

import mlffbench
from mlffbench.api.screen_table import ScreenTable
from mlffbench.cli.app import app
from mlffbench.core.errors import BenchError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.datasets.unlabelled.unlabelled_file import open_unlabelled
from mlffbench.diagnostics.diagnostic import Sample
from mlffbench.screening.calibration import Calibration
from mlffbench.screening.judgement import Familiar, judge
from mlffbench.screening.measured import Alarmed
from mlffbench.screening.molecule_svg import colour_of, draw_atoms
from mlffbench.screening.screen_page import _about_atom

KNOWN = (
    "CH3OH CH4 C2H6 H2O CO2 H2CO C2H4 C2H2 CH3CHO HCOOH CO H2O2 CH3COCH3 C6H6 CH3CH2OH "
    "CH3OCH3 C3H8 C3H4_C3v C3H4_D2d C3H6_D3h C3H4_C2v C4H4O H2CCHCN CH3CN HCN NH3 "
    "CH3NO2"
).split()
SUITE = """
name: small
version: 1
summary: small files
level_of_theory: wells
splits:
  - {{name: train, role: train, file: train.xyz}}
  - {{name: id, role: id_val, file: {val}}}
  - {{name: id, role: id_test, file: test.xyz}}
models: [mini-schnet]
"""


def labelled(name: str, seed: int) -> Atoms:
    """Return a shaken molecule with the labels of a harmonic well around each atom."""
    atoms = molecule(name)
    shake = np.random.default_rng(seed).normal(scale=0.05, size=(len(atoms), 3))
    atoms.positions += shake
    atoms.info |= {"REF_energy": -10.0 * len(atoms), "group": name}
    atoms.arrays["REF_forces"] = -shake
    return atoms


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return suites with 24 and 6 labelled molecules, and a file to screen."""
    path = tmp_path_factory.mktemp("suite")
    frames = [labelled(name, seed) for seed, name in enumerate(KNOWN)]
    ase.io.write(path / "train.xyz", [labelled(n, 99) for n in KNOWN[:8]])
    ase.io.write(path / "val.xyz", frames[:24])
    ase.io.write(path / "few.xyz", frames[:6])
    ase.io.write(path / "test.xyz", frames[24:])
    shared = "shares_molecules: other conformers"
    for name, val in (("small", "val.xyz"), ("scarce", "few.xyz")):
        text = SUITE.format(val=f"{val}, {shared}").replace("small", name)
        (path / f"{name}.yaml").write_text(text)
    mine = [molecule("CH3OH"), molecule("SH2"), molecule("NH3"), molecule("CH3")]
    mine[2].info["charge"] = 1
    mine[2].info["multiplicity"] = 2
    mine[3].set_initial_magnetic_moments([1, 0, 0, 0])
    ase.io.write(path / "mine.xyz", mine)
    return path


def words_for(folder: Path, suite: str, out: Path) -> list[str]:
    given = ("screen", folder / "mine.xyz", "--model", "mini-schnet", "--prior", "zero")
    return [*map(str, given), "--suite", str(folder / f"{suite}.yaml"), "--out", str(out)]


@pytest.fixture(scope="module")
def screened(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder of a screen, and what was printed."""
    out = tmp_path_factory.mktemp("screened")
    words = words_for(folder, "small", out)
    done = CliRunner().invoke(app, words, env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return out, done.output


def test_every_structure_has_a_verdict_and_a_reason(screened: tuple[Path, str]) -> None:
    table = pd.read_parquet(screened[0] / "screen.parquet")
    assert table["id"].tolist() == ["mine/0", "mine/1", "mine/2", "mine/3"]
    known = table.iloc[0]
    assert known["error_low"] < known["expected_error"] < known["error_high"]
    assert table["why"][1].startswith("new element S")
    assert table["verdict"][1] != "as in training"
    assert table["verdict"][2] == "do not trust"
    assert table["why"][2] == "charge +1 not supported"
    assert np.isnan(table["expected_error"][2])
    assert "unpaired electrons (2S+1 = 2), which training lacks" in table["why"][3]
    assert table["refine"].str.match("yes|no: |not known").all()
    assert table["charge"].tolist() == [0, 0, 1, 0]


def test_the_table_fits_eighty_columns(screened: tuple[Path, str]) -> None:
    lines = [line for line in screened[1].splitlines() if "wrote" not in line]
    shown = [line for line in lines if not line.startswith(("warning", "note"))]
    assert max(map(len, shown)) <= 80
    assert "do not" in screened[1]


def test_the_files_hold_the_same(screened: tuple[Path, str]) -> None:
    out, _ = screened
    frames = ase.io.read(out / "screen.extxyz", ":")
    assert frames[0].info["verdict"] in {"as in training", "caution"}
    assert np.isfinite(frames[0].arrays["atom_distance"]).all()
    assert np.isnan(frames[2].arrays["atom_distance"]).all()
    assert np.isfinite(frames[0].get_forces()).all()
    assert frames[2].calc is None
    # what we write we read, and so does the calculator
    again = mlffbench.load_structures(str(out / "screen.extxyz"))
    assert again.charge.tolist() == [0, 0, 1, 0]
    frames[0].calc = mlffbench.calculator("mini-schnet", device="cpu")
    assert np.isfinite(frames[0].get_forces()).all()
    assert len(pd.read_csv(out / "screen.csv")) == 4
    page = (out / "screen.html").read_text()
    assert "Can mini-schnet be trusted here?" in page
    assert page.count("<svg") == 5  # four molecules and the calibration
    assert "http" not in page.partition("<style>")[2].partition("</style>")[2]


def test_few_labels_give_a_rank_and_no_error(folder: Path, tmp_path: Path) -> None:
    table = mlffbench.screen_file(
        folder / "mine.xyz",
        models=["mini-schnet", "zero"],
        suite=str(folder / "scarce.yaml"),
        prior="zero",
        device="cpu",
        out=tmp_path,
    )
    assert "expected_error" not in table
    remark = table.attrs["remarks"][-1]
    assert "has 6 labelled val molecules, fewer than the 20" in remark
    assert table["rank"].iloc[0] < np.inf
    assert table["model_spread"].notna().tolist() == [True, True, False, True]
    assert "90 % interval" not in (tmp_path / "screen.html").read_text()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"models": "mini-scnet"}, "unknown model 'mini-scnet'"),
        ({"models": ()}, "name a model with --model"),
        ({"suite": "mini"}, "unknown suite 'mini'"),
        ({"path": "nowhere.xyz"}, "nowhere.xyz does not exist"),
        ({"models": "gfn1-xtb", "suite": ""}, "no suite of 'gfn1-xtb' is known"),
    ],
)
def test_what_was_mistyped_is_told(
    folder: Path, change: dict[str, Any], sentence: str
) -> None:
    asked = {
        "path": folder / "mine.xyz",
        "models": "mini-schnet",
        "suite": str(folder / "small.yaml"),
        **change,
    }
    with pytest.raises(BenchError) as raised:
        mlffbench.screen_file(asked.pop("path"), **asked)
    assert sentence in str(raised.value)


def test_pictures_are_plain_and_colours_grow() -> None:
    atoms = Atoms("OH2", [[0, 0, 0], [0, 0.8, 0.6], [0, -0.8, 0.6]])
    about = ["<script>", "b", "c"]
    scores = np.array([0.0, 3.0, np.nan])
    picture = draw_atoms(atoms.numbers, atoms.positions, scores, about)
    assert "&lt;script&gt;" in picture
    assert "<script>" not in picture
    assert picture.count("<circle") == 3
    assert picture.count("<line") == 2
    assert (colour_of(0), colour_of(99), colour_of(np.nan)) == (
        "#f4f0e4",
        "#b02018",
        "#c9cccb",
    )
    one = Atoms("He", [[0, 0, 0]])
    assert "circle" in draw_atoms(one.numbers, one.positions, np.ones(1), ["He"])


def test_an_alarm_that_is_missing_is_no_sign_of_trust() -> None:
    water = Structures.build([torch.eye(3)], [torch.tensor([8, 1, 1])], ids=["w/0"])
    forces = torch.zeros((3, 3))
    labels = Labels(energy=torch.zeros(1), forces=forces, source="model")
    mine = Alarmed(
        sample=Sample(name="mine", structures=water, prediction=labels),
        alarms={"prior_gap": np.array([np.nan]), "embedding_knn": np.array([0.1])},
        reasons={"prior_gap": {0: "the prior failed"}},
        atom_distance=np.full(3, 0.1),
        atom_gap=np.full(3, np.nan),
    )
    rng = np.random.default_rng(0)
    alarms = {name: rng.uniform(0.1, 1, 30) for name in mine.alarms}
    calibration = Calibration.of(
        alarms, alarms["prior_gap"], [f"m{i}" for i in range(30)]
    )
    familiar = Familiar(
        error=1.0,
        alarms={"prior_gap": 1.0, "embedding_knn": 1.0},
        atom_distance={1: 1.0, 8: 1.0},
        elements=frozenset({1, 8}),
        charges=frozenset({0}),
        multiplicities=frozenset({1}),
        most_atoms=3,
    )
    [judged] = judge(mine, familiar, calibration, "zero")
    assert judged.verdict == "caution"
    assert judged.reason == "prior_gap could not be measured (the prior failed)"


def test_another_screen_is_not_overwritten_without_a_word(
    folder: Path, screened: tuple[Path, str]
) -> None:
    words = words_for(folder, "small", screened[0])
    assert CliRunner().invoke(app, words, env={"COLUMNS": "80"}).exit_code == 0
    other = words_for(folder, "small", screened[0])
    other[other.index("zero")] = "gfn1-xtb"
    done = CliRunner().invoke(app, other)
    assert isinstance(done.exception, BenchError)
    assert "holds another screen (prior); choose another --out" in str(done.exception)
    assert "--overwrite" in str(done.exception)


def test_a_notebook_shows_verdicts_and_escapes_every_name() -> None:
    table = ScreenTable(
        {
            "id": ["<script>alert(1)</script>/0", "b/0"],
            "verdict": ["caution", "do not trust"],
            "expected_error": [0.1, np.nan],
            "error_low": [0.05, np.nan],
            "error_high": [0.2, np.nan],
            "rank": [1.0, 2.0],
            "why": ["new element <b>S", "charge +1"],
            "refine": ["yes", "no"],
        }
    )
    table.attrs["remarks"] = ["<i>labels</i> are ignored"]
    shown = table._repr_html_()
    assert "<script>" not in shown
    assert "<i>" not in shown
    assert "&lt;script&gt;" in shown
    assert shown.index("do not trust</b>") < shown.index("caution</b>")
    assert "<td>100</td><td>50–200</td>" in shown
    assert not isinstance(table.query("rank > 1"), ScreenTable)


def test_an_atom_is_told_of_by_what_colours_it() -> None:
    with_features = _about_atom(0, 6, 2.0, 0.1, by_prior=False)
    assert with_features.endswith("2.0 times the usual distance from training, "
                                  "100 meV/Å from the prior")  # fmt: skip
    by_prior = _about_atom(0, 6, 2.0, 0.1, by_prior=True)
    assert by_prior == "atom 0, C: 100 meV/Å from the prior, 2.0 times what is usual"
    assert "nothing could be measured" in _about_atom(0, 6, np.nan, np.nan, by_prior=True)


def test_isomers_without_a_group_are_molecules_of_their_own(tmp_path: Path) -> None:
    names = ("CH3CH2OH", "CH3OCH3", "CH3CH2OH", "H2O")
    ase.io.write(tmp_path / "mine.xyz", [molecule(name) for name in names])
    source = open_unlabelled(tmp_path / "mine.xyz")
    ethanol, ether, again, water = source.structures(np.arange(4)).group
    assert ethanol == again
    assert ethanol != ether
    assert water == "H2O"
