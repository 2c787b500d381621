"""The paper's published files: read as they are, and refused where they are others."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from mlffbench.core.errors import DataError
from mlffbench.core.split import check_splits
from mlffbench.datasets.download.lockfile import NAME, DatasetLock, FileLock
from mlffbench.datasets.sets import paper_dynamics, paper_spice
from mlffbench.datasets.sets.paper_files import KEY, published_splits
from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve

TRAINED = ("C9H8O4", "C6H6", "C4H4N2O2")
SIM = "md17_ood_sim/md17_aspirin_benzene_uracil_train.xyz"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the published files lie once they are downloaded."""
    monkeypatch.setenv("MLFFBENCH_DATA", str(tmp_path))
    return tmp_path / KEY


def frame(formula: str, norm: float, seed: int) -> Atoms:
    """Return a frame whose mean atomic |F| is given, labelled as ASE does."""
    rng = np.random.default_rng(seed)
    atoms = Atoms(formula)
    grid = np.stack(np.meshgrid(*[np.arange(5.0)] * 3), -1).reshape(-1, 3)[: len(atoms)]
    atoms.positions = 1.5 * grid + rng.normal(scale=0.05, size=grid.shape)
    forces = rng.normal(size=grid.shape)
    forces *= norm / np.linalg.norm(forces, axis=1).mean()
    atoms.calc = SinglePointCalculator(atoms, energy=-10.0 * seed, forces=forces)
    return atoms


def frames(formulas: Sequence[str], norm: float = 1.0, n: int = 4) -> list[Atoms]:
    return [frame(name, norm, seed) for name in formulas for seed in range(1, n + 1)]


def lay(folder: Path, files: dict[str, list[Atoms]]) -> None:
    """Write files as a download leaves them, with the note of what was verified."""
    noted = {}
    for name, images in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, images, format="extxyz")
        size = path.stat().st_size
        noted[name] = FileLock(size=size, sha256="", trusted="", origin="", date="")
    lock = DatasetLock(files=noted)
    (folder / NAME).write_text(lock.model_dump_json())


def test_nothing_downloaded_is_nothing_published(folder: Path) -> None:
    assert published_splits("md17") is None
    lay(folder, {"md22/train.xyz": frames(["C2H6"])})
    assert published_splits("md17") is None


def test_md22_is_read_and_runs_end_to_end(folder: Path, tmp_path: Path) -> None:
    lay(
        folder,
        {
            "md22_force_norm/md22_stachyose_train.xyz": frames(["C2H6"], 1.5),
            "md22_force_norm/md22_stachyose_force_norm_flip.xyz": frames(["C2H6"], 1.9),
        },
    )
    splits = paper_dynamics.md22()
    check_splits(splits)
    names = [split.name for split in splits]
    assert names == ["train", "ood_stachyose_force_norm_flip"]
    forces = splits[1].reference.forces.norm(dim=1)
    assert float(forces.mean()) == pytest.approx(1.9, abs=1e-6)  # eV/Å as they are
    request = Request(
        suite="paper-md22", models=("zero",), modes=("baseline",), out=tmp_path / "runs"
    )
    (run,) = run_campaign(resolve(request)).folders
    (record,) = score_run(run)[0]
    assert record.counts.evaluated == 4


def test_md17_training_is_theirs_and_the_rest_what_is_beside_it(folder: Path) -> None:
    held = {"md17_ood_sim/md17_toluene_test.xyz": frames(["C7H8"])}
    val = {SIM.replace("train", "val"): frames(TRAINED, n=3)}
    lay(folder, {SIM: frames(TRAINED), **val})
    with pytest.raises(DataError, match="mlffbench download md17/toluene"):
        paper_dynamics.md17()  # no test frames are published: those of MD17 are wanted
    lay(folder, {SIM: frames(TRAINED), **held})
    train, tested = paper_dynamics.md17()
    assert (train.source.index.n_structures, tested.name) == (12, "ood_toluene")


def test_spice_is_one_whole_split(folder: Path) -> None:
    files = {
        "spice/spicev2_train.xyz": frames(["C2H6", "CH4O"]),
        "spice/spicev2_ood_test.xyz": frames(["CH3Cl"]),
    }
    lay(folder, files)
    splits = paper_spice.splits()
    assert [split.name for split in splits] == ["train", paper_spice.WHOLE]
    assert splits[1].source.level_of_theory.startswith("wB97M")


def reordered() -> list[Atoms]:
    images = frames(TRAINED)
    images[5] = images[5][::-1]
    turned = frame("C6H6", 1.0, 9).get_forces()
    images[5].calc = SinglePointCalculator(images[5], energy=0.0, forces=turned)
    return images


@pytest.mark.parametrize(
    ("benchmark", "files", "words"),
    [
        (
            "md22",
            {"md22/train.xyz": frames(["C2H6"], 1.9)},
            "has 4 of 4 frames that are not below 1.7 eV/Å",
        ),
        (
            "md22",
            {
                "md22/train.xyz": frames(["C2H6"], 1.0),
                "md22/flip.xyz": frames(["C2H6"], 1.0, 3),
            },
            "flip.xyz has 3 of 3 frames that are not above 1.8 eV/Å",
        ),
        ("md22", {"md22/flip.xyz": frames(["C2H6"])}, "the training file is missing"),
        (
            "md22",
            {"md22/train_a.xyz": frames(["CH4"]), "md22/train_b.xyz": frames(["CH4"])},
            "are both the 'train' file of md22; remove one",
        ),
        (
            "md17",
            {SIM: frames(TRAINED), SIM.replace("train", "val"): frames(TRAINED)},
            "_train.xyz and .*_val.xyz in .* are the same file",
        ),
        ("md17", {SIM: frames(["C7H8"])}, "holds C7H8, and the paper trains on aspirin"),
        ("md17", {SIM: reordered()}, "frame 5 of C6H6 with its atoms in another order"),
    ],
)
def test_other_files_are_one_sentence(
    folder: Path, benchmark: str, files: dict[str, list[Atoms]], words: str
) -> None:
    lay(folder, files)
    with pytest.raises(DataError, match=words):
        published_splits(benchmark)  # type: ignore[arg-type]


def test_a_file_is_what_its_own_name_says_not_its_folder(folder: Path) -> None:
    files = {
        "md17_train/md17_train.xyz": frames(TRAINED),
        "md17_train/md17_toluene_test.xyz": frames(["C7H8"]),
    }
    lay(folder, files)
    splits = published_splits("md17")
    assert splits is not None
    assert [split.name for split in splits] == ["train", "ood_toluene"]
