"""The process in which Ray lives: it starts actors, and ends when its input does.

It is asked on one line of JSON and answers on lines of JSON: that it has begun, or why it
cannot, and at the end why actors could not help. Whatever Ray prints goes to the error
stream.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from mlffbench.core.errors import BenchError
from mlffbench.core.guards.children import PYTHON, await_end_of_input
from mlffbench.engines.local_processes import why_ended, worker_words

RESTARTS = 3
"""Times that an actor that died is begun anew."""
_PATIENCE_S = 10.0
"""How long putting everything away may take."""
_LOOK_S = 0.5
"""How long the end of the input may go unnoticed."""


class Member:
    """What an actor does: it keeps one worker at work, and shares its fate."""

    def work(
        self, runs: Sequence[tuple[str | None, Sequence[str]]], trust: bool
    ) -> list[str]:
        """Work on runs; return why some of them could not be worked on.

        Args:
            runs: The name of an environment, None for this one, and folders of runs
                whose models compute in it; one after another.
            trust: Whether to load what runs code that was not typed.
        """
        told: list[str] = []
        for environment, paths in runs:
            try:
                python, variables = interpreter_of(environment)
            except BenchError as error:  # one that Ray cannot carry
                told.append(
                    f"an actor could not help, and the others did its share: {error}"
                )
                continue
            words = worker_words(paths, trust=trust)
            words.insert(words.index("worker") + 1, "--tied")
            told += _worked([*python, *words], {**variables, "OMP_NUM_THREADS": "1"})
        return told


def interpreter_of(name: str | None) -> tuple[list[str], dict[str, str]]:
    """Return how a Python is started in an environment, and its variables.

    Args:
        name: Of the environment, looked for on this machine; None for the one we are in.
    """
    if name is None:
        return list(PYTHON), dict(os.environ)
    from mlffbench.models.environments.environment import environment_named, variables_of

    environment = environment_named(name)
    return [str(environment.python), "-P"], variables_of(environment)


def _worked(words: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Run a worker, anew where it is killed; return why it could not help, if so."""
    why = ""
    for _ in range(1 + RESTARTS):
        with tempfile.TemporaryFile() as errors:
            worker = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,  # closes when this process is gone
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=dict(variables),
            )
            with worker:
                code = worker.wait()
            why = why_ended(worker, errors)
        if code >= 0:
            break
    return [why] if why else []


def main() -> None:
    """Carry out what the input asks for."""
    with _own_channel() as out:
        asked = json.loads(sys.stdin.buffer.readline())
        ended = threading.Event()
        threading.Thread(target=_await_end_of_input, args=(ended,), daemon=True).start()
        import ray

        try:
            _connect(ray, asked)
            fault = _shortage(ray.cluster_resources(), asked)
        except Exception as error:  # noqa: BLE001 - Ray raises whatever it meets
            fault = _first_line(error)
        if fault:
            _tell(out, fault=fault)
        else:
            _lead(ray, asked, ended, out)
        ray.shutdown()
        # whoever asked does the same, unless it was killed
        shutil.rmtree(asked["scratch"], ignore_errors=True)


def _connect(ray: Any, asked: Mapping[str, Any]) -> None:
    own = {
        "num_cpus": asked["n_actors"],
        "include_dashboard": False,
        "_temp_dir": asked["scratch"],
    }
    ray.init(
        address=asked["address"] or "local",
        log_to_driver=False,
        logging_level="ERROR",
        **({} if asked["address"] else own),
    )


def _shortage(there: Mapping[str, float], asked: Mapping[str, Any]) -> str:
    """Return why not even one actor can ever be placed; empty where it can."""
    gpus = there.get("GPU", 0.0)
    if gpus < asked["gpus"]:
        return f"an actor wants {asked['gpus']:g} GPU, and the cluster has {gpus:g}"
    return "" if there.get("CPU", 0.0) >= 1 else "the cluster has no CPU"


def _lead(
    ray: Any, asked: Mapping[str, Any], ended: threading.Event, out: TextIO
) -> None:
    """Start actors and wait for them, or for the end of the input."""
    kind = ray.remote(
        num_cpus=1, num_gpus=asked["gpus"], max_restarts=RESTARTS, max_task_retries=-1
    )(Member)
    actors = [kind.remote() for _ in range(asked["n_actors"])]
    waiting = [one.work.remote(asked["runs"], asked["trust"]) for one in actors]
    _tell(out, began=len(actors))
    said: dict[str, None] = {}
    while waiting and not ended.is_set():
        ready, waiting = ray.wait(waiting, num_returns=1, timeout=_LOOK_S)
        for one in ready:
            try:
                said |= dict.fromkeys(ray.get(one))
            except ray.exceptions.RayError as error:
                why = f"an actor died, and the others did its share: {_first_line(error)}"
                said[why] = None
    for told in said:
        _tell(out, told=told)
    for one in actors:
        ray.kill(one)


def _await_end_of_input(ended: threading.Event) -> None:
    """Tell that the input has ended; end, too, where Ray does not let go."""
    await_end_of_input()
    ended.set()
    time.sleep(_PATIENCE_S)
    os._exit(1)


def _first_line(error: Exception) -> str:
    """Return what an error says first."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def _tell(out: TextIO, **values: object) -> None:
    out.write(json.dumps(values) + "\n")
    out.flush()


@contextmanager
def _own_channel() -> Iterator[TextIO]:
    """Keep the output for our lines; what anybody prints goes to the error stream."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        yield out


if __name__ == "__main__":
    main()
