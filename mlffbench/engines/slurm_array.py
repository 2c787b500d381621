"""SLURM: one array script, whose tasks are workers that may be requeued at any moment."""

import os
import shlex
import shutil
import subprocess
import unicodedata
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlffbench.core.errors import StoreError, SuiteError, faults_in
from mlffbench.core.files import make_folder, write_atomic
from mlffbench.core.guards.children import PYTHON
from mlffbench.datasets.statements.yaml_file import read_yaml

Features = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,:@/+=\[\]|&()*-]+$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,:@/+=\[\]-]+$")]


class SlurmProfile(BaseModel):
    """What a cluster wants to know of a job.

    Attributes:
        partition: Where it runs.
        account: Who pays.
        qos: Its quality of service.
        time: At most, as SLURM writes it: ``2:00:00``.
        memory: Of a task: ``4G``.
        gpus: Of a task.
        cpus: Of a task; a worker computes with one thread.
        constraint: Features of its nodes.
        setup: Lines of the shell before a worker starts: modules, an environment.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    time: Word = "4:00:00"
    memory: Word | None = None
    gpus: int = Field(default=0, ge=0)
    cpus: int = Field(default=1, ge=1)
    constraint: Features | None = None
    setup: tuple[str, ...] = ()


def read_profile(path: Path | None, given: Sequence[str]) -> SlurmProfile:
    """Return a profile from a YAML file and from ``NAME=VALUE``, which go before.

    Raises:
        DataError: The file cannot be read.
        SuiteError: A value is unknown or not what it must be.
    """
    content: Any = read_yaml(path) if path else {}
    if not isinstance(content, dict):
        msg = f"{path} must be a mapping with keys like partition, account and time"
        raise SuiteError(msg)
    typed: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            msg = f"--slurm {text!r} is no NAME=VALUE; give one like partition=gpu"
            raise SuiteError(msg)
        typed[name] = value
    try:
        return SlurmProfile.model_validate({**content, **typed})
    except ValidationError as error:
        msg = f"the SLURM profile is not legal: {faults_in(error)}"
        raise SuiteError(msg) from error


def script_of(
    profile: SlurmProfile,
    folders: Sequence[Path],
    *,
    name: str,
    n_tasks: int,
    cwd: Path,
    logs: Path,
    trust: bool,
) -> str:
    """Return the array script whose tasks work on some runs.

    Args:
        profile: What the cluster wants to know.
        folders: Of the runs.
        name: Of the job.
        n_tasks: Workers.
        cwd: Where the run was typed.
        logs: Folder of what the tasks print.
        trust: Whether they load what runs code that was not typed.

    Raises:
        SuiteError: A folder has a name that no line of a script can hold.
    """
    asked: Mapping[str, object] = {
        "job-name": name,
        "array": f"1-{n_tasks}",
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "time": profile.time,
        "mem": profile.memory,
        "cpus-per-task": profile.cpus,
        "gres": f"gpu:{profile.gpus}" if profile.gpus else None,
        "output": _quoted(logs.absolute()),
        "open-mode": "append",
    }
    head = [f"#SBATCH --{key}={value}" for key, value in asked.items() if value]
    words = [*PYTHON, "-m", "mlffbench", "worker", "--own"]
    words += ["--trust"] * trust + ["--", *(str(path.absolute()) for path in folders)]
    lines = [
        "#!/bin/bash",
        *head,
        "#SBATCH --requeue",
        "# A task that is killed or requeued leaves its shard to whoever comes next.",
        "set -e",
        *profile.setup,
        "export OMP_NUM_THREADS=1",
        f"cd {shlex.quote(str(cwd))}",
        f"exec {shlex.join(words)}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(logs: Path) -> str:
    """Return what a task prints to, as SLURM reads a directive.

    Raises:
        SuiteError: The name of the folder would end the line.
    """
    name = str(logs)
    if any(unicodedata.category(one) == "Cc" for one in name):
        msg = f"the folder {name!r} has a line break or another control character in its "
        raise SuiteError(msg + "name, which no script can hold; choose another --out")
    escaped = name.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}/slurm-%A_%a.out"'


def submit(script: str, folder: Path, command: str, runs: Sequence[Path]) -> str:
    """Write an array script and submit it where there is a SLURM; return what to tell.

    Args:
        script: The script.
        folder: Where it is kept.
        command: What was typed, e.g. ``"run"``.
        runs: Folders that its tasks work on: other runs have a script of their own.

    Raises:
        StoreError: The folder cannot be written, or SLURM refuses the script.
    """
    make_folder(folder)
    names = "\n".join(sorted(os.path.relpath(run, folder) for run in runs))
    own = sha256(os.fsencode(names)).hexdigest()[:8]
    path = folder / f"slurm-{command}-{own}.sh"
    write_atomic(path, os.fsencode(script))
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        return f"wrote {path}; there is no sbatch here: submit it with sbatch {path}"
    done = subprocess.run(
        [sbatch, str(path)], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        why = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        msg = f"sbatch refuses {path}: {why}; correct --slurm or --profile"
        raise StoreError(msg)
    return f"wrote {path}; {' '.join(done.stdout.split())}"
