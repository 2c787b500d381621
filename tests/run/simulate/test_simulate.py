"""Simulations: folders, resumption, bad input, scores; the whole through the command."""

import hashlib
import json
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.build import molecule
from ase.io import read, write
from interrupted import (
    StopsAfter,
    complete,
    kill_again_and_again,
    pause,
    with_full_disk,
)
from processes import mlffbench

from mlffbench.core.errors import BenchError, StoreError, SuiteError
from mlffbench.dynamics.presets import PRESETS
from mlffbench.report.document import compose
from mlffbench.report.simulations_part import dynamics_tables
from mlffbench.run.elsewhere.crew_member import CrewMember
from mlffbench.run.folder import SIMULATION, RunFolder, find_others
from mlffbench.run.loop import Done, run_campaign
from mlffbench.run.request import Campaign, SimulationRequest, resolve
from mlffbench.run.shards.claim import MOST_LOST
from mlffbench.run.simulate.simulation_job import SimulationJob
from mlffbench.run.simulate.simulation_score import read_trajectories, write_scores

BRITTLE = '''
import torch
from ase.build import molecule
from mlffbench.core.labels import Labels


class Brittle:
    """Springs between all atoms of a molecule; CO2 flies apart."""

    name = "brittle"
    elements = frozenset({1, 6, 8})

    def predict(self, structures):
        x, forces, energies = structures.positions, [], []
        first = 0
        for index, size in enumerate(structures.sizes.tolist()):
            mine = x[first : first + size]
            name = structures.ids[index]
            shape = torch.tensor(molecule(name.partition("/")[2]).positions)
            rest = torch.cdist(shape, shape)
            vector = mine[:, None] - mine[None, :]
            length = vector.norm(dim=-1) + torch.eye(size, dtype=x.dtype)
            stretch = length - rest.to(x.dtype) - torch.eye(size, dtype=x.dtype)
            sign = -3.0 if "CO2" in name else 10.0
            push = -sign * stretch[..., None] * vector / length[..., None]
            forces.append(push.sum(1))
            energies.append(sign * (stretch**2).sum() / 4)
            first += size
        return Labels(
            energy=torch.stack(energies), forces=torch.cat(forces), source="brittle"
        )
'''
FAST = replace(
    PRESETS["quick"], duration=0.05, record_every=10, seeds=2, temperature=300.0
)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Return a suite whose OOD molecules are water, CO2 and one with nitrogen."""

    def frames(*names: str) -> list:
        made = []
        for name in names:
            for seed in range(3):
                atoms = molecule(name)
                rng = np.random.default_rng(seed)
                atoms.positions += rng.normal(scale=0.01, size=(len(atoms), 3))
                atoms.info |= {"REF_energy": 0.0, "group": name}
                atoms.arrays["REF_forces"] = np.zeros((len(atoms), 3))
                made.append(atoms)
        return made

    write(tmp_path / "train.xyz", frames("CH3OH"))
    write(tmp_path / "id.xyz", frames("CH4"))
    write(tmp_path / "ood.xyz", frames("H2O", "CO2", "NH3"))
    path = tmp_path / "small.yaml"
    path.write_text(
        """
name: small
version: 1
summary: three molecules to move
level_of_theory: none
splits:
  - {name: train, role: train, file: train.xyz}
  - {name: id, role: id_test, file: id.xyz}
  - {name: ood, role: ood_test, file: ood.xyz, shift: {kind: elements, rule: others}}
