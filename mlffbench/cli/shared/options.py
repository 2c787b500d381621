"""Every option that more than one command takes, declared once."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.models import OptionInfo

from mlffbench.cli.shared.completion import (
    complete_mode,
    complete_model,
    complete_suite,
)

Device = StrEnum("Device", "auto cpu cuda")
"""Where to compute."""

Dtype = StrEnum("Dtype", "auto float32 float64")
"""Floating-point type of the model."""


class EngineKind(StrEnum):
    """Where the workers of a run come from."""

    local = "local"
    slurm = "slurm"
    ray = "ray"


class Half(StrEnum):
    """Which half of a suite is evaluated."""

    test = "test"
    val = "val"


Units = StrEnum("Units", {"mev": "meV", "kcal": "kcal"})
"""Units of energies and forces in tables."""


def option(
    flags: str,
    text: str,
    panel: str | None = None,
    *,
    least: int | None = None,
    metavar: str | None = None,
    complete: Callable[[str], list[tuple[str, str]]] | None = None,
) -> OptionInfo:
    """Return an option of a command.

    Args:
        flags: Its long and short flag, separated by a space.
        text: What `--help` says about it.
        panel: Heading of the options beside which `--help` lists it.
        least: Smallest number it takes.
        metavar: How `--help` writes its value; left out: by its type.
        complete: What a shell completes its value with.
    """
    made: OptionInfo = typer.Option(
        *flags.split(),
        help=text,
        rich_help_panel=panel,
        min=least,
        metavar=metavar,
        autocompletion=complete,
    )
    return made


_WHAT, _HOW, _WHERE = "What to run", "How to compute", "Where results go"

SuiteOption = Annotated[
    str,
    option(
        "--suite -s",
        "A shipped suite's name, or a YAML file.",
        _WHAT,
        complete=complete_suite,
    ),
]
ModelsOption = Annotated[
    list[str] | None,
    option(
        "--model -m",
        "A model's name, ase:package.module:Class?key=value, or "
        "path/to/file.py:factory; repeat it or separate by commas. Left out: the "
        "suite's own models.",
        _WHAT,
        complete=complete_model,
    ),
]
ModesOption = Annotated[
    list[str] | None,
    option(
        "--mode",
        "A refinement mode, or path/to/file.py:Mode; repeat it or separate by "
        "commas. Left out: the suite's own modes.",
        _WHAT,
        complete=complete_mode,
    ),
]
SettingsOption = Annotated[
    list[str] | None,
    option(
        "--set",
        "A setting of a mode, e.g. rr.criterion=quantile or ttt.steps=200; repeat "
        "it. Goes before the suite's own.",
        _HOW,
        metavar="MODE.NAME=VALUE",
    ),
]
LimitOption = Annotated[
    int | None,
    option(
        "--limit",
        "A trial of at most N structures per split, spread over its molecules, in "
        "folders of its own: SUITE--limit-N.",
        _WHAT,
        least=1,
    ),
]
HalfOption = Annotated[
    Half,
    option(
        "--half",
        "Evaluate the test half, or the val half, where tuning is allowed.",
        _WHAT,
    ),
]
SeedOption = Annotated[
    int, option("--seed", "Seed of every random choice.", _HOW, least=0)
]
DeviceOption = Annotated[
    Device, option("--device", "auto takes CUDA where there is one.", _HOW)
]
DtypeOption = Annotated[
    Dtype, option("--dtype", "auto is each model's own default.", _HOW)
]
BatchAtomsOption = Annotated[
    int | None,
    option(
        "--batch-atoms",
        "Atoms per batch; left out: 500 on a CPU, 20,000 on a GPU.",
        _HOW,
        least=1,
    ),
]
TrustOption = Annotated[
    bool,
    option(
        "--trust",
        "Run code that you did not type: a pickled model file of unknown origin, or a "
        "model named in a suite file or a prior head. Only for files you know.",
        _HOW,
    ),
]
_WORKERS = "Who computes"
WorkersOption = Annotated[
    int,
    option(
        "--workers",
        "Processes that compute, one thread each: here, or as tasks of an "
        "engine. Any number gives the same bytes.",
        _WORKERS,
        least=1,
    ),
]
EngineOption = Annotated[
    EngineKind,
    option(
        "--engine",
        "local: processes of this machine; slurm: an array job; ray: actors of Ray.",
        _WORKERS,
    ),
]
AddressOption = Annotated[
    str | None,
    option(
        "--address",
        "Of the Ray cluster; left out, one is started on this machine.",
        _WORKERS,
        metavar="HOST:PORT",
    ),
]
GpusOption = Annotated[
    float | None,
    option(
        "--num-gpus",
        "GPUs of a Ray actor, or a share of one; left out: 1 with CUDA, else none.",
        _WORKERS,
        least=0,
    ),
]
SlurmOption = Annotated[
    list[str] | None,
    option(
        "--slurm",
        "What the cluster wants to know: partition, account, qos, time, memory, gpus, "
        "cpus, constraint; repeat it.",
        _WORKERS,
        metavar="NAME=VALUE",
    ),
]
ProfileOption = Annotated[
    Path | None,
    option("--profile", "The same, and setup lines, from a YAML file.", _WORKERS),
]
OutOption = Annotated[Path, option("--out", "Folder of all runs.", _WHERE)]
OverwriteOption = Annotated[
    bool,
    option(
        "--overwrite", "Delete a run with other settings that stands in the way.", _WHERE
    ),
]
UnitsOption = Annotated[
    Units,
    option("--units", "meV: meV/Å and meV/atom; kcal: kcal/mol/Å and kcal/mol/atom."),
]
WideOption = Annotated[
    bool,
    option("--wide", "Print every column: cosine, energies, radii, prior, times."),
]
