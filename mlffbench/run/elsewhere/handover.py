"""Handing the jobs of one model to the interpreter of its own environment.

The child (`mlffbench.run.elsewhere.child`) gets the request on its input and carries it
out as the parent would have: the same folders, the same files.
"""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlffbench.core.errors import ModelError
from mlffbench.core.guards.children import await_end
from mlffbench.models.catalog import MODELS
from mlffbench.models.environments.environment import (
    Environment,
    environment_for,
    not_started,
    variables_of,
)
from mlffbench.models.model_spec import parse_spec
from mlffbench.run.request import AnyRequest
from mlffbench.run.work import Progress

_TOLD = ({"begin"}, {"advance"}, {"folders", "faults", "notes"})
"""What a line of a child tells."""


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
    command = [str(environment.python), "-P", "-m", "mlffbench.run.elsewhere.child"]
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=variables_of(environment),
        )
    except OSError as error:
        raise not_started(environment, error) from error
    answer: Answer | None = None
    try:
        answer = _answer(_talk(child, sent), environment, progress)
    finally:
        if answer is None:
            child.terminate()
            await_end(child)
        with child:  # closes what is open and waits
            pass
    code = child.returncode
    if answer is None:
        msg = (
            f"the environment {environment.name!r} ended without an answer (code {code})"
        )
        raise ModelError(msg + "; what it said is above")
    return answer


def _answer(
    lines: Iterator[bytes], environment: Environment, progress: Progress
) -> Answer | None:
    """Return what a child answers, telling its progress; None where it does not.

    Raises:
        ModelError: Something else writes to its output.
    """
    answer: Answer | None = None
    for line in lines:
        if not line.endswith(b"\n"):
            break  # it ended in the middle of a word
        try:
            told: dict[str, Any] = dict(json.loads(line))
            if set(told) not in _TOLD:
                raise ValueError
        except (ValueError, TypeError) as error:
            said = repr(line[:80].decode(errors="replace").strip())
            msg = f"the environment {environment.name!r} wrote {said} to its output, "
            msg += "where only answers belong; something in it prints when Python starts"
            raise ModelError(msg + f": run: {environment.again}") from error
        if "begin" in told:
            progress.begin(*told["begin"])
        elif "advance" in told:
            progress.advance(told["advance"])
        else:
            folders = tuple(map(Path, told["folders"]))
            answer = Answer(folders, tuple(told["faults"]), tuple(told["notes"]))
    return answer


def _talk(child: "subprocess.Popen[bytes]", sent: bytes) -> Iterator[bytes]:
    """Send a request and yield the lines that come back."""
    if child.stdin is None or child.stdout is None:
        return
    # one that ended before it listened is told by what it said, and its exit code
    with suppress(BrokenPipeError):
        child.stdin.write(sent)
    with suppress(BrokenPipeError):
        child.stdin.close()
    yield from child.stdout
