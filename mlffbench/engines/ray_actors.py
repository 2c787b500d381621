"""Ray: one actor per worker, on a cluster of its own or on one that was named."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from mlffbench.core.errors import MissingExtraError, ModelError

_RESTARTS = 3
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to anybody
    "RAY_raylet_start_wait_time_s": "180",  # a busy machine takes its time
}


class _Member:
    """What an actor does; its model stays loaded between runs."""

    def work(self, folders: list[str], trust: bool) -> str:
        from mlffbench.core.errors import BenchError
        from mlffbench.run.crew_member import CrewMember

        try:
            member = CrewMember(trust=trust, own=True)
            member.join_all([Path(one) for one in folders], is_led=lambda: True)
        except BenchError as error:
            return str(error)
        return ""


@contextmanager
def ray_workers(
    folders: Sequence[Path],
    n_workers: int,
    *,
    trust: bool,
    gpus: float = 0,
    address: str | None = None,
) -> Iterator[list[str]]:
    """Run actors for the length of a block; nothing of them stays behind.

    Args:
        folders: Of the runs, in the order in which this process begins them.
        n_workers: How many actors.
        trust: Whether they load what runs code that was not typed.
        gpus: Of an actor.
        address: Of a cluster; None starts one on this machine, whatever else runs here.

    Yields:
        A list that holds, after the block, a sentence for each actor that ended early.

    Raises:
        MissingExtraError: Ray is not installed.
        ModelError: The cluster cannot be reached or started.
    """
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise MissingExtraError("--engine ray", "ray", "ray") from error
    told: list[str] = []
    scratch = tempfile.mkdtemp(prefix="mlffbench-ray-")
    try:
        with _without_foreign_settings(address):
            try:
                _connect(ray, scratch, n_workers, address)
            except Exception as error:
                ray.shutdown()
                msg = f"Ray cannot be started: {str(error).splitlines()[0]}; check "
                raise ModelError(msg + "--address, or use --engine local") from error
            actor = ray.remote(
                num_cpus=1, num_gpus=gpus, max_restarts=_RESTARTS, max_task_retries=-1
            )(_Member)
            actors = [actor.remote() for _ in range(n_workers)]
            paths = [str(path.absolute()) for path in folders]
            asked = [one.work.remote(paths, trust) for one in actors]
            try:
                yield told
                told += _ended_early(ray, asked)
            finally:
                for one in actors:
                    ray.kill(one)
                ray.shutdown()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _connect(ray: Any, scratch: str, n_workers: int, address: str | None) -> None:
    own = {
        "num_cpus": n_workers,
        "include_dashboard": False,
        "_temp_dir": scratch,
    }
    ray.init(
        address=address or "local",
        log_to_driver=False,
        logging_level="ERROR",
        **({} if address else own),
    )


def _ended_early(ray: Any, asked: Sequence[Any]) -> list[str]:
    """Return why actors stopped; those that are done say nothing."""
    told = []
    ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0)
    for one in ready:
        try:
            why = ray.get(one)
        except ray.exceptions.RayError as error:
            why = str(error).splitlines()[0]
        if why:
            told.append(f"an actor ended early, and the others did its share: {why}")
    return told


@contextmanager
def _without_foreign_settings(address: str | None) -> Iterator[None]:
    """Keep what is set for another cluster away from one of our own."""
    names = () if address else ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_NAMESPACE")
    before = {name: os.environ.pop(name, None) for name in names}
    before |= {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update({n: v for n, v in _SETTINGS.items() if before[n] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
