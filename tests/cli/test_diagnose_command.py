import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.io import write
from processes import mlffbench

from mlffbench.api.named_sets import remarks_on_sets, sample_of
from mlffbench.cli.app import app
from mlffbench.core.errors import BenchError
from mlffbench.diagnostics.diagnosis import Diagnosis


def diagnose(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return mlffbench("diagnose", *map(str, words), cwd=cwd)


def frames(name: str, n: int, *, pull: float, seed: int) -> list[Atoms]:
    """Return shaken molecules whose forces are ``pull`` times the shake."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        atoms = molecule(name)
        shake = rng.normal(scale=0.03, size=(len(atoms), 3))
        atoms.positions += shake
        atoms.info["REF_energy"] = 0.0
        atoms.arrays["REF_forces"] = -pull * shake
        found.append(atoms)
    return found


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write(tmp_path / "cold.xyz", frames("CH3OH", 12, pull=1, seed=0))
    write(tmp_path / "hot.xyz", frames("CH3OH", 12, pull=3, seed=1))
    write(tmp_path / "one.xyz", frames("CH3OH", 1, pull=1, seed=2))
    bare = frames("C2H6", 6, pull=1, seed=3)
    for atoms in bare:
        del atoms.info["REF_energy"], atoms.arrays["REF_forces"]
    write(tmp_path / "bare.xyz", bare)
    (tmp_path / "empty.xyz").write_text("")
    return tmp_path


def test_two_files_name_the_force_norm_shift(files: Path) -> None:
    done = diagnose("--train", "cold.xyz", "--test", "hot.xyz", cwd=files)
    assert done.returncode == 0, done.stderr
    assert "largest shift: force norm" in done.stdout
    assert "force_norm 12" in done.stdout
    stored = Diagnosis.read(files / "diagnose" / "diagnostics.json")
    assert stored.cutoff == 5
    assert (files / "diagnose" / "figures" / "force_norm_mean.png").exists()


def test_what_a_file_is_like_is_said_as_run_says_it(files: Path) -> None:
    again = [*frames("CH3OH", 3, pull=1, seed=4)] * 2
    write(files / "again.xyz", again)
    said = remarks_on_sets((str(files / "again.xyz"), str(files / "bare.xyz")))
    assert said[0] == (
        f"3 of the 6 frames of {files / 'again.xyz'} repeat an earlier one atom by atom: "
        "means and intervals count them all"
    )
    assert all("again.xyz" in text for text in said[1:])  # none of what has no labels


def test_a_file_without_labels_is_measured_by_what_needs_none(
    files: Path, springs: str
) -> None:
    words = ("--train", "cold.xyz", "--test", "bare.xyz", "--model", springs)
    done = diagnose(*words, cwd=files)
    assert done.returncode == 0, done.stderr
    stored = Diagnosis.read(files / "diagnose" / "diagnostics.json")
    results = {one.name: one for one in stored.diagnostics}
    assert results["composition"].samples["test"].summary.n == 6
    assert results["spectral_gap"].samples["test"].summary.n == 6
    assert results["force_norm_mean"].reason == "bare.xyz has no reference forces"
    assert stored.ranking == ()
    test = stored.samples[1]
    assert test.shift_labels.keys() == {"elements", "connectivity", "size", "charge"}
    told = "6 of 6 structures carry force_norm is unknown (bare.xyz has no reference"
    assert told in done.stdout


def test_a_file_with_some_labels_keeps_them(files: Path) -> None:
    text = (files / "bare.xyz").read_text() + (files / "cold.xyz").read_text()
    (files / "some").write_text(text)
    some = sample_of(str(files / "some"), "test", limit=None, seed=0)
    assert some.reference is not None
    known = torch.isfinite(some.reference.forces).all(dim=1)
    assert known.tolist() == [False] * 6 * 8 + [True] * 12 * 6
    assert some.absent == {}
    bare = sample_of(str(files / "bare.xyz"), "test", limit=None, seed=0)
    assert bare.reference is None
    assert bare.why_absent("reference").endswith("bare.xyz has no reference forces")


def test_a_split_of_a_suite_and_a_model(files: Path) -> None:
    done = diagnose(
        *("--train", "mini-ood:train", "--test", "mini-ood:ood_elements/val"),
        *("--model", "zero", "--limit", "20", "--cutoff", "4", "--out", "there"),
        cwd=files,
    )
    assert done.returncode == 0, done.stderr
    assert "largest shift: elements" in done.stdout
    assert "which diagnostic predicts the error" in done.stdout
    stored = Diagnosis.read(files / "there" / "diagnostics.json")
    assert stored.cutoff == 4
    assert stored.samples[1].shift_labels["elements"] == stored.samples[1].n


def test_a_suite_without_a_run_is_computed(suite_file: Path, springs: str) -> None:
    words = ("--suite", suite_file.name, "--model", springs, "--out", "there")
    done = diagnose(*words, cwd=suite_file.parent)
    assert done.returncode == 0, done.stderr
    stored = Diagnosis.read(suite_file.parent / "there" / "diagnostics.json")
    assert [sample.name for sample in stored.samples] == ["train", "id", "ood"]


def test_a_finished_run_is_read_unless_a_folder_or_other_numbers_are_asked_for(
    suite_file: Path, springs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(suite_file.parent)
    # pictures take most of the time, and are looked at elsewhere
    monkeypatch.setattr("mlffbench.diagnostics.figures.draw", lambda *_: b"a picture")
    words = ["--suite", suite_file.name, "--model", springs]
    app(["run", *words, "--mode", "baseline"], standalone_mode=False)
    app(["diagnose", *words], standalone_mode=False)
    assert not Path("diagnose").exists()
    assert list(Path("runs").glob("*/*/baseline/figures/force_norm_mean.png"))
    app(["diagnose", *words, "--out", "there"], standalone_mode=False)
    assert Path("there", "diagnostics.json").exists()
    for option in (("--seed", "3"), ("--dtype", "float32")):
        app(["diagnose", *words, *option], standalone_mode=False)
        Path("diagnose", "diagnostics.json").unlink()  # one was made


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--train", "cold.xyz"), "give --train and --test, or --suite"),
        (("--train", "empty.xyz", "--test", "hot.xyz"), "empty.xyz"),
        (
            ("--train", "one.xyz", "--test", "hot.xyz"),
            "one.xyz holds 1 structure; a training set needs at least 2",
        ),
        (("--train", "cold.xyz", "--test", "gone.xyz"), "gone.xyz"),
        (("--train", "cold.xyz", "--test", "minni"), "Did you mean 'mini'"),
        (("--train", "cold.xyz", "--test", "mini-ood"), "say which split"),
        (("--train", "cold.xyz", "--test", "mini-ood:ood_elemnts"), "Did you mean"),
        (("--train", "cold.xyz", "--test", "hot.xyz", "--cutoff", "0"), "no radius"),
        (("--train", "cold.xyz", "--test", "hot.xyz", "--cutoff", "-1"), "no radius"),
        (
            ("--train", "cold.xyz", "--test", "hot.xyz", "--prior", "gfn2-xtb"),
            "name the model",
        ),
        (
            (
                *("--train", "cold.xyz", "--test", "hot.xyz"),
                *("--model", "zero", "--prior", "nope"),
            ),
            "unknown prior 'nope'",
        ),
        (
            (
                *("--train", "cold.xyz", "--test", "hot.xyz"),
                *("--model", "mini-schnet", "--cutoff", "9"),
            ),
            "above the 4.5 Å that 'mini-schnet' was trained with",
        ),
    ],
)
def test_bad_input_is_one_sentence(
    words: tuple[str, ...],
    sentence: str,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(files)
    with pytest.raises(BenchError) as told:
        app(["diagnose", *words], standalone_mode=False)
    assert sentence in str(told.value)
    assert len(str(told.value).splitlines()) == 1
    assert not (files / "diagnose").exists()


def test_a_mistake_is_printed_without_traceback(files: Path) -> None:
    done = diagnose("--train", "one.xyz", "--test", "hot.xyz", cwd=files)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
