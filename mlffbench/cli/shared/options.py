"""Every option that more than one command takes, declared once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Dtype(StrEnum):
    """Floating-point type of the model."""

    auto = "auto"
    float32 = "float32"
    float64 = "float64"


class Half(StrEnum):
    """Which half of a suite is evaluated."""

    test = "test"
    val = "val"


class Units(StrEnum):
    """Units of energies and forces in tables."""

    mev = "meV"
    kcal = "kcal"


_WHAT, _HOW, _WHERE = "What to run", "How to compute", "Where results go"

SuiteOption = Annotated[
    str,
    typer.Option(
        "--suite",
        "-s",
        help="A shipped suite's name, or a YAML file.",
        rich_help_panel=_WHAT,
    ),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="A model's name, ase:package.module:Class?key=value, or "
        "path/to/file.py:factory; repeat it or separate by commas. "
        "Left out: the suite's own models.",
        rich_help_panel=_WHAT,
    ),
]
ModesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mode",
        help="A refinement mode, or path/to/file.py:Mode; repeat it or separate by "
        "commas. "
        "Left out: the suite's own modes.",
        rich_help_panel=_WHAT,
    ),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="MODE.NAME=VALUE",
        help="A setting of a mode, e.g. rr.criterion=quantile or ttt.steps=200; repeat "
        "it. Goes before the suite's own.",
        rich_help_panel=_HOW,
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        help="At most N structures per split, spread over its molecules.",
        rich_help_panel=_WHAT,
    ),
]
HalfOption = Annotated[
    Half,
    typer.Option(
        "--half",
        help="Evaluate the test half, or the val half, where tuning is allowed.",
        rich_help_panel=_WHAT,
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed", min=0, help="Seed of every random choice.", rich_help_panel=_HOW
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option(
        "--device", help="auto takes CUDA where there is one.", rich_help_panel=_HOW
    ),
]
DtypeOption = Annotated[
    Dtype,
    typer.Option(
        "--dtype", help="auto is each model's own default.", rich_help_panel=_HOW
    ),
]
BatchAtomsOption = Annotated[
    int | None,
    typer.Option(
        "--batch-atoms",
        min=1,
        help="Atoms per batch; left out: 2,000 on a CPU, 20,000 on a GPU.",
        rich_help_panel=_HOW,
    ),
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Unpickle a model file of unknown origin. It can run any code: "
        "only for files you made yourself.",
        rich_help_panel=_HOW,
    ),
]
OutOption = Annotated[
    Path,
    typer.Option("--out", help="Folder of all runs.", rich_help_panel=_WHERE),
]
OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Delete a run with other settings that stands in the way.",
        rich_help_panel=_WHERE,
    ),
]
UnitsOption = Annotated[
    Units,
    typer.Option(
        "--units", help="meV: meV/Å and meV/atom; kcal: kcal/mol/Å and kcal/mol/atom."
    ),
]
