"""Ray: workers as actors, on a cluster of their own or on one that was named.

Ray lives in a process of its own (`mlffbench.engines.ray_driver`), since it ends the one
that it lives in when its head dies.
"""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from mlffbench.core.errors import MissingExtraError, ModelError, StoreError, SuiteError
from mlffbench.core.guards.children import PYTHON, await_end
from mlffbench.core.guards.output import shortage
from mlffbench.engines.local_processes import MOST_PER_CORE

_ANSWER_S = 5.0
"""How long a cluster may take to open a connection."""
_BEGIN_S = 120.0
"""How long Ray may take to begin; what is no cluster keeps it waiting for ever."""
_OF_ANOTHER_CLUSTER = (
    "RAY_ADDRESS", "RAY_NAMESPACE", "RAY_RUNTIME_ENV", "RAY_RUNTIME_ENV_HOOK",
    "RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_TMPDIR",
)  # fmt: skip
"""Settings that would have us join, or behave as in, a cluster that nobody named."""


@dataclass(frozen=True, slots=True)
class EnvironmentRuns:
    """Runs whose models compute in the same environment.

    Attributes:
        folders: Of the runs, in the order in which this process begins them.
        environment: Its name; None for the one of Ray itself.
    """

    folders: tuple[Path, ...]
    environment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RaySettings:
    """What actors are asked for.

    Attributes:
        n_actors: How many.
        gpus: Of each, or a share of one.
        address: Of a cluster, ``host:port``; None starts one on this machine.
    """

    n_actors: int
    gpus: float = 0
    address: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Actors:
    """The actors of a command, as seen from the process that leads them.

    Attributes:
        driver: The process in which Ray lives.
        errors: What it says of errors.
        told: Why actors could not help, once the block is over.
    """

    driver: "subprocess.Popen[bytes]"
    errors: IO[bytes]
    told: list[str] = field(default_factory=list)

    def are_there(self) -> bool:
        """Return whether some actor is still at work, or on its way.

        Raises:
            StoreError: Ray ended before its actors did.
        """
        if self.driver.poll() is None:
            return True
        self.listen()
        if self.driver.returncode:
            msg = f"Ray ended (code {self.driver.returncode}) while its actors computed; "
            raise StoreError(msg + "repeat the command, it goes on where it was")
        return False

    def listen(self) -> None:
        """Keep what the driver has said, once it has ended."""
        if self.driver.stdout is not None and not self.driver.stdout.closed:
            said = [dict(json.loads(line)) for line in self.driver.stdout]
            self.told.extend(str(one["told"]) for one in said if "told" in one)


