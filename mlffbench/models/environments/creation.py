"""Making an environment: uv where it is installed, else venv and pip."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from filelock import FileLock

from mlffbench.core.errors import ModelError
from mlffbench.core.files import make_folder
from mlffbench.core.guards.children import PYTHON, fault_of_import
from mlffbench.models.environments.environment import Environment, variables_of

PATIENCE_S = 300.0
"""How long the first import of its packages may take."""


def create(environment: Environment, say: Callable[[str], None]) -> bool:
    """Make an environment as its lock file says, unless it is there.

    Args:
        environment: Which.
        say: Told what is being done.

    Returns:
        Whether it was made now.

    Raises:
        ModelError: It cannot be made; nothing is left of it.
        StoreError: Its folder cannot be written.
    """
    folder = environment.folder
    make_folder(folder.parent)
    lock = FileLock(folder.parent / f".{environment.name}.lock")
    try:
        lock.acquire()
    except OSError as error:
        _fail(environment, f"{lock.lock_file} cannot be written: {error.strerror}")
    try:
        return _make(environment, say)
    finally:
        lock.release()


def _make(environment: Environment, say: Callable[[str], None]) -> bool:
    """Make an environment, unless it is there; nobody else makes it meanwhile."""
    if environment.is_current:
        return False
    remove(environment)
    try:
        tool = _install(environment, say)
        fault = import_fault(environment)
        if fault:
            _fail(environment, fault)
        environment.note(tool)
    except OSError as error:
        shutil.rmtree(environment.folder, ignore_errors=True)
        _fail(environment, f"{error.filename}: {error.strerror}")
    except BaseException:
        shutil.rmtree(environment.folder, ignore_errors=True)
        raise
    return True


def remove(environment: Environment) -> bool:
    """Delete an environment; return whether there was one.

    A file or a link in its place goes too; what a link leads to stays.

    Raises:
        ModelError: It cannot be deleted.
    """
    folder = environment.folder
    is_folder = folder.is_dir() and not folder.is_symlink()
    try:
        if is_folder:
            shutil.rmtree(folder)
        else:
            folder.unlink()
    except FileNotFoundError:
        return is_folder  # another deleted it at the same time
    except OSError as error:
        msg = f"{error.filename or folder} cannot be deleted: {error.strerror}; delete "
        raise ModelError(msg + f"{folder} by hand") from error
    return True


def import_fault(environment: Environment) -> str:
    """Return why mlffbench or its packages cannot be imported; empty if they can."""
    names = ", ".join(("mlffbench.models.catalog", *environment.imports))
    return fault_of_import(
        names,
        patience_s=PATIENCE_S,
        python=(str(environment.python), "-P"),
        variables=variables_of(environment),
    )


def _install(environment: Environment, say: Callable[[str], None]) -> str:
    """Create the folder and install the packages; return what did it.

    Raises:
        ModelError: A step ended with an error.
    """
    folder, python = environment.folder, str(environment.python)
    uv = shutil.which("uv")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    n_packages = sum(bool(line.strip()) for line in _pins(environment.lock))
    tool = "uv" if uv else "venv and pip"
    say(f"making {folder} with {tool}: Python {version}, {n_packages} packages")
    venv = [uv, "venv", "--python", PYTHON[0]] if uv else [*PYTHON, "-m", "venv"]
    _carry_out(environment, [*venv, str(folder)])
    lock = folder / "lock.txt"
    lock.write_text(environment.lock, encoding="utf-8")
    pip = (
        [uv, "pip", "install", "--python", python]
        if uv
        else [python, "-P", "-m", "pip", "install"]
    )
    _carry_out(environment, [*pip, "--quiet", "--requirement", str(lock)])
    return tool


def _own_variables() -> dict[str, str]:
    """Return the variables of this process without other places to import from.

    Else pip takes a package that lies there for installed, and leaves it out.
    """
    strange = {"PYTHONPATH", "PYTHONHOME"}
    return {key: value for key, value in os.environ.items() if key not in strange}


def _pins(lock: str) -> list[str]:
    return [line for line in lock.splitlines() if not line.startswith("#")]


def _carry_out(environment: Environment, command: Sequence[str]) -> None:
    """Run one step.

    Raises:
        ModelError: It ended with an error, or cannot be started.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=_own_variables(),
        )
    except OSError as error:
        _fail(environment, f"{name} cannot be started: {error.strerror}")
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        told = (
            [line for line in lines if "error" in line.lower()] or lines or ["no reason"]
        )
        _fail(environment, f"{name} says: {told[-1].strip()[:300]}")


def _fail(environment: Environment, why: str) -> NoReturn:
    msg = f"the environment {environment.name!r} cannot be made: {why}; nothing is left "
    raise ModelError(msg + "of it, repeat the command when that is mended")
