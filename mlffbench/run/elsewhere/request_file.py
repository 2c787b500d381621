"""Request file: what a worker must know to join a run, kept in its folder meanwhile."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from mlffbench.core.errors import DataError, StoreError, faults_in
from mlffbench.core.files import write_atomic
from mlffbench.core.guards.sizes import read_text
from mlffbench.models.model_spec import check_not_typed
from mlffbench.run.curve.curve_job import CurveJob
from mlffbench.run.folder import CURVE, SIMULATION, HeldError, RunFolder
from mlffbench.run.request import (
    AnyRequest,
    CurveRequest,
    Request,
    SimulationRequest,
)
from mlffbench.run.work import AnyJob

KINDS: Mapping[str, tuple[type[AnyRequest], str]] = {
    "run": (Request, "run.json"),
    "simulate": (SimulationRequest, SIMULATION),
    "finetune-curve": (CurveRequest, CURVE),
}
"""Command -> its request, and the manifest of what it makes."""
_OF_WORKER = {"out", "overwrite", "trust"}
"""What a worker is told by whoever starts it, and by no file."""


class _Stored(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cwd: str
    command: Literal["run", "simulate", "finetune-curve"]
    request: dict[str, Any]


def folder_at(path: Path) -> RunFolder:
    """Return the folder of a run, a simulation or a curve, begun or asked for."""
    with suppress(OSError, StoreError):  # the folder of a run then tells what it lacks
        for _, name in KINDS.values():
            if (path / name).exists():
                return RunFolder(path, name)
        return RunFolder(path, KINDS[_read(path / "request.json").command][1])
    return RunFolder(path)


def can_be_joined(request: AnyRequest) -> bool:
    """Return whether workers can be told of what was asked for: a prediction is not."""
    return any(type(request) is kind for kind, _ in KINDS.values())


def command_of(request: AnyRequest) -> str:
    """Return the name of the command that asks so."""
    return next(name for name, (kind, _) in KINDS.items() if type(request) is kind)


def write_request(folder: RunFolder, request: AnyRequest, job: AnyJob) -> None:
    """Leave in a folder what its run was asked for.

    Raises:
        StoreError: The folder cannot be written.
    """
    content = asdict(_of_one(request, job))
    kept = {key: value for key, value in content.items() if key not in _OF_WORKER}
    stored = {"cwd": str(Path.cwd()), "command": command_of(request), "request": kept}
    # json, not pydantic: a path that is no UTF-8 has lone surrogates
    text = json.dumps(stored, indent=2) + "\n"
    write_atomic(folder.request_path, text.encode())


def _of_one(request: AnyRequest, job: AnyJob) -> AnyRequest:
    """Return the request that asks for one job of a request."""
    settings = dict(getattr(job, "settings", ()))
    if isinstance(job, CurveJob):
        modes, settings = job.modes, {"ttt": settings} if settings else {}
    else:
        mode = str(getattr(job, "mode", ""))
        modes, settings = (mode,), {mode: settings}
    return replace(request, models=(job.model,), modes=modes, settings=settings)


def forget_request(folder: RunFolder) -> None:
    """Drop what an earlier run was asked for, before workers look for one's own.

    They load the code that it names, and would compute what nobody wants any more.

    Raises:
        StoreError: The folder cannot be written.
    """
    if folder.request_path.is_symlink() or folder.request_path.exists():
        with suppress(HeldError), folder.locked():  # else: it is of a run in progress
            folder.request_path.unlink(missing_ok=True)


def read_request(folder: RunFolder, *, trust: bool, own: bool) -> AnyRequest:
    """Return the request behind a run, in the current folder it was typed in.

    Args:
        folder: Of the run.
        trust: Load what runs code that was not typed; the file cannot ask for it.
        own: Whether the run is the user's own, who typed what it names.

    Raises:
        ModelError: It names code, and is not one's own.
        StoreError: There is no run in progress, or its file is broken, or the folder
            where it was typed is not there.
    """
    path = folder.request_path
    if not path.exists():
        msg = f"{folder.path} holds no run in progress; start it with mlffbench run, "
        msg += "simulate or finetune-curve"
        raise StoreError(msg)
    stored = _read(path)
    kind, _ = KINDS[stored.command]
    try:
        request = TypeAdapter(kind).validate_python(
            {key: value for key, value in stored.request.items() if key not in _OF_WORKER}
        )
    except ValidationError as error:
        raise _no_request(path, error) from error
    settings = [value for one in request.settings.values() for value in one.values()]
    for spec in (*request.models, *request.modes, *settings):
        if isinstance(spec, str):
            check_not_typed(spec, str(path), trust=trust or own, what="model or mode")
    try:
        os.chdir(stored.cwd)  # names of files are relative to it
    except OSError as error:
        msg = f"{stored.cwd}, where the run was started, is not here ({error.strerror}); "
        raise StoreError(msg + "start the worker where it is") from error
    return replace(request, trust=trust)


def _read(path: Path) -> _Stored:
    """Return what a file says.

    Raises:
        StoreError: It is no request.
    """
    try:
        content: Any = json.loads(read_text(path))
        return _Stored.model_validate(content)
    except ValidationError as error:
        raise _no_request(path, error) from error
    except (DataError, OSError, ValueError) as error:
        msg = f"{path} is missing or broken; repeat the run"
        raise StoreError(msg) from error


def _no_request(path: Path, error: ValidationError) -> StoreError:
    msg = f"{path} is not a request: {faults_in(error)}; repeat the run"
    return StoreError(msg)
