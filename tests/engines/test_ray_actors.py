"""Ray: what is asked of it, what it answers, and one cluster of two actors."""

import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from processes import mlffbench

from mlffbench.core.errors import BenchError, MissingExtraError, StoreError
from mlffbench.engines import ray_actors, ray_driver
from mlffbench.engines.local_processes import worker_words
from mlffbench.engines.ray_actors import EnvironmentRuns, RaySettings, check_settings
from mlffbench.run.folder import Arrays, RunFolder
from mlffbench.run.shards import crew as crew_module
from mlffbench.run.shards.crew import Crew
from mlffbench.run.shards.shard_plan import Shard
from mlffbench.run.work import Silent

FILES = ("predictions.parquet", "forces.npz", "reference.npz", "structures.npz")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray is found, whether it is there or not."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: SimpleNamespace())


def test_without_ray_the_line_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[ray\]"):
        check_settings(RaySettings(n_actors=2))


@pytest.mark.parametrize("address", ["auto", "head", "ftp://head:6379", "head:x"])
@pytest.mark.usefixtures("installed")
def test_an_address_that_names_no_cluster_is_refused(address: str) -> None:
    with pytest.raises(BenchError, match=r"is no host:port of a Ray cluster"):
        check_settings(RaySettings(n_actors=2, address=address))


@pytest.mark.usefixtures("installed")
def test_a_cluster_that_does_not_answer_is_told_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(BenchError, match=f"no Ray cluster answers at {address}"):
            check_settings(RaySettings(n_actors=2, address=address))
        free.listen()
        check_settings(RaySettings(n_actors=10_000, address=f"ray://{address}"))


@pytest.mark.usefixtures("installed")
def test_no_machine_is_flooded_with_actors() -> None:
    with pytest.raises(BenchError, match="--workers 1000 is too much for"):
        check_settings(RaySettings(n_actors=1000))


def test_settings_of_other_clusters_are_kept_away() -> None:
    given = {"RAY_ADDRESS": "theirs:1", "RAY_AUTH_MODE": "token", "HOME": "/home/me"}
    own = ray_actors.variables_for(None, given)
    assert own["RAY_AUTH_MODE"] == "disabled"
    assert own["RAY_USAGE_STATS_ENABLED"] == "0"
    named = ray_actors.variables_for("ours:1", given)
    assert named["RAY_AUTH_MODE"] == "token"
    assert named["HOME"] == "/home/me"
    assert not {"RAY_ADDRESS"} & {*own, *named}


DRIVER = """
import json, sys
asked = json.loads(sys.stdin.readline())
print(json.dumps({"began": 2}) if asked["gpus"] == 0 else json.dumps({"fault": "why"}))
sys.stdout.flush()
sys.stdin.read()
print(json.dumps({"told": json.dumps(asked["runs"])}))
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have another program in the place of the process in which Ray lives."""

    def put(code: str) -> None:
        (tmp_path / "driver.py").write_text(code)
        words = (sys.executable, str(tmp_path / "driver.py"))
        monkeypatch.setattr(ray_actors, "PYTHON", words)

    return put


@pytest.mark.usefixtures("installed")
def test_a_driver_is_asked_led_and_listened_to(stand_in: Callable[[str], None]) -> None:
    stand_in(DRIVER)
    runs = [
        EnvironmentRuns((Path("/runs/a"), Path("/runs/b"))),
        EnvironmentRuns((Path("/c"),), "orb"),
    ]
    with ray_actors.ray_actors(runs, RaySettings(n_actors=2), trust=False) as actors:
        assert actors.are_there()
        scratch = Path(f"/proc/{actors.driver.pid}/cwd")
        scratch = scratch.resolve() if scratch.exists() else None
    assert json.loads(actors.told[0]) == [[None, ["/runs/a", "/runs/b"]], ["orb", ["/c"]]]
    assert not actors.are_there()
    assert scratch is None or not scratch.exists()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("code", "gpus", "told"),
    [(DRIVER, 1, "cannot be started: why"), ("import nosuch", 0, "No module named")],
)
def test_a_driver_that_cannot_begin_is_one_sentence(
    stand_in: Callable[[str], None], code: str, gpus: int, told: str
) -> None:
    stand_in(code)
    settings = RaySettings(n_actors=2, gpus=gpus)
    with (
        pytest.raises(BenchError, match=told),
        ray_actors.ray_actors([], settings, trust=False),
    ):
        pass


@pytest.mark.usefixtures("installed")
def test_a_head_that_dies_is_told_with_what_to_do(
    stand_in: Callable[[str], None],
) -> None:
    stand_in(DRIVER)
    with ray_actors.ray_actors([], RaySettings(n_actors=1), trust=False) as actors:
        actors.driver.kill()
        actors.driver.wait()
        with pytest.raises(StoreError, match="repeat the command, it goes on"):
            actors.are_there()


