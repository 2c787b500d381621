"""SLURM with a stand-in for ``sbatch``, which keeps the script it is given."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import environment, mlffbench

from mlffbench.core.errors import BenchError
from mlffbench.engines.slurm_array import SlurmProfile, read_profile, script_of, submit

SBATCH = """#!/bin/sh
cp "$1" {folder}/submitted.sh
echo "Submitted batch job 7"
"""
FILES = ("predictions.parquet", "forces.npz", "reference.npz", "structures.npz")


@pytest.fixture(autouse=True)
def _stays_here() -> Iterator[None]:
    here = Path.cwd()
    yield
    os.chdir(here)  # a worker goes where the run was typed


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where a stand-in for sbatch keeps what is submitted."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sbatch").write_text(SBATCH.format(folder=tmp_path))
    (tools / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return tmp_path / "submitted.sh"


def words(suite: Path, model: str, out: Path, *more: str) -> list[str]:
    common = ["run", "--suite", str(suite), "--model", model, "--batch-atoms", "20"]
    return [*common, "--no-diagnose", "--out", str(out), *more]


def task_of(script: Path) -> list[str]:
    """Return the words of the command that a task runs, without its Python."""
    last = shlex.split(script.read_text().splitlines()[-1])
    assert last[0] == "exec"
    return last[last.index("mlffbench") + 1 :]


def test_a_task_computes_what_was_submitted_and_run_prints_it(
    shared_suite_file: Path, shared_springs: str, tmp_path: Path, sbatch: Path
) -> None:
    asked = words(shared_suite_file, shared_springs, tmp_path / "array")
    engine = ["--engine", "slurm", "--workers", "3", "--slurm", "partition=short"]
    shown = mlffbench(*asked, *engine, "--dry-run")
    assert not sbatch.exists()
    done = mlffbench(*asked, *engine)
    assert done.returncode == 0, done.stderr
    assert "Submitted batch job 7" in done.stdout
    assert sbatch.read_text().strip() in shown.stdout
    assert "#SBATCH --array=1-3" in sbatch.read_text()
    task = mlffbench(*task_of(sbatch))
    assert (task.returncode, task.stderr) == (0, "")
    assert mlffbench(*words(shared_suite_file, shared_springs, tmp_path / "one"))
    array, one = (
        next((tmp_path / name).rglob("run.json")).parent for name in ("array", "one")
    )
    for name in FILES:
        assert (array / name).read_bytes() == (one / name).read_bytes()


@pytest.mark.slow
def test_a_task_that_is_killed_and_requeued_changes_nothing(
    shared_suite_file: Path, shared_springs: str, tmp_path: Path, sbatch: Path
) -> None:
    asked = words(shared_suite_file, shared_springs, tmp_path / "array")
    assert mlffbench(*asked, "--engine", "slurm", "--workers", "2").returncode == 0

    def task() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(["bash", str(sbatch)], env=environment())

    killed, other = task(), task()
    while not list((tmp_path / "array").rglob("run.json")):
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    requeued = task()
    assert [requeued.wait(), other.wait()] == [0, 0]
    assert mlffbench(*words(shared_suite_file, shared_springs, tmp_path / "one"))
    array, one = (
        next((tmp_path / name).rglob("run.json")).parent for name in ("array", "one")
    )
    for name in FILES:
        assert (array / name).read_bytes() == (one / name).read_bytes()


def test_a_profile_is_a_file_and_what_was_typed_goes_before(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("partition: long\ngpus: 2\nsetup: [module load cuda]\n")
    profile = read_profile(file, ["partition=short", "time=1:00:00"])
    script = script_of(
        profile,
        [Path("/runs/a b")],
        name="x",
        n_tasks=4,
        cwd=Path("/home/me"),
        logs=Path("/runs"),
        trust=False,
    )
    lines = script.splitlines()
    for line in ("partition=short", "gres=gpu:2", "time=1:00:00", "requeue"):
        assert f"#SBATCH --{line}" in lines
    assert lines.index("module load cuda") < lines.index("cd /home/me")
    assert lines[-1].endswith("worker --own -- '/runs/a b'")
    assert read_profile(None, []) == SlurmProfile()


def script_in(folder: Path) -> str:
    return script_of(
        SlurmProfile(constraint="a100|h100"),
        [folder / "zero"],
        name="x",
        n_tasks=1,
        cwd=folder,
        logs=folder,
        trust=False,
    )


def test_no_name_of_a_folder_says_more_than_a_name(tmp_path: Path) -> None:
    script = script_in(Path("/a b/100%/\"c\\d';touch x"))
    line = next(one for one in script.splitlines() if "output" in one)
    told = line.removeprefix("#SBATCH --output=")
    assert shlex.split(told) == ["/a b/100%%/\"c\\d';touch x/slurm-%A_%a.out"]
    with pytest.raises(BenchError, match="line break"):
        script_in(Path("/a\ntouch x"))
    odd = Path(os.fsdecode(b"/a\xff"))
    submit(script_in(odd), tmp_path, "run", [odd])
    [path] = tmp_path.glob("slurm-run-*.sh")
    assert os.fsencode(odd) in path.read_bytes()


def test_commands_and_models_of_one_suite_keep_their_scripts(tmp_path: Path) -> None:
    for command, model in (("run", "zero"), ("run", "ani-1x"), ("simulate", "zero")):
        for _ in range(2):  # the same call has the same script
            runs = [tmp_path / model / "baseline"]
            submit(f"# {command} {model}\n", tmp_path, command, runs)
    found = sorted(path.read_text() for path in tmp_path.glob("slurm-*.sh"))
    assert found == ["# run ani-1x\n", "# run zero\n", "# simulate zero\n"]


def test_nothing_is_submitted_where_another_run_is(
    shared_suite_file: Path, tmp_path: Path, sbatch: Path
) -> None:
    assert mlffbench(*words(shared_suite_file, "zero", tmp_path)).returncode == 0
    more = ["--seed", "1", "--engine", "slurm"]
    done = mlffbench(*words(shared_suite_file, "zero", tmp_path, *more))
    assert done.returncode == 1
    assert "job, seed: 0 there, 1 now" in done.stderr
    assert not sbatch.exists()
    assert not list(tmp_path.rglob("request.json"))


def test_no_machine_is_flooded_with_workers(
    shared_suite_file: Path, tmp_path: Path
) -> None:
    done = mlffbench(*words(shared_suite_file, "zero", tmp_path, "--workers", "1000"))
    assert done.returncode == 1
    assert "--workers 1000 is too much for" in done.stderr
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("partition", "is no NAME=VALUE"),
        ("colour=red", "colour"),
        ("gpus=many", "gpus"),
        ("account=a\n#SBATCH --x", "account"),
    ],
)
def test_a_profile_that_is_wrong_is_one_sentence(given: str, told: str) -> None:
    with pytest.raises(BenchError, match=told):
        read_profile(None, [given])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--slurm", "time=1"], "--slurm is for --engine slurm"),
        (["--engine", "slurm", "--overwrite"], "--overwrite deletes nothing"),
    ],
)
def test_options_that_do_not_go_together_are_one_sentence(
    shared_suite_file: Path, tmp_path: Path, more: list[str], told: str
) -> None:
    done = mlffbench(*words(shared_suite_file, "zero", tmp_path, *more))
    assert done.returncode == 1
    assert told in done.stderr
