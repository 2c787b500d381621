"""What runs cost as they grow, and whether workers change anything.

- ``memory``: the ``zero`` model on synthetic sets of 14 atoms a structure, each in a
  fresh process: CPU seconds and peak memory once data are indexed and run, and, in one
  more process, scored;
- ``workers``: `mlffbench run --no-diagnose` of mini-ood, or of as many shaken butanes as
  wanted, with one worker, with two, and with two actors of Ray where it is installed: the
  whole command, start-up, checks, scores and report included; the run alone (start-up of
  the others, reading, computing, merging); and shards per second from the moment when all
  are at work to the last shard; and whether their files are the same;
- ``kills``: workers that are killed with SIGKILL at random moments, in forked processes,
  until so many were; then whether the files are those of an undisturbed run;
- ``same``: checksums of one run by one worker, by two, by three of which two are killed,
  and by two actors of Ray of which one is killed.

Usage: python benchmarks/scale.py memory [SIZES] | workers [MODEL] [MODE] [STRUCTURES]
       | kills [NUMBER] | same
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import h5py
import numpy as np
from ase.build import molecule
from usage import tell_usage

N_CONFORMERS = 200
FILES = ("predictions.parquet", "forces.npz", "reference.npz", "structures.npz")
SMILES = {
    "C2H6": "[C:1]([C:2]([H:3])([H:4])[H:5])([H:6])([H:7])[H:8]",
    "trans-butane": (
        "[C:1]([C:2]([C:3]([C:4]([H:5])([H:6])[H:7])([H:8])[H:9])([H:10])[H:11])"
        "([H:12])([H:13])[H:14]"
    ),
}
SUITE = """
name: synthetic
version: 1
summary: shaken molecules in harmonic wells
level_of_theory: wells
splits:
  - {name: train, role: train, file: train.hdf5}
  - {name: id, role: id_test, file: test.hdf5}
models: [zero]
"""
SLOW = """
import time
from mlffbench.models.physics.zero import ZeroForceField


class Slow(ZeroForceField):
    name = "slow"

    def predict(self, structures):
        time.sleep(0.05)
        return super().predict(structures)