def test_an_actor_keeps_a_worker_and_starts_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import os, pathlib, signal, sys
at = pathlib.Path(sys.argv[1])
at.write_text(at.read_text() + "x" if at.exists() else "x")
if len(at.read_text()) < 3:
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit("error: other versions")
"""
    (tmp_path / "worker.py").write_text(code)
    python = (sys.executable, str(tmp_path / "worker.py"), str(tmp_path / "tries"))
    monkeypatch.setattr(ray_driver, "PYTHON", python)
    told = ray_driver.Member().work([(None, ["/run"])], trust=False)
    assert told == [
        "a worker could not help, and the others did its share: other versions"
    ]
    assert (tmp_path / "tries").read_text() == "xxx"
    assert worker_words(["/run"], trust=True)[-3:] == ["--trust", "--", "/run"]


def test_an_environment_that_is_not_there_is_told_as_what_it_is() -> None:
    (told,) = ray_driver.Member().work([("nosuch", ["/run"])], trust=False)
    assert "an actor could not help" in told
    assert "unknown environment 'nosuch'" in told


def test_who_waits_for_the_end_of_its_input_may_end_before_it() -> None:
    code = "import threading\n"
    code += "from mlffbench.core.guards.children import await_end_of_input as wait\n"
    code += "threading.Thread(target=wait, daemon=True).start()"
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as child:
        assert child.wait() == 0


class SmallRay:
    """Ray as far as the driver needs it, whose actors work at once."""

    exceptions = SimpleNamespace(RayError=RuntimeError)

    def __init__(self, *says: object) -> None:
        self.says, self.killed = list(says), 0

    def remote(self, **asked: object) -> Callable[[type], Any]:
        self.asked = asked
        work = SimpleNamespace(remote=lambda runs, trust: self.says.pop(0))
        actor = SimpleNamespace(work=work)
        return lambda kind: SimpleNamespace(remote=lambda: actor)

    def wait(self, waiting: list[Any], num_returns: int, timeout: float) -> Any:
        return waiting[:num_returns], waiting[num_returns:]

    def get(self, said: Any) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    def kill(self, actor: object) -> None:
        self.killed += 1


def lines_of(ray: SmallRay, n_actors: int) -> list[Mapping[str, Any]]:
    asked = {"n_actors": n_actors, "gpus": 0.5, "runs": [], "trust": False}
    out = io.StringIO()
    ray_driver._lead(ray, asked, threading.Event(), out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_the_driver_tells_each_reason_once_and_leaves_no_actor() -> None:
    ray = SmallRay(["why"], ["why"], RuntimeError("it died\nthere"))
    said = lines_of(ray, 3)
    assert said[0] == {"began": 3}
    assert [one["told"].rpartition(": ")[2] for one in said[1:]] == ["why", "it died"]
    assert ray.killed == 3
    assert (ray.asked["num_gpus"], ray.asked["max_restarts"]) == (
        0.5,
        ray_driver.RESTARTS,
    )


def test_what_can_never_be_placed_is_told() -> None:
    assert "has 0" in ray_driver._shortage({"CPU": 2.0}, {"gpus": 1})
    assert ray_driver._shortage({"CPU": 2.0}, {"gpus": 0}) == ""


def shard_of(number: int) -> Shard:
    return Shard(
        number=number,
        region=0,
        split=0,
        batches=(),
        rows=np.array([number]),
        n_atoms=1,
        source="x",
    )


def test_a_process_that_leads_computes_only_without_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.parts.mkdir()
    computed: list[int] = []

    def compute(one: Any, progress: Any) -> Arrays:
        computed.append(one.number)
        return {}

    def others() -> bool:
        folder.part(0).touch()
        return True

    monkeypatch.setattr(crew_module, "PAUSE_S", 0.01)
    monkeypatch.setattr(crew_module, "PATIENCE_S", 0.05)
    shards = [shard_of(number) for number in range(2)]
    Crew(folder, shards, compute, compute, others=others).carry_out(Silent())
    assert computed == [1]


@pytest.mark.slow
def test_two_actors_of_ray_change_no_byte_and_leave_nothing(
    shared_suite_file: Path, shared_springs: str, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    common = ["run", "--suite", str(shared_suite_file), "--model", shared_springs]
    common += ["--batch-atoms", "20", "--no-diagnose"]
    one = mlffbench(*common, "--out", str(tmp_path / "one"))
    engine = ["--engine", "ray", "--workers", "2"]
    more = mlffbench(*common, "--out", str(tmp_path / "ray"), *engine)
    assert (one.returncode, more.returncode) == (0, 0), more.stderr
    runs = [next((tmp_path / name).rglob("run.json")).parent for name in ("one", "ray")]
    for name in FILES:
        assert (runs[0] / name).read_bytes() == (runs[1] / name).read_bytes()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            assert b"mlffbench-ray-" not in path.read_bytes(), "something still runs"
