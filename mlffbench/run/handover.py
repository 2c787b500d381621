"""Handing the jobs of one model to the interpreter of its own environment.

The child gets the request on its input and carries it out as the parent would have: the
same folders, the same files. What it has to say comes back as lines of JSON; whatever
else its packages print goes to the error stream.
"""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from mlffbench.core.errors import BenchError, ModelError
from mlffbench.models.catalog import MODELS
from mlffbench.models.environments.environment import (
    Environment,
    environment_for,
    variables_of,
)
from mlffbench.models.model_spec import parse_spec
from mlffbench.run.request import AnyRequest
from mlffbench.run.work import Progress


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of the jobs of a model elsewhere.

    Attributes:
        folders: Of the finished jobs.
        faults: Jobs that should have run and could not.
        notes: Jobs that the model is not made for, where others finished.
    """

    folders: tuple[Path, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def elsewhere(spec: str) -> Environment | None:
    """Return the environment in which a model's jobs run; None where they run here.

    None too where its environment is not made: loading the model then says so.
    """
    parts = parse_spec(spec)
    if parts.is_file:
        return None
    environment = environment_for(MODELS.entry(parts.name))
    return environment if environment and environment.is_current else None


def hand_over(
    environment: Environment, model: str, request: AnyRequest, progress: Progress
) -> Answer:
    """Have all jobs of a model carried out in its environment.

    Args:
        environment: Where.
        model: As typed.
        request: What was asked for, of all models.
        progress: Told of everything that is finished.

    Raises:
        ModelError: The interpreter cannot be started, or ends without an answer.
    """
    sent = pickle.dumps((sys.argv, replace(request, models=(model,))))
    command = [str(environment.python), "-P", "-m", "mlffbench.run.handover"]
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=variables_of(environment),
        )
    except OSError as error:
        msg = f"{environment.python} cannot be started: {error.strerror}; run: mlffbench "
        raise ModelError(msg + f"env create {environment.name}") from error
    answer: Answer | None = None
    try:
        for line in _talk(child, sent):
            if "begin" in line:
                progress.begin(*line["begin"])
            elif "advance" in line:
                progress.advance(line["advance"])
            else:
                folders = tuple(map(Path, line["folders"]))
                answer = Answer(folders, tuple(line["faults"]), tuple(line["notes"]))
    finally:
        if answer is None:
            child.terminate()
        with child:  # closes what is open and waits
            pass
    code = child.returncode
    if answer is None:
        msg = (
            f"the environment {environment.name!r} ended without an answer (code {code})"
        )
        raise ModelError(msg + "; what it said is above")
    return answer


def _talk(child: "subprocess.Popen[bytes]", sent: bytes) -> Iterator[Mapping[str, Any]]:
    """Send a request and yield the lines that come back."""
    if child.stdin is None or child.stdout is None:
        return
    try:
        child.stdin.write(sent)
        child.stdin.close()
    except BrokenPipeError:  # it ended before it listened; its exit code tells
        return
    for line in child.stdout:
        yield json.loads(line)


class _Lines:
    """Progress that is told to the parent."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self, title: str, n_structures: int) -> None:
        self.tell(begin=[title, n_structures])

    def advance(self, n_structures: int) -> None:
        self.tell(advance=n_structures)

    def tell(self, **values: object) -> None:
        self._out.write(json.dumps(values) + "\n")
        self._out.flush()


@contextmanager
def _own_channel() -> Iterator[_Lines]:
    """Keep the output for our lines; what anybody prints goes to the error stream."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        yield _Lines(out)


def main() -> None:
    """Carry out the request on the input, as a child."""
    from mlffbench.run.loop import run_campaign
    from mlffbench.run.request import resolve

    sys.argv, request = pickle.load(sys.stdin.buffer)  # of our own parent
    with _own_channel() as lines:
        try:
            done = run_campaign(resolve(request), lines)
        except BenchError as error:
            lines.tell(folders=[], faults=[str(error)], notes=[])
            return
        folders = [str(folder.path) for folder in done.folders]
        lines.tell(folders=folders, faults=done.faults, notes=done.notes)


if __name__ == "__main__":
    main()