"""


def main() -> None:
    what, *words = sys.argv[1:] or ["memory"]
    if what == "memory":
        memory([int(word) for word in words] or [1_000, 10_000, 100_000])
    elif what in {"one", "scored"}:
        {"one": one, "scored": scored}[what](Path(words[0]))
    elif what == "workers":
        workers(*(words or ["mini-mace"]))
    elif what == "same":
        same()
    else:
        kills(int(words[0]) if words else 100)


def memory(sizes: list[int]) -> None:
    """Print the curve."""
    print("structures  index s    MB   run s    MB  score s    MB  MB on disk")
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_suite(folder, size)
            told: dict[str, Any] = {}
            for what in ("one", "scored"):
                done = subprocess.run(
                    [sys.executable, __file__, what, name],
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                told |= json.loads(done.stdout.splitlines()[-1])
            files = [path for path in (folder / "runs").rglob("*") if path.is_file()]
            disk_mb = sum(path.stat().st_size for path in files) / 1e6
        parts = "  ".join(
            f"{told[part][0]:7.1f} {told[part][1]:5.0f}"
            for part in ("index", "run", "score")
        )
        print(f"{size:10,d}  {parts}  {disk_mb:10.0f}", flush=True)


def write_suite(folder: Path, size: int) -> Path:
    """Write a suite of as many shaken butanes as wanted; return its file."""
    write(folder / "train.hdf5", "C2H6", 2)
    write(folder / "test.hdf5", "trans-butane", max(1, size // N_CONFORMERS))
    (folder / "suite.yaml").write_text(SUITE)
    return folder / "suite.yaml"


def write(path: Path, name: str, n_groups: int, n_conformers: int = N_CONFORMERS) -> None:
    """Write shaken copies of a molecule in the released SPICE layout."""
    atoms = molecule(name)
    order = np.argsort(-atoms.numbers, kind="stable")
    positions = atoms.positions[order] / 0.529177
    rng = np.random.default_rng(len(name))
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(n_groups):
            group = file.create_group(f"{name} {number}")
            group["atomic_numbers"] = atoms.numbers[order].astype("i2")
            text = h5py.string_dtype()
            group.create_dataset("smiles", data=[SMILES[name]], dtype=text)
            shake = rng.normal(scale=0.05, size=(n_conformers, len(atoms), 3))
            for key, values, unit in (
                ("conformations", (positions + shake).astype("f4"), "bohr"),
                ("dft_total_gradient", (0.3 * shake).astype("f4"), "hartree/bohr"),
                ("dft_total_energy", 0.15 * (shake**2).sum((1, 2)) - 100, "hartree"),
            ):
                group[key] = values
                group[key].attrs["units"] = unit


def one(folder: Path) -> None:
    """Run one set; print CPU seconds and peak MB after each step as JSON."""
    from mlffbench.run.loop import run_campaign
    from mlffbench.run.request import Request, resolve

    told, start = {}, cpu_s()
    campaign = resolve(Request(suite=str(folder / "suite.yaml"), out=folder / "runs"))
    told["index"] = cpu_s() - start, peak_mb()
    done = run_campaign(campaign)
    assert not done.faults, done.faults
    told["run"] = cpu_s() - start - told["index"][0], peak_mb()
    print(json.dumps(told))


def scored(folder: Path) -> None:
    """Score the run of one set; print CPU seconds and peak MB as JSON."""
    from mlffbench.api.benchmark import score_folders
    from mlffbench.run.folder import find_runs

    start = cpu_s()
    done = score_folders(find_runs([folder / "runs"]))
    assert not done.faults, done.faults
    print(json.dumps({"score": (cpu_s() - start, peak_mb())}))


def cpu_s() -> float:
    """Return the CPU seconds of this process, the system's for it among them."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def workers(model: str, mode: str = "baseline", size: str = "") -> None:
    """Print what one worker takes, two workers and two actors; whether all agree."""
    crews = {"1 worker": ["--workers", "1"], "2 workers": ["--workers", "2"]}
    if importlib.util.find_spec("ray"):
        crews["2 actors"] = ["--engine", "ray", "--workers", "2"]
    else:
        print("Ray is not installed, so its actors are left out: pip install 'ray'")
    told: dict[str, tuple[float, float, float]] = {}
    bytes_of = set()
    with tempfile.TemporaryDirectory() as name:
        suite = str(write_suite(Path(name), int(size))) if size else "mini-ood"
        for who, more in crews.items():
            out = Path(name) / who.replace(" ", "-")
            words = ["run", "--suite", suite, "--model", model, "--mode", mode]
            words += ["--no-diagnose", "--out", str(out), *more]
            start = time.perf_counter()
            crew = subprocess.Popen(
                [sys.executable, "-m", "mlffbench", *words], stdout=subprocess.DEVNULL
            )
            rate = _rate(crew, out, int(who[0]))
            assert crew.wait() == 0, who
            whole = time.perf_counter() - start
            (folder,) = (path.parent for path in out.rglob("run.json"))
            told[who] = whole, _run_s(folder), rate
            bytes_of.add(tuple((folder / file).read_bytes() for file in FILES))
    print(f"{model} {mode} of {size or suite}{' butanes' if size else ''}")
    print(
        f"{'':28s}" + "".join(f"{who:>11s}" for who in crews) + "   ratios to the first"
    )
    for i, what in enumerate(
        ("whole command, s", "run alone, s", "shards/s, all at work")
    ):
        values = [one[i] for one in told.values()]
        gains = [values[0] / one if i < 2 else one / values[0] for one in values[1:]]
        print(
            f"{what:28s}"
            + "".join(f"{one:11.2f}" for one in values)
            + "   "
            + ", ".join(f"{one:.2f}" for one in gains)
        )
    print(f"the same bytes: {len(bytes_of) == 1}")


def _rate(crew: "subprocess.Popen[bytes]", out: Path, n: int) -> float:
    """Return shards per second from when all of a crew are at work to the last shard.

    NaN where they never were all at work at once.
    """
    begun: tuple[float, int] | None = None
    last = (0.0, 0)
    parts: Path | None = None
    while crew.poll() is None:
        time.sleep(0.05)
        parts = parts or next((one for one in out.rglob("parts")), None)
        names = []
        with contextlib.suppress(OSError):
            names = [path.name for path in (parts or out).iterdir()]
        now, done = time.perf_counter(), sum(one.endswith(".npz") for one in names)
        if done > last[1]:
            last = now, done
        if begun is None and len(_owners(parts or out, names)) >= n:
            begun = now, done
    if begun is None or last[0] <= begun[0]:
        return float("nan")
    return (last[1] - begun[1]) / (last[0] - begun[0])


