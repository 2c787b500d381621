"""Workers: they join what others started, and change no byte."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from interrupted import StopsAfter
from processes import mlffbench

from mlffbench.core.errors import StoreError
from mlffbench.run.elsewhere.crew_member import CrewMember
from mlffbench.run.elsewhere.request_file import (
    forget_request,
    read_request,
    write_request,
)
from mlffbench.run.folder import RunFolder, read_arrays
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve

FILES = ("predictions.parquet", "forces.npz", "reference.npz", "structures.npz")


@pytest.fixture(autouse=True)
def _stays_here() -> Iterator[None]:
    here = Path.cwd()
    yield
    os.chdir(here)  # a worker goes where the run was typed


def asked(suite: Path, model: str, out: Path) -> Request:
    return Request(suite=str(suite), models=(model,), out=out, batch_atoms=20)


def stopped(suite: Path, model: str, out: Path) -> RunFolder:
    """Return a run that was stopped after two batches."""
    campaign = resolve(asked(suite, model, out))
    with pytest.raises(KeyboardInterrupt):
        run_campaign(campaign, StopsAfter(2))
    return campaign.folder(campaign.jobs[0])


def test_a_worker_ends_what_another_began_with_the_same_bytes(
    shared_suite_file: Path, shared_springs: str, tmp_path: Path
) -> None:
    folder = stopped(shared_suite_file, shared_springs, tmp_path / "cut")
    done = mlffbench("worker", "--own", str(folder.path))
    assert (done.returncode, done.stderr) == (0, "")
    (whole,) = run_campaign(
        resolve(asked(shared_suite_file, shared_springs, tmp_path / "whole"))
    ).folders
    for name in FILES:
        assert (folder.path / name).read_bytes() == (whole.path / name).read_bytes()
    left = {path.name for path in folder.path.iterdir()}
    assert left == {*FILES, "run.json", "sha256sums"}
    again = mlffbench("worker", str(folder.path))
    assert (again.returncode, again.stderr) == (0, "")


def test_a_worker_that_may_not_or_cannot_join_says_why(
    shared_suite_file: Path, shared_springs: str, tmp_path: Path
) -> None:
    folder = stopped(shared_suite_file, shared_springs, tmp_path)
    parts = sorted(folder.parts.iterdir())
    done = mlffbench("worker", str(folder.path))
    assert done.returncode == 1
    assert "repeat the command with --trust" in done.stderr
    manifest = json.loads(folder.manifest_path.read_text())
    manifest["versions"]["torch"] = "1.0"
    manifest["fingerprint"] = "another"
    folder.manifest_path.write_text(json.dumps(manifest))
    done = mlffbench("worker", "--own", str(folder.path))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "would not compute the numbers" in done.stderr
    assert "versions, torch: 1.0 there" in done.stderr
    (folder.path / "request.json").write_text("{}")
    assert "is not a request" in mlffbench("worker", str(folder.path)).stderr
    assert sorted(folder.parts.iterdir()) == parts
    nothing = mlffbench("worker", str(tmp_path))
    assert "holds no run in progress" in nothing.stderr


def test_a_part_of_another_run_is_not_taken_for_one_of_this(
    shared_suite_file: Path, shared_springs: str, tmp_path: Path
) -> None:
    """As a worker writes it that was slow to see that its run was overwritten."""
    old = stopped(shared_suite_file, shared_springs, tmp_path / "cut")
    last = max(old.parts.glob("*.npz"))
    part = last.read_bytes()
    shutil.rmtree(old.path)
    request = asked(shared_suite_file, shared_springs, tmp_path / "cut")
    request = replace(request, dtype="float64")
    with pytest.raises(KeyboardInterrupt):
        run_campaign(resolve(request), StopsAfter(2))
    assert last.read_bytes() != part
    last.write_bytes(part)
    run_campaign(resolve(request))
    whole = resolve(replace(request, out=tmp_path / "whole"))
    (clean,) = run_campaign(whole).folders
    for name in FILES:
        assert (old.path / name).read_bytes() == (clean.path / name).read_bytes()


def test_a_worker_with_a_leader_computes_and_leaves_the_end_to_it(
    shared_suite_file: Path, shared_springs: str, tmp_path: Path
) -> None:
    folder = stopped(shared_suite_file, shared_springs, tmp_path)
    before = sorted(folder.parts.iterdir())
    CrewMember(own=True).join_all([folder.path], is_led=lambda: False)
    assert sorted(folder.parts.iterdir()) == before
    CrewMember(own=True).join_all([folder.path], is_led=lambda: True)
    assert len(list(folder.parts.glob("*.npz"))) > len(before)
    assert folder.read_manifest()["status"] == "running"
    forget_request(folder)  # as a leader does before its workers start
    assert not folder.request_path.exists()


def test_a_model_that_is_expected_is_loaded_once_and_a_fault_waits_for_its_run(
    shared_suite_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = stopped(shared_suite_file, "zero", tmp_path)
    member = CrewMember(own=True)
    member.expect("cpu", "", "no-such-model")
    member.expect("cpu", "", "zero")
    monkeypatch.setattr("mlffbench.run.elsewhere.crew_member.load_model", None)
    assert member.join_all([folder.path]) == 0
    assert folder.read_manifest()["status"] == "complete"


def test_a_worker_goes_on_after_a_run_that_it_cannot_join(
    shared_suite_file: Path,
    shared_springs: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two of them name their models alike, in different folders."""
    text = Path(shared_springs.rpartition(":")[0]).read_text()
    folders = []
    for name in ("one", "other"):
        at = tmp_path / name
        at.mkdir()
        (at / "springs.py").write_text(f"{text}\n# {name}\n")
        monkeypatch.chdir(at)
        folders.append(stopped(shared_suite_file, "springs.py:Springs", at / "runs"))
    paths = [str(folder.path) for folder in folders]
    done = mlffbench("worker", "--own", str(tmp_path / "none"), "x" * 300, *paths)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["error"] * 2
    assert [one.read_manifest()["status"] for one in folders] == ["complete"] * 2


