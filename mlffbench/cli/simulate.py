"""``simulate``: molecular dynamics of a suite's molecules."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from mlffbench.cli.shared.asked import Asked, Kept, checked_values, spread
from mlffbench.cli.shared.carried_out import carried_out
from mlffbench.cli.shared.console import (
    make_console,
    print_table,
)
from mlffbench.cli.shared.endings import end, tell_left_out, tell_where
from mlffbench.cli.shared.options import BatchAtomsOption, Units, option
from mlffbench.cli.shared.progress import STEPS
from mlffbench.core.errors import BenchError

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.dynamics.presets import Preset
    from mlffbench.run.folder import RunFolder

_HOW, _WHAT = "How molecules move", "What to run"


class Engine(StrEnum):
    """Who moves the molecules."""

    batched = "batched"
    ase = "ase"


class Form(StrEnum):
    """Formats of trajectories."""

    extxyz = "extxyz"
    traj = "traj"


PresetOption = Annotated[
    str,
    option(
        "--preset",
        "quick, mdsim-molecule, paper-md17, mlipaudit or nve-drift; the "
        "options below change single values of it.",
        _HOW,
    ),
]
SeedsOption = Annotated[int | None, option("--seeds", "Trajectories per molecule.", _HOW)]
TimeOption = Annotated[
    float | None, option("--time", "Length of a trajectory, in ps.", _HOW)
]
TimeStepOption = Annotated[float | None, option("--time-step", "In fs.", _HOW)]
TemperatureOption = Annotated[float | None, option("--temperature", "In K.", _HOW)]
FrictionOption = Annotated[
    float | None, option("--friction", "Of the bath, in 1/fs.", _HOW)
]
HydrogenOption = Annotated[
    float | None,
    option(
        "--hydrogen-mass",
        "Mass of hydrogens in amu, taken from the atoms they are bonded to.",
        _HOW,
    ),
]
KeepOption = Annotated[
    bool,
    option(
        "--keep-heavy-masses",
        "With --hydrogen-mass: add the mass instead of moving it.",
        _HOW,
    ),
]
EngineOption = Annotated[
    Engine,
    option(
        "--engine",
        "batched: all molecules in one model call per step; ase: ASE's dynamics, "
        "one molecule at a time.",
        _HOW,
    ),
]
SplitsOption = Annotated[
    list[str] | None,
    option(
        "--split", "Splits whose molecules move; left out: the suite's choice.", _WHAT
    ),
]
MoleculesOption = Annotated[
    int | None,
    option(
        "--limit",
        "A trial of at most N molecules per split, in folders of its own: "
        "SUITE--limit-N.",
        _WHAT,
        least=1,
    ),
]
FramesOption = Annotated[
    int,
    option(
        "--frames", "Frames per written trajectory at most.", "Where results go", least=2
    ),
]
FormOption = Annotated[
    Form,
    option("--trajectory-format", "Of the written trajectories.", "Where results go"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Single values of a preset that are changed."""

    seeds: SeedsOption = None
    time: TimeOption = None
    time_step: TimeStepOption = None
    temperature: TemperatureOption = None
    friction: FrictionOption = None
    hydrogen_mass: HydrogenOption = None
    keep_heavy_masses: KeepOption = False


@spread
def simulate(
    *,
    asked: Asked,
    split: SplitsOption = None,
    limit: MoleculesOption = None,
    preset: PresetOption = "quick",
    changes: Changes,
    engine: EngineOption = Engine.batched,
    batch_atoms: BatchAtomsOption = None,
    frames: FramesOption = 200,
    trajectory_format: FormOption = Form.extxyz,
    kept: Kept,
) -> None:
    """Move a suite's molecules and print who survives, for how long, and why not.

    Stopped or killed, the same command goes on where it was.
    """
    values = checked_values(asked, kept)  # before torch is imported
    from mlffbench.cli.shared.resolving import names
    from mlffbench.run.request import SimulationRequest

    request = SimulationRequest(
        **values,
        preset=_preset(preset, changes),
        splits=names(split),
        engine=engine.value,
        limit=limit,
        batch_atoms=batch_atoms,
        frames=frames,
        form=trajectory_format.value,
    )
    console = make_console()
    done = carried_out(request, console, STEPS)
    faults = [*done.faults, *_score_and_print(console, done.folders, kept.units)]
    tell_left_out(console, done.notes)
    tell_where(console, done.folders)
    end(faults)


def _preset(name: str, changes: Changes) -> "Preset":
    """Return a preset with some of its values changed."""
    from mlffbench.dynamics.presets import preset_of

    values = {
        "seeds": changes.seeds,
        "duration": changes.time,
        "time_step": changes.time_step,
        "temperature": changes.temperature,
        "friction": changes.friction,
        "hydrogen_mass": changes.hydrogen_mass,
    }
    given = {key: value for key, value in values.items() if value is not None}
    if given.get("hydrogen_mass") == 0:
        raise BenchError("a hydrogen mass of 0 amu cannot be simulated; give one above 0")
    repartition = not changes.keep_heavy_masses
    return replace(preset_of(name), **given, repartition=repartition)  # type: ignore[arg-type]  # values of their own fields


def _score_and_print(
    console: "Console", folders: "list[RunFolder]", units: Units
) -> list[str]:
    """Score simulations and print their tables; return a sentence for each without."""
    from mlffbench.report.simulations_part import dynamics_tables
    from mlffbench.run.simulate.simulation_score import write_scores

    faults, scored = [], []
    for folder in folders:
        try:
            records = write_scores(folder)
        except BenchError as error:
            faults.append(str(error))
            continue
        scored.append(folder)
        for record in records:
            if record.status == "failed":
                why = next(iter(record.counts.reasons), "no reason")
                who = f"{record.model} {record.mode}"
                faults.append(f"{who} moved nothing of {record.split!r}: {why}")
    for table in dynamics_tables(scored, units.value):
        print_table(console, table)
    return faults