models: [zero]
dynamics: {relax: none, reference: true}
"""
    )
    (tmp_path / "brittle.py").write_text(BRITTLE)
    return path


def prepared(suite: Path, **more: object) -> Campaign[SimulationJob]:
    values = {"preset": FAST, "models": (f"{suite.parent}/brittle.py:Brittle",)}
    values |= {"out": suite.parent / "runs"}
    return resolve(SimulationRequest(suite=str(suite), **(values | more)))  # type: ignore[arg-type]


def run(suite: Path, **more: object) -> Done:
    return run_campaign(prepared(suite, **more))


def digest(folder: Path) -> str:
    names = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in {".parquet", ".npz", ".extxyz", ".traj"}
    )
    assert names
    content = b"".join(path.name.encode() + path.read_bytes() for path in names)
    return hashlib.sha256(content).hexdigest()


def test_good_molecules_stand_beside_bad_ones(suite: Path) -> None:
    done = run(suite)
    assert done.faults == []
    table = read_trajectories(done.folders[0])
    status = table.groupby("molecule")["status"].agg(set)
    assert status.to_dict() == {
        "H2O": {"stable"},
        "CO2": {"unstable"},
        "NH3": {"skipped"},
    }
    water = table[table["molecule"] == "H2O"]
    assert (water["stable_time_ps"] == FAST.horizon).all()
    assert (water["n_frames"] == FAST.n_steps // 10 + 1).all()
    lost = table[table["molecule"] == "CO2"]
    assert lost["reason"].str.startswith("bond C").all()
    assert (lost["stable_time_ps"] < FAST.horizon).all()
    assert table[table["molecule"] == "NH3"]["reason"].iloc[0].endswith("supported: N")


@pytest.mark.parametrize("engine", ["batched", "ase"])
def test_a_worker_moves_what_is_left_with_the_same_bytes(
    suite: Path, engine: str
) -> None:
    """Of three pieces or more, in the second of which a process was stopped."""
    asked = {"engine": engine, "batch_atoms": 4}
    whole = run(suite, **asked, out=suite.parent / "whole").folders[0]
    cut = prepared(suite, **asked, out=suite.parent / "cut")
    with pytest.raises(KeyboardInterrupt):
        run_campaign(cut, StopsAfter(3))
    folder = cut.folder(cut.jobs[0])
    assert len(list(folder.parts.glob("*.npz"))) == 1
    CrewMember(own=True).join_all([folder.path])
    assert digest(folder.path) == digest(whole.path)
    assert folder.read_manifest()["status"] == "complete"
    assert not folder.request_path.exists()


def test_molecules_whose_every_process_was_killed_are_failed(suite: Path) -> None:
    """Of four pieces the second is given up; the third gets on between its deaths."""
    cut = prepared(suite, batch_atoms=4)
    with pytest.raises(KeyboardInterrupt):
        run_campaign(cut, StopsAfter(1))
    folder = cut.folder(cut.jobs[0])
    for number, deaths in ((1, MOST_LOST), (2, MOST_LOST - 1)):
        for death in range(deaths):
            (folder.parts / f"{number:06d}.lost-{death}").write_text("{}")
    with pytest.raises(KeyboardInterrupt):
        run_campaign(cut, StopsAfter(4))
    assert not list(folder.parts.glob("000002.lost-*"))
    assert run_campaign(cut).faults == []
    table = read_trajectories(folder)
    failed = table[table["status"] == "failed"]
    assert failed["name"].tolist() == ["ood/H2O #1"]
    assert failed["reason"].tolist() == [f"its process was killed {MOST_LOST} times"]
    (record,) = write_scores(folder)
    assert (record.counts.failed, record.counts.total) == (1, 6)


def test_trajectories_are_written_thinned(suite: Path) -> None:
    done = run(suite, frames=4)
    folder = done.folders[0].path / "trajectories"
    files = sorted(folder.iterdir())
    assert len(files) == 4
    images = read(next(path for path in files if "H2O" in path.name), index=":")
    assert len(images) == 4
    assert images[-1].info["time_ps"] == pytest.approx(FAST.horizon)
    other = run(suite, frames=4, form="traj", out=suite.parent / "traj")
    path = next((other.folders[0].path / "trajectories").glob("*H2O*0*.traj"))
    same = read(next(p for p in files if p.name.startswith(path.name[:9])), index=-1)
    assert read(path, index=-1).positions == pytest.approx(same.positions, abs=1e-7)


def test_scores_are_over_molecules(suite: Path) -> None:
    done = run(suite)
    (record,) = write_scores(done.folders[0])
    assert record.counts.model_dump() == {
        "total": 6, "evaluated": 4, "skipped": 2, "failed": 0,
        "reasons": {"skipped: elements not supported: N": 2},
    }  # fmt: skip
    survival = record.metrics["survival"]
    assert (survival.value, survival.n, survival.n_molecules) == (0.5, 4, 2)
    assert survival.low is None  # two molecules have a range, not an interval
    assert (survival.lowest, survival.highest) == (0, 1)
    table = read_trajectories(done.folders[0])
    ran = table[table["status"] != "skipped"]
    stable = record.metrics["stable_time"].value
    assert stable == pytest.approx(ran["stable_time_ps"].mean())
    assert record.metrics["time_to_failure"].n == 2
    assert 0 < record.metrics["distance_distribution_error"].value <= 2
    assert record.worst_group is not None
    assert record.worst_group[0] == "CO2"
    curve = pd.read_csv(done.folders[0].path / "survival.csv")
    assert curve["share"].iloc[-1] == 0.5
    assert curve["at_risk"].iloc[0] == 4


def test_distances_are_compared_with_those_of_a_model(suite: Path) -> None:
    text = suite.read_text().replace("reference: true", "reference: mini-schnet")
    suite.write_text(text)
    (alone,) = run(suite, splits=("id",)).folders
    (record,) = write_scores(alone)
    assert "distance_distribution_error" not in record.metrics
    assert any("repeat the command with --model mini-schnet" in n for n in record.notes)
    (reference,) = run(suite, splits=("id",), models=("mini-schnet",)).folders
    (record,) = write_scores(alone)
    far = record.metrics["distance_distribution_error"].value
    (itself,) = write_scores(reference)
    near = itself.metrics["distance_distribution_error"].value
    assert 0 < near < far <= 2
    assert any("between its own replicas" in note for note in itself.notes)
    other = replace(FAST, temperature=301.0)
    (warm,) = run(suite, splits=("id",), preset=other, overwrite=True).folders
    (record,) = write_scores(warm)  # another protocol
    assert "distance_distribution_error" not in record.metrics


def test_all_alive_is_a_lower_bound_not_a_certainty(suite: Path) -> None:
    done = run(suite, splits=("id",))
    (record,) = write_scores(done.folders[0])
    assert record.metrics["survival"].value == 1
    assert record.metrics["stable_time"].low is None
    short = replace(FAST, duration=0.005)
    done = run(
        suite,
        splits=("id", "ood"),
        models=("zero",),
        preset=short,
        out=suite.parent / "zero",
    )
    ood = write_scores(done.folders[0])[1]
    assert ood.metrics["survival"].low == pytest.approx(0.025 ** (1 / 3))


def test_two_lower_bounds_are_not_compared(suite: Path) -> None:
    done = run(
        suite,
        modes=("baseline", "ttt"),
        models=("mini-schnet",),
        splits=("id",),
        settings={"ttt": {"gate": "off"}},  # three training geometries tell no level
    )
    assert done.faults == []
    base, tuned = (write_scores(folder)[0] for folder in done.folders)
    assert base.metrics["survival"].value == tuned.metrics["survival"].value == 1
    assert {"stable_time", "survival"}.isdisjoint(tuned.paired)


def test_protocols_with_other_hydrogens_stand_apart(suite: Path) -> None:
    folders = []
    for name, mass in (("light", None), ("heavy", 3.0)):
        preset = replace(FAST, duration=0.005, hydrogen_mass=mass)
        out = suite.parent / name
        done = run(suite, models=("zero",), preset=preset, splits=("id",), out=out)
        write_scores(done.folders[0])
        folders.append(done.folders[0])
    titles = [table.title for table in dynamics_tables(folders, "meV")]
    assert len(titles) == 2
    assert titles[1].endswith("hydrogens of 3.0 amu")
    # a page without a run of static errors says where to look
    page = compose([folder.path for folder in folders], "html").text
    assert "No run could be read" not in page
    assert page.count('aria-labelledby="dynamics-') == 2
    assert '<th scope="row"><bdi>id</bdi></th>' in page


def test_the_ase_engine_agrees_on_who_lives(suite: Path) -> None:
    ours = read_trajectories(run(suite).folders[0])
    theirs = read_trajectories(
        run(suite, engine="ase", out=suite.parent / "ase").folders[0]
    )
    assert ours["status"].tolist() == theirs["status"].tolist()


def test_conserved_energy_is_measured(suite: Path) -> None:
    preset = replace(PRESETS["nve-drift"], duration=0.2, record_every=5)
    done = run(suite, preset=preset, splits=("id",), dtype="float64")
    (record,) = write_scores(done.folders[0])
    assert record.metrics["energy_drift"].value < 1e-4
    assert record.metrics["energy_drift"].unit == "eV/atom/ps"
    assert record.metrics["energy_drift_ratio"].value < 1


def test_the_mlipaudit_criterion_knows_hydrogen_drift(suite: Path) -> None:
    preset = replace(
        PRESETS["mlipaudit"], duration=0.2, record_every=5, temperature=2000.0
    )
    free = run(suite, preset=preset, models=("zero",), splits=("id",))
    table = read_trajectories(free.folders[0])
    assert set(table["status"]) == {"unstable"}
    assert set(table["reason"]) == {"a hydrogen left for good"}
    assert 0 < table["stable_time_ps"].iloc[0] < 0.2


def test_killed_again_and_again_it_ends_with_the_same_files(
    suite: Path, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.py"
    wait = f"        {pause(0.004)}\n        x, forces"
    slow.write_text(BRITTLE.replace("        x, forces", wait))
    words = ["simulate", "--suite", str(suite), "--model", f"{slow}:Brittle"]
    words += ["--time", "0.2", "--seeds", "2"]
    out = tmp_path / "killed"
    kill_again_and_again(words, out, times=2)
    for folder in (out, tmp_path / "whole"):
        complete(words, folder)
    assert digest(out) == digest(tmp_path / "whole")
    assert not list(out.rglob("parts"))


def test_a_full_disk_is_one_sentence_and_nothing_is_lost(suite: Path) -> None:
    out = suite.parent / "full"
    model = f"{suite.parent}/brittle.py:Brittle"
    words = ["simulate", "--suite", str(suite), "--model", model]
    words += ["--time", "0.5", "--seeds", "2", "--out", str(out)]
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert soft < 0 or soft > 10**6
    assert "repeat the command" in with_full_disk(words, limit=9000)
    again = mlffbench(*words)
    assert again.returncode == 0, again.stderr


def test_other_settings_are_refused(suite: Path) -> None:
    run(suite)
    done = run(suite, preset=replace(FAST, temperature=301.0))
    assert "job, temperature: 300.0 there, 301.0 now" in done.faults[0]
    again = run(suite, preset=replace(FAST, temperature=301.0), overwrite=True)
    assert again.faults == []


def test_an_unknown_split_is_told(suite: Path) -> None:
    with pytest.raises(SuiteError, match="no split 'odd' to simulate; it has: id, ood"):
        prepared(suite, splits=("odd",))


def test_a_model_without_forces_is_one_sentence(suite: Path) -> None:
    path = suite.parent / "still.py"
    path.write_text(
        BRITTLE.replace("forces=torch.cat(forces)", "forces=torch.zeros((0, 3))")
    )
    done = run(suite, models=(f"{path}:Brittle",))
    assert "a model without forces cannot move atoms" in done.faults[0]


def test_a_capability_that_lacks_is_a_note_where_another_job_finished(
    suite: Path,
) -> None:
    some = run(suite, modes=("baseline", "ttt"))
    assert some.faults == []
    assert "needs a prior head" in some.notes[0]
    assert len(some.folders) == 1
    none = run(suite, modes=("ttt",))
    assert none.notes == none.folders == []
    assert "needs a prior head" in none.faults[0]


def test_an_unfinished_simulation_is_not_scored(suite: Path) -> None:
    (folder,) = run(suite).folders
    manifest = json.loads(folder.manifest_path.read_text())
    folder.write_manifest({**manifest, "status": "running"})
    with pytest.raises(StoreError, match="has not finished"):
        write_scores(folder)
    assert find_others([suite.parent / "runs"], SIMULATION) == [folder]
    assert RunFolder(folder.path, "dynamics.json") == folder


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--time-step", "0"], "a time step of 0 fs cannot be simulated"),
        (["--time-step", "-1"], "a time step of -1 fs cannot be simulated"),
        (["--seeds", "0"], "give at least one seed"),
        (["--hydrogen-mass", "0"], "a hydrogen mass of 0 amu"),
        (["--preset", "nve"], "unknown preset 'nve'"),
    ],
)
def test_odd_numbers_are_refused_on_the_command_line(
    suite: Path, options: list[str], sentence: str
) -> None:
    from typer.testing import CliRunner

    from mlffbench.cli.app import app

    result = CliRunner().invoke(app, ["simulate", "--suite", str(suite), *options])
    assert isinstance(result.exception, BenchError)
    assert sentence in str(result.exception)


def test_a_long_step_warns_but_runs(suite: Path) -> None:
    campaign = prepared(suite, preset=replace(FAST, time_step=5.0))
    assert "is long for hydrogens" in campaign.warnings[0]
