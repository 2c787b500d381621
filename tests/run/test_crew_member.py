"""Workers: they join what others started, and change no byte."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from interrupted import StopsAfter
from processes import mlffbench

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