def test_a_run_is_asked_for_from_a_folder_with_any_name(
    shared_suite_file: Path,
    shared_springs: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a 'b\"\xff"))
    here.mkdir()
    monkeypatch.chdir(here)
    request = asked(shared_suite_file, shared_springs, here)
    write_request(RunFolder(here), request, resolve(request).jobs[0])
    read = read_request(RunFolder(here), trust=False, own=True)
    assert (read.models, read.modes) == ((shared_springs,), ("baseline",))


def test_a_request_that_is_no_file_is_told_as_one_that_is_broken(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.request_path.mkdir()
    with pytest.raises(StoreError, match="is missing or broken; repeat the run"):
        read_request(folder, trust=False, own=True)


def test_a_run_cut_into_regions_has_the_same_rows(
    shared_suite_file: Path,
    shared_springs: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (whole,) = run_campaign(
        resolve(asked(shared_suite_file, shared_springs, tmp_path / "whole"))
    ).folders
    monkeypatch.setattr("mlffbench.run.shards.shard_plan.regions_of.__defaults__", (13,))
    monkeypatch.setattr("mlffbench.run.shards.table_stream.ROWS_PER_GROUP", 5)
    (cut,) = run_campaign(
        resolve(asked(shared_suite_file, shared_springs, tmp_path / "cut"))
    ).folders
    for name in ("reference.npz", "structures.npz"):
        assert (cut.path / name).read_bytes() == (whole.path / name).read_bytes()
    one, other = cut.read_table(), whole.read_table()
    assert one.drop(columns="energy").equals(other.drop(columns="energy"))
    np.testing.assert_allclose(one["energy"], other["energy"], rtol=1e-6)
    forces = [read_arrays(run.path / "forces.npz")["forces"] for run in (cut, whole)]
    np.testing.assert_allclose(*forces, atol=1e-5)


def test_a_worker_on_a_machine_that_lacks_a_package_names_it_and_takes_nothing(
    shared_suite_file: Path, shared_springs: str, tmp_path: Path
) -> None:
    file = tmp_path / "springs.py"
    text = Path(shared_springs.rpartition(":")[0]).read_text()
    file.write_text(text)
    folder = stopped(shared_suite_file, f"{file}:Springs", tmp_path / "runs")
    parts = sorted(folder.parts.iterdir())
    file.write_text(f"import a_package_of_another_node\n{text}")
    told: list[str] = []
    assert CrewMember(own=True).join_all([folder.path], tell=told.append) == 1
    assert "a_package_of_another_node" in told[0]
    assert "\n" not in told[0]
    assert sorted(folder.parts.iterdir()) == parts
    file.write_text(text)
    assert CrewMember(own=True).join_all([folder.path], tell=told.append) == 0
    assert folder.read_manifest()["status"] == "complete"


def test_code_of_others_is_not_loaded_before_its_leader_has_loaded_it(
    shared_springs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two who fetch a file into the same cache at the same time break each other."""
    loaded: list[str] = []
    monkeypatch.setattr(
        "mlffbench.run.elsewhere.crew_member.load_model",
        lambda spec, _options: loaded.append(spec),
    )
    for spec in (shared_springs, "ase:ase.calculators.emt:EMT", "zero"):
        CrewMember(own=True, trust=True).expect("cpu", "", spec)
    assert loaded == ["zero"]
