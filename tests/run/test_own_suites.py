"""Suites of one's own: shipped splits beside files, parts of a file, no train split."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write
from typer.testing import CliRunner

import mlffbench
from mlffbench.api.named_sets import structures_of_set
from mlffbench.cli.app import app
from mlffbench.core.errors import BenchError, DataError, SuiteError, UnknownNameError
from mlffbench.core.split import remarks_on
from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve
from mlffbench.run.suite import load_suite
from mlffbench.run.suite_splits import load_splits

SUITE = """
name: own
version: 1
summary: own
level_of_theory: HF
models: [zero]
splits:
"""


def labelled(name: str, seed: int, *, group: str = "") -> Atoms:
    """Return a shaken molecule with made-up labels."""
    atoms = molecule(name)
    shake = np.random.default_rng(seed).normal(scale=0.05, size=(len(atoms), 3))
    atoms.positions += shake
    atoms.info["REF_energy"] = float(0.5 * (shake**2).sum() - 10 * len(atoms))
    atoms.info["group"] = group or name
    atoms.arrays["REF_forces"] = -shake
    return atoms


def suite_of(folder: Path, *splits: str) -> str:
    path = folder / "own.yaml"
    path.write_text(SUITE + "".join(f"  - {{{split}}}\n" for split in splits))
    return str(path)


@pytest.fixture
def kinds(tmp_path: Path) -> Path:
    """Write a file of four kinds of frames."""
    frames = []
    for number in range(6):
        atoms = labelled("NH3", number)
        atoms.info["config_type"] = "md_300K" if number < 4 else "md_600K"
        atoms.info["step"] = 10 * number
        atoms.info["label"] = f"dimer_{number}"
        frames.append(atoms)
    write(tmp_path / "kinds.xyz", frames)
    return tmp_path


def test_shipped_splits_stand_beside_a_file(tmp_path: Path) -> None:
    write(tmp_path / "mine.xyz", [labelled("SiH4", 1, group="silane")])
    path = suite_of(
        tmp_path,
        "name: train, role: train, file: 'mini:train'",
        "name: tune, role: id_val, file: 'mini:id_molecules'",
        "name: dimers, role: id_test, file: 'mini-ood:ood_dimers/val'",
        "name: mine, role: ood_test, file: mine.xyz, shift: {kind: elements}",
    )
    splits = {split.name: split for split in load_splits(*load_suite(path))}
    assert {name: len(split.rows) for name, split in splits.items()} == {
        "train": 333,
        "tune": 41,  # the val half, as its role says
        "dimers": 54,
        "mine": 1,
    }
    assert splits["train"].source.level_of_theory == "wB97X/6-31G(d)"
    assert splits["train"].rule == "every structure of mini:train"
    assert remarks_on(tuple(splits.values())) == (
        "labels of 'mine' are of the level of theory HF, those of train of "
        "wB97X/6-31G(d): errors and aligned energies hold the difference",
    )


def test_a_trained_molecule_of_a_shipped_split_leaks(tmp_path: Path) -> None:
    write(tmp_path / "mine.xyz", [labelled("CH3OH", 1, group="mine")])
    path = suite_of(
        tmp_path,
        "name: train, role: train, file: 'mini:train'",
        "name: mine, role: id_test, file: mine.xyz",
    )
    with pytest.raises(DataError, match=r"are in train, e\.g\. 'mine'"):
        load_splits(*load_suite(path))


@pytest.mark.parametrize(
    ("split", "error", "sentence"),
    [
        ("file: 'minni:train'", SuiteError, "no dataset 'minni': did you mean 'mini'?"),
        ("file: 'mini:trian'", UnknownNameError, "split of mini 'trian'. Did you mean"),
        ("file: 'mini:train', energy_unit: eV", SuiteError, "remove energy_unit from it"),
        ("file: 'mini:train', level_of_theory: X", SuiteError, "its own level_of_theory"),
        ("file: 'mini:train', select: {subset: x}", DataError, "has subset = x; there"),
        ("file: kinds.xyz, select: {config: a}", DataError,
         "says no 'config' of its structures to select by; it has: group, config_type, "
         "REF_energy, step, label, name, molecule, "),
        ("file: kinds.xyz, select: {config_type: md_400K}", DataError,
         "has config_type = md_400K; there are: md_300K (4), md_600K (2)"),
        ("file: kinds.xyz, select: {config_type: md_300K, step: 50}", DataError,
         "has step = 50; there are: 0 (1), 10 (1), 20 (1), 30 (1)"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_one_sentence(
    kinds: Path, split: str, error: type[BenchError], sentence: str
) -> None:
    path = suite_of(kinds, f"name: a, role: id_test, {split}")
    with pytest.raises(error, match=re.escape(sentence)):
        load_splits(*load_suite(path))


@pytest.mark.parametrize(
    ("select", "chosen"),
    [
        ("{config_type: md_300K}", [0, 1, 2, 3]),
        ("{config_type: 'md_*', step: 50}", [5]),
        ("{step: [10, '20', 30.0]}", [1, 2, 3]),
        ("{label: 'dimer_[0-1]'}", [0, 1]),
        ("{name: 'kinds/4'}", [4]),
        ("{name: kinds, molecule: NH3, charge: 0, n_atoms: 4}", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_a_part_of_a_file_is_a_split(kinds: Path, select: str, chosen: list[int]) -> None:
    path = suite_of(kinds, f"name: a, role: id_test, file: kinds.xyz, select: {select}")
    (split,) = load_splits(*load_suite(path))
    assert split.rows.tolist() == chosen
    assert split.rule.startswith(select[1:].partition(":")[0])


def test_parts_of_one_file_may_not_overlap(kinds: Path) -> None:
    path = suite_of(
        kinds,
        "name: train, role: train, file: kinds.xyz, select: {config_type: md_300K}",
        "name: a, role: id_test, file: kinds.xyz, select: {step: [30, 40]}",
    )
    with pytest.raises(DataError, match="1 structures of split 'a' are in train"):
        load_splits(*load_suite(path))


def test_a_single_file_is_evaluated_and_what_it_lacks_is_said(
    tmp_path: Path, springs: str
) -> None:
    write(tmp_path / "one.xyz", [labelled(n, i) for n in ("NH3", "CO2") for i in (1, 2)])
    path = suite_of(
        tmp_path,
        "name: hot, role: ood_test, file: one.xyz, shift: {kind: force_norm}",
    )
    request = Request(
        suite=path,
        models=("zero", springs),
        modes=("baseline",),
        out=tmp_path / "runs",
        diagnose=True,
    )
    campaign = resolve(request)
    assert [text.split(":")[0] for text in campaign.warnings] == [
        "no split has the role train",
        "no split has the role id_test",
    ]
    done = run_campaign(campaign)
    assert (done.faults, done.notes) == ([], [])  # no diagnosis, said above
    (record,) = score_run(done.folders[0]).records
    assert record.counts.evaluated == 4
    assert record.metrics["forces_mae"].value > 0
    assert "energy_aligned_mae" not in record.metrics
    assert record.gap == {}
    assert record.notes == (
        "no gap to ID: no split has the role id_test",
        "no aligned energies: no split has the role train",
    )
    checks = json.loads(done.folders[0].manifest_path.read_text())["checks"]
    assert set(campaign.warnings) <= set(checks["remarks"])


def test_every_command_takes_a_suite_of_one_file(tmp_path: Path) -> None:
    write(tmp_path / "one.xyz", [labelled("NH3", i) for i in (1, 2)])
    path = suite_of(tmp_path, "name: own, role: id_test, file: one.xyz")
    runs = tmp_path / "runs"
    ran = CliRunner().invoke(app, ["run", "--suite", path, "--out", str(runs)])
    assert ran.exit_code == 0, ran.output
    assert "no split has the role train: there are no aligned energies" in ran.output
    assert CliRunner().invoke(app, ["plan", "--suite", path]).exit_code == 0
    scored = CliRunner().invoke(app, ["score", str(runs), "--wide"])
    assert "no aligned energies: no split has the role train" in scored.output
    for form in ("html", "csv", "json", "md"):
        out = str(tmp_path / f"report.{form}")
        command = ["report", str(runs), "--format", form, "--out", out]
        assert CliRunner().invoke(app, command).exit_code == 0
    told = CliRunner().invoke(app, ["diagnose", "--suite", path])
    assert told.exit_code == 1
    assert "no split has the role train" in str(told.exception)
    results = mlffbench.run_suite(path, models="zero", out=tmp_path / "api")
    assert len(results.structures) == 2


def test_a_mode_that_compares_with_training_says_so(tmp_path: Path) -> None:
    write(tmp_path / "one.xyz", [labelled("NH3", 1)])
    path = suite_of(tmp_path, "name: own, role: id_test, file: one.xyz")
    request = Request(
        suite=path,
        models=("mini-schnet",),
        modes=("baseline", "ttt"),
        out=tmp_path / "runs",
    )
    done = run_campaign(resolve(request))
    assert len(done.folders) == 1
    assert done.notes == [
        "mini-schnet ttt: it compares with training geometries, and the suite 'own' has "
        "no split with the role train; add one, e.g. file: mini:train"
    ]


def test_a_shipped_split_is_named_alike_everywhere() -> None:
    named = structures_of_set("mini:ood_dimers/val", limit=None, seed=0)
    assert named.n_systems == 54
