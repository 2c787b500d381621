import json
import os
from dataclasses import replace
from importlib.resources import as_file, files

import h5py
import numpy as np
import pytest
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

pytest.importorskip("pyscf")
pytest.importorskip("rdkit")

from mlffbench.core.errors import DataError, StoreError
from mlffbench.datasets.sets.mini.frame_tasks import (
    PROTOCOLS,
    Protocol,
    plan,
    plan_prior_only,
    seed_of,
)
from mlffbench.datasets.sets.mini.geometries import Sample, sample
from mlffbench.datasets.sets.mini.labelling import (
    choose_labels,
    dft_label,
    isolated_atom_energy,
    make_labelled_part,
    make_part,
    recompute,
)
from mlffbench.datasets.sets.mini.recipe import (
    ENERGY_TOLERANCE,
    FORCE_TOLERANCE,
    build_labelled,
    build_prior_only,
    main,
    parts_folder,
)
from mlffbench.datasets.sets.mini.splits import reference_source
from mlffbench.datasets.sets.mini.subsets import ADDED, MOLECULES, TRAIN, group_name

SHORT = Protocol(
    n_starts=1, n_frames=2, n_labelled=1, equilibration_steps=4, interval_steps=4
)
QUIET = Console(quiet=True)
STRETCHED_CO = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 8.0]])
"""In bohr; the self-consistent field of this one does not converge."""


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def embedded():
    with as_file(files("mlffbench.datasets.sets.mini")) as folder:
        yield folder


def layout(group):
    """What must agree: datasets, kinds of numbers, dimensions, units."""
    return {
        key: (dataset.dtype.kind, _width(dataset), dataset.ndim, dict(dataset.attrs))
        for key, dataset in group.items()
    }


def _width(dataset):
    return None if dataset.dtype.kind == "S" else dataset.dtype.itemsize


def tiny_tasks(*smiles, tasks=None):
    tasks = tasks or plan([TRAIN], None, seed=0)
    return [replace(t, protocol=SHORT) for t in tasks if t.smiles in smiles]


def test_the_molecules_are_those_of_the_file(embedded):
    with h5py.File(embedded / "mini.hdf5") as stored:
        found = {name: group["subset"].asstr()[0] for name, group in stored.items()}
    told = {
        group_name(subset, molecule): subset
        for version in (MOLECULES, ADDED)
        for subset, molecules in version.items()
        for molecule in molecules
    }
    assert told == found
    assert set(PROTOCOLS) == set(MOLECULES)


def test_geometries_depend_on_name_and_seed_only():
    water = sample("O", SHORT, seed_of("O", 0))
    sample("N", SHORT, seed_of("N", 0))  # made in between: changes nothing
    again = sample("O", SHORT, seed_of("O", 0))
    np.testing.assert_array_equal(water.positions, again.positions)
    other_seed = sample("O", SHORT, seed_of("O", 1))
    other_name = sample("O", SHORT, seed_of("O|force-norm", 0))
    assert not np.allclose(water.positions, other_seed.positions)
    assert not np.allclose(water.positions, other_name.positions)
    assert water.positions.shape == (2, 3, 3)
    np.testing.assert_allclose(water.positions.mean(axis=1), 0, atol=1e-12)


def test_the_atom_map_is_that_of_the_file(embedded):
    with h5py.File(embedded / "mini.hdf5") as stored:
        for name in ("O", "N.O"):
            drawn = sample(name, replace(SHORT, n_frames=1), seed=1)
            assert drawn.smiles == stored[name]["smiles"].asstr()[0]
            np.testing.assert_array_equal(drawn.numbers, stored[name]["atomic_numbers"])


def test_a_dimer_ends_with_the_pulled_apart_frame():
    drawn = sample("N.O", replace(SHORT, n_frames=1), seed=1)
    near, far = drawn.positions[:, 4:].mean(axis=1) - drawn.positions[:, :4].mean(axis=1)
    assert np.linalg.norm(far) == pytest.approx(np.linalg.norm(near) + 0.6)


def test_a_stored_label_is_reproduced(embedded):
    labels = choose_labels(embedded / "mini.hdf5", 10**6, seed=0)
    assert len(labels) == reference_source().index.n_structures
    assert len({stored.subset for stored in labels[:9]}) == 9
    smallest = next(stored for stored in labels if stored.name == "O")
    off = recompute(smallest)
    assert max(off.dft_energy, off.prior_energy) < ENERGY_TOLERANCE
    assert max(off.dft_forces, off.prior_forces) < FORCE_TOLERANCE