def _owners(folder: Path, names: list[str]) -> set[int]:
    """Return the processes that hold claims."""
    found = set()
    for name in names:
        if name.endswith(".claim"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                found.add(int(json.loads((folder / name).read_text())["pid"]))
    return found


def _run_s(folder: Path) -> float:
    """Return the seconds from the begin of a run to its end, as it tells itself."""
    manifest = json.loads((folder / "run.json").read_text())
    begun, ended = (
        datetime.fromisoformat(manifest[name]) for name in ("started", "finished")
    )
    return (ended - begun).total_seconds()


CREWS: dict[str, tuple[list[str], str, int]] = {
    "one worker": ([], "", 0),
    "two workers": (["--workers", "2"], "", 0),
    "three, two killed": (["--workers", "3"], "worker --own", 2),
    "Ray, one of two killed": (["--engine", "ray", "--workers", "2"], "ray::Member", 1),
}
"""What is typed, whom to kill, and how many of them."""


def same() -> None:
    """Print the checksums of the same run by different crews."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "slow.py").write_text(SLOW)
        for number, (who, (more, victim, n_victims)) in enumerate(CREWS.items()):
            out = Path(name) / str(number)
            words = ["run", "--suite", "mini-ood", "--model", f"{name}/slow.py:Slow"]
            words += ["--limit", "100", "--batch-atoms", "60", "--no-diagnose"]
            start = time.perf_counter()
            crew = subprocess.Popen(
                [sys.executable, "-m", "mlffbench", *words, "--out", str(out), *more],
                stdout=subprocess.DEVNULL,
            )
            killed = _killed_in(crew, out, victim, n_victims)
            assert crew.wait() == 0, who
            seconds = time.perf_counter() - start
            (run,) = (path.parent for path in out.rglob("run.json"))
            sums = {file: hashlib.sha256((run / file).read_bytes()) for file in FILES}
            sums["records"] = hashlib.sha256(_records_of(run).encode())
            found[who] = tuple(one.hexdigest()[:16] for one in sums.values())
            print(f"{who}: {seconds:.0f} s, killed {killed}")
            print("  " + "  ".join(map(" ".join, zip(sums, found[who], strict=True))))
    print(f"all the same: {len(set(found.values())) == 1}")


def _records_of(run: Path) -> str:
    """Return the records of a run without times."""
    records = [json.loads(line) for line in (run / "records.jsonl").open()]
    for record in records:
        del record["wall_s_per_structure"], record["provenance"]["started"]
    return json.dumps(records)


def _killed_in(crew: "subprocess.Popen[bytes]", out: Path, victim: str, n: int) -> int:
    """Kill some processes of a command, one after another, once each has computed."""
    killed, seen = 0, 0
    while killed < n and crew.poll() is None:
        parts = len(list(out.rglob("parts/*.npz")))
        there = [pid for pid in _below(crew.pid) if victim in _words_of(pid)]
        if parts >= seen + 3 and there:
            os.kill(there[-1], signal.SIGKILL)
            killed, seen = killed + 1, parts
        time.sleep(0.1)
    return killed


def _below(pid: int) -> list[int]:
    """Return every process that a process has started, and what they have."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found += [int(path.parent.name), *_below(int(path.parent.name))]
    return sorted(found)


def _words_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def kills(wanted: int) -> None:
    """Kill forked workers until so many were, and compare what they leave."""
    from mlffbench.run.elsewhere.request_file import write_request
    from mlffbench.run.loop import run_campaign
    from mlffbench.run.request import Request, resolve

    rng = random.Random(0)
    n_killed, n_runs, longest = 0, 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "train.hdf5", "C2H6", 1, 20)
        write(folder / "test.hdf5", "trans-butane", 10, 20)
        (folder / "suite.yaml").write_text(SUITE)
        (folder / "slow.py").write_text(SLOW)
        asked: dict[str, Any] = {"suite": str(folder / "suite.yaml"), "batch_atoms": 60}
        asked["models"] = (f"{folder}/slow.py:Slow",)
        (whole,) = run_campaign(resolve(Request(**asked, out=folder / "whole"))).folders
        while n_killed < wanted:
            request = Request(**asked, out=folder / f"cut-{n_runs}")
            campaign = resolve(request)
            cut = campaign.folder(campaign.jobs[0])
            cut.path.mkdir(parents=True)
            write_request(cut, request, campaign.jobs[0])
            start = time.perf_counter()
            n_killed += _killed_until_done(cut.path, rng)
            longest = max(longest, time.perf_counter() - start)
            n_runs += 1
            for file in FILES:
                same = (cut.path / file).read_bytes() == (whole.path / file).read_bytes()
                assert same, f"{file} of run {n_runs} differs"
            left = {path.name for path in cut.path.glob("[!.]*")}
            assert left == {*FILES, "run.json", "sha256sums"}, left
    print(f"{n_killed} workers killed in {n_runs} runs, the longest of {longest:.0f} s")
    print("lost 0, computed twice into a result 0: every file is that of a quiet run")


def _killed_until_done(folder: Path, rng: random.Random) -> int:
    """Keep three workers on a run and kill them at random; return how many died."""
    crew: set[int] = set()
    n_killed, done = 0, False
    while not done:
        while len(crew) < 3:
            crew.add(_forked(folder))
        time.sleep(rng.uniform(0.1, 4.0))
        if rng.random() < 0.8:
            os.kill(rng.choice(sorted(crew)), signal.SIGKILL)
        for pid in sorted(crew):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                crew.discard(pid)
                n_killed += os.WIFSIGNALED(status)
                done |= os.WIFEXITED(status)
                assert status in {0, signal.SIGKILL}, status
    for pid in crew:
        os.waitpid(pid, 0)
    return n_killed


def _forked(folder: Path) -> int:
    from mlffbench.run.elsewhere.crew_member import CrewMember

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            CrewMember(own=True).join_all([folder])
            code = 0
        except BaseException:
            traceback.print_exc()  # nobody else would
            raise
        finally:
            os._exit(code)
    return pid


if __name__ == "__main__":
    tell_usage(__doc__)
    main()