@contextmanager
def ray_actors(
    runs: Sequence[EnvironmentRuns], settings: RaySettings, *, trust: bool
) -> Iterator[Actors]:
    """Run actors for the length of a block; nothing of them stays behind.

    Args:
        runs: They.
        settings: How many actors, with what, where.
        trust: Whether they load what runs code that was not typed.

    Raises:
        MissingExtraError: Ray is not installed.
        ModelError: The cluster cannot be reached or started.
        StoreError: The machine has no room for it.
        SuiteError: The settings make no sense.
    """
    check_settings(settings)
    scratch = tempfile.mkdtemp(prefix="mlffbench-ray-")
    asked = {
        "runs": [
            [one.environment, [str(path.absolute()) for path in one.folders]]
            for one in runs
        ],
        "n_actors": settings.n_actors,
        "gpus": settings.gpus,
        "address": settings.address,
        "scratch": scratch,
        "trust": trust,
    }
    try:
        with tempfile.TemporaryFile() as errors:
            driver = _started(
                variables_for(settings.address, os.environ), scratch, errors
            )
            actors = Actors(driver, errors)
            try:
                _begin(actors, asked)
                yield actors
            finally:
                _end(actors)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_settings(settings: RaySettings) -> None:
    """Check what can be checked before Ray is started.

    Raises:
        MissingExtraError: Ray is not installed.
        ModelError: Nothing answers at the address.
        SuiteError: The address names no cluster, or there are far too many actors.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError("--engine ray", "ray", "ray")
    if settings.address is not None:
        _check_answers(settings.address)
        return
    most = MOST_PER_CORE * (os.cpu_count() or 1)
    if settings.n_actors > most:
        msg = f"--workers {settings.n_actors} is too much for {os.cpu_count()} cores; "
        raise SuiteError(msg + f"give at most {most}, or the --address of a cluster")


def _check_answers(address: str) -> None:
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or parts.scheme not in {"", "ray"}:
        msg = (
            f"--address {address!r} is no host:port of a Ray cluster; give the one that "
        )
        raise SuiteError(msg + "its ray start has printed, or leave --address out")
    try:
        socket.create_connection((host, port), timeout=_ANSWER_S).close()
    except OSError as error:
        why = error.strerror or str(error)
        msg = (
            f"no Ray cluster answers at {address} ({why}); check --address, or leave it "
        )
        raise ModelError(msg + "out to start one on this machine") from error


def variables_for(address: str | None, given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of the process in which Ray lives.

    What is set for other clusters is kept away from one of our own, and what tells how to
    speak with the cluster that was named is left.

    Args:
        address: Of the cluster; None for one of our own.
        given: Those of this process.
    """
    found = {key: value for key, value in given.items() if key not in _OF_ANOTHER_CLUSTER}
    found |= {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    if address is None:
        found["RAY_AUTH_MODE"] = "disabled"  # else it writes a token into the home
    return found


def _started(
    variables: Mapping[str, str], scratch: str, errors: IO[bytes]
) -> "subprocess.Popen[bytes]":
    """Start the process in which Ray lives.

    Raises:
        StoreError: The machine has no room for it.
    """
    try:
        return subprocess.Popen(
            [*PYTHON, "-m", "mlffbench.engines.ray_driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=variables,
            cwd=scratch,  # Ray puts the current folder on the path of its workers
            start_new_session=True,  # Ctrl-C is ours to answer
        )
    except OSError as error:
        why = shortage(error) or error.strerror
        msg = f"Ray cannot be started: {why}; then repeat the command"
        raise StoreError(msg) from error


def _begin(actors: Actors, asked: Mapping[str, Any]) -> None:
    """Ask the driver for its actors and wait until it has them.

    Raises:
        ModelError: It has not.
    """
    driver = actors.driver
    if driver.stdin is None or driver.stdout is None:
        return
    with suppress(BrokenPipeError):  # told by what it said
        driver.stdin.write((json.dumps(asked) + "\n").encode())
        driver.stdin.flush()
    limit = threading.Timer(_BEGIN_S, driver.kill)
    limit.start()
    try:
        line = driver.stdout.readline()
    finally:
        limit.cancel()
    answer = dict(json.loads(line)) if line.endswith(b"\n") else {}
    if "began" in answer:
        return
    if not answer:
        await_end(driver)
    why = answer.get("fault") or _last_line(actors.errors)
    if driver.returncode == -signal.SIGKILL:
        why = f"it was not there after {_BEGIN_S:.0f} s"
    msg = f"Ray cannot be started: {why}; check --address and --workers, or leave "
    raise ModelError(msg + "--engine out")


def _end(actors: Actors) -> None:
    """Let the driver put away what it started; what it says is kept."""
    driver = actors.driver
    if driver.stdin is not None:
        with suppress(BrokenPipeError):
            driver.stdin.close()
    await_end(driver)
    with suppress(ProcessLookupError):  # what a head leaves behind that was killed
        os.killpg(driver.pid, signal.SIGKILL)
    actors.listen()
    if driver.stdout is not None:
        driver.stdout.close()


def _last_line(errors: IO[bytes]) -> str:
    """Return the last thing that was said of an error."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it gave no reason"