@pytest.mark.parametrize("number", [1, 7])
def test_isolated_atoms_are_those_of_the_file(embedded, number):
    with h5py.File(embedded / "mini.hdf5") as stored:
        energies = json.loads(stored.attrs["atomic_energies_hartree"])
    assert isolated_atom_energy(number) == pytest.approx(energies[str(number)], abs=1e-6)


def test_a_build_goes_on_and_has_the_layout_of_the_set(embedded, tmp_path):
    out = tmp_path / "set.hdf5"
    water, ammonia = tasks = sorted(tiny_tasks("O", "N"), key=lambda t: t.name)[::-1]
    with parts_folder(out) as folder:
        make_labelled_part(water, folder)
        ammonia.part(folder).write_bytes(b"cut off")  # not a part: made again
        (folder / "N.1.tmp").write_bytes(b"killed")
    before = water.part(folder).stat().st_mtime_ns
    assert [task.is_finished(folder) for task in tasks] == [True, False]
    assert not replace(water, seed=7).is_finished(folder)

    build_labelled(out, tasks, n_workers=1, console=QUIET)

    assert water.part(folder).stat().st_mtime_ns == before
    assert list(folder.glob("*.tmp")) == []
    assert os.environ["OMP_NUM_THREADS"] == "1"
    with h5py.File(out) as built, h5py.File(embedded / "mini.hdf5") as stored:
        assert list(built) == ["N", "O"]
        assert set(built.attrs) == set(stored.attrs)
        assert built.attrs["prior"] == stored.attrs["prior"]
        assert built.attrs["level_of_theory"] == stored.attrs["level_of_theory"]
        for name in built:
            assert layout(built[name]) == layout(stored[name])
        atoms = json.loads(built.attrs["atomic_energies_hartree"])
        expected = built["O"]["dft_total_energy"][0] - atoms["8"] - 2 * atoms["1"]
        assert built["O"]["formation_energy"][0] == pytest.approx(expected, abs=1e-9)
        assert expected == pytest.approx(stored["O"]["formation_energy"][0], abs=0.03)


def test_the_further_frames_have_the_layout_of_the_file(embedded, tmp_path):
    out = tmp_path / "more.hdf5"
    tasks = tiny_tasks("O", tasks=plan_prior_only([], None, seed=0))
    build_prior_only(out, tasks, n_workers=1, console=QUIET)
    with (
        h5py.File(out) as built,
        h5py.File(embedded / "mini-geometries.hdf5") as stored,
    ):
        assert dict(built.attrs) == dict(stored.attrs)
        assert layout(built["O"]) == layout(stored["O"])
        assert built["O"]["subset"][0] == stored["O"]["subset"][0]


def test_a_frame_that_does_not_converge_is_dropped_with_its_reason(tmp_path):
    (task,) = tiny_tasks("C=O")
    numbers = np.array([6, 8], dtype=np.int16)
    frames = np.array([STRETCHED_CO, STRETCHED_CO * 2.1 / 8]) * 0.529177
    drawn = Sample("[C:1]=[O:2]", numbers, frames, ())
    make_part(task, tmp_path, drawn, frames, {"dft": dft_label})
    with h5py.File(task.part(tmp_path)) as part:
        (reason,) = json.loads(part.attrs["dropped"])
        assert reason == (
            "frame 0: the wb97x/6-31g(d) self-consistent field did not converge"
        )
        group = part[task.name]
        assert len(group["conformations"]) == len(group["dft_total_energy"]) == 1
        assert np.isfinite(group["dft_total_gradient"]).all()


def test_two_builds_of_one_file_do_not_mix(tmp_path):
    with (
        parts_folder(tmp_path / "a.hdf5"),
        pytest.raises(StoreError, match="another process"),
        parts_folder(tmp_path / "a.hdf5"),
    ):
        pass


def test_a_file_made_by_someone_else_is_not_overwritten(tmp_path):
    out = tmp_path / "mine.hdf5"
    out.write_text("precious")
    with pytest.raises(StoreError, match=r"there already"), parts_folder(out):
        pass


def test_plan_names_what_does_not_exist():
    with pytest.raises(DataError, match="no frames with the prior only"):
        plan_prior_only(["mini dimers"], None, seed=0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give either --out FILE, to build, or --check N"),
        (["--out", "x.hdf5", "--subset", "mini trian"], "Did you mean 'mini train'?"),
        (["--out", "/nowhere/x.hdf5"], "the folder /nowhere does not exist"),
        (["--check", "1", "--data", "/nowhere.hdf5"], "there is no file /nowhere.hdf5"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, sentence):
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
