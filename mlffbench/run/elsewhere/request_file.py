"""Request file: what a worker must know to join a run, kept in its folder meanwhile."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mlffbench.core.errors import DataError, StoreError, faults_in
from mlffbench.core.files import write_atomic
from mlffbench.core.guards.sizes import read_text
from mlffbench.models.model_spec import check_not_typed
from mlffbench.run.evaluate.evaluation_job import Half, Job
from mlffbench.run.folder import HeldError, RunFolder
from mlffbench.run.request import Request
from mlffbench.run.suite import Setting


class _Stored(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cwd: str
    suite: str
    model: str
    mode: str
    settings: dict[str, Setting]
    device: str
    dtype: str | None
    seed: int
    half: Half
    limit: int | None
    batch_atoms: int


def write_request(folder: RunFolder, request: Request, job: Job) -> None:
    """Leave in a folder what its run was asked for.

    Raises:
        StoreError: The folder cannot be written.
    """
    stored = _Stored(
        cwd=str(Path.cwd()),
        suite=request.suite,
        model=job.model,
        mode=job.mode,
        settings=dict(job.settings),
        device=job.device,
        dtype=job.dtype,
        seed=job.seed,
        half=job.half,
        limit=job.limit,
        batch_atoms=job.batch_atoms,
    )
    # json, not pydantic: a path that is no UTF-8 has lone surrogates
    text = json.dumps(stored.model_dump(), indent=2) + "\n"
    write_atomic(folder.request_path, text.encode())


def forget_request(folder: RunFolder) -> None:
    """Drop what an earlier run was asked for, before workers look for one's own.

    They load the code that it names, and would compute what nobody wants any more.

    Raises:
        StoreError: The folder cannot be written.
    """
    if folder.request_path.is_symlink() or folder.request_path.exists():
        with suppress(HeldError), folder.locked():  # else: it is of a run in progress
            folder.request_path.unlink(missing_ok=True)


def read_request(folder: RunFolder, *, trust: bool, own: bool) -> Request:
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
        msg = f"{folder.path} holds no run in progress; start one with mlffbench run"
        raise StoreError(msg)
    try:
        content: Any = json.loads(read_text(path))
        stored = _Stored.model_validate(content)
    except ValidationError as error:
        msg = f"{path} is not a request: {faults_in(error)}; repeat the run"
        raise StoreError(msg) from error
    except (DataError, ValueError) as error:
        msg = f"{path} is missing or broken; repeat the run"
        raise StoreError(msg) from error
    for spec in (stored.model, stored.mode, *stored.settings.values()):
        if isinstance(spec, str):
            check_not_typed(spec, str(path), trust=trust or own, what="model or mode")
    try:
        os.chdir(stored.cwd)  # names of files are relative to it
    except OSError as error:
        msg = f"{stored.cwd}, where the run was started, is not here ({error.strerror}); "
        raise StoreError(msg + "start the worker where it is") from error
    return Request(
        suite=stored.suite,
        models=(stored.model,),
        modes=(stored.mode,),
        settings={stored.mode: stored.settings},
        device=stored.device,
        dtype=stored.dtype,
        seed=stored.seed,
        half=stored.half,
        limit=stored.limit,
        batch_atoms=stored.batch_atoms,
        trust=trust,
    )
