"""``simulate``: molecular dynamics of a suite's molecules."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from mlffbench.cli.shared.asked import (
    Asked,
    Helped,
    Kept,
    checked_values,
    spread,
)
from mlffbench.cli.shared.carried_out import carried_out
from mlffbench.cli.shared.console import (
    make_console,
    print_table,
)
from mlffbench.cli.shared.endings import end, tell_left_out, tell_where
from mlffbench.cli.shared.options import (
    AddressOption,
    BatchAtomsOption,
    EngineKind,
    GpusOption,
    ProfileOption,
    SlurmOption,
    Units,
    WorkersOption,
    option,
)
from mlffbench.cli.shared.progress import STEPS
from mlffbench.core.errors import BenchError, SuiteError

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.dynamics.presets import Preset
    from mlffbench.run.folder import RunFolder
    from mlffbench.run.simulate.simulation_job import EngineName

_HOW, _WHAT = "How molecules move", "What to run"


class Engine(StrEnum):
    """Who moves the molecules, and who computes."""

    batched = "batched"
    ase = "ase"
    local = "local"
    slurm = "slurm"
    ray = "ray"


_MOVERS = (Engine.batched, Engine.ase)


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
    list[Engine] | None,
    option(
        "--engine",
        "Who moves: batched, many molecules in one model call per step, or ase, ASE's "
        "dynamics, one at a time; who computes: local, slurm or ray. Left out: batched "
        "and local; give it twice for both.",
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
class HelpedMotion:
    """Who moves, and who computes."""

    workers: WorkersOption = 1
    engine: EngineOption = None
    slurm: SlurmOption = None
    profile: ProfileOption = None
    address: AddressOption = None
    num_gpus: GpusOption = None

    @property
    def mover(self) -> "EngineName":
        """Who moves the molecules.

        Raises:
            SuiteError: Two are named.
        """
        return "ase" if self._one(_MOVERS) is Engine.ase else "batched"

    @property
    def helped(self) -> Helped:
        """Who computes.

        Raises:
            SuiteError: Two are named.
        """
        others = tuple(one for one in Engine if one not in _MOVERS)
        return Helped(
            workers=self.workers,
            engine=EngineKind((self._one(others) or Engine.local).value),
            slurm=self.slurm,
            profile=self.profile,
            address=self.address,
            num_gpus=self.num_gpus,
        )

    def _one(self, among: tuple[Engine, ...]) -> Engine | None:
        """Return which of some engines is named, None for none of them."""
        named = [one for one in dict.fromkeys(self.engine or ()) if one in among]
        if len(named) > 1:
            msg = f"--engine {named[0].value} and --engine {named[1].value} exclude each "
            raise SuiteError(msg + "other; leave one of them out")
        return named[0] if named else None


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
    batch_atoms: BatchAtomsOption = None,
    frames: FramesOption = 200,
    trajectory_format: FormOption = Form.extxyz,
    kept: Kept,
    helped: HelpedMotion,
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
        engine=helped.mover,
        limit=limit,
        batch_atoms=batch_atoms,
        frames=frames,
        form=trajectory_format.value,
    )
    console = make_console()
    done = carried_out(request, console, STEPS, helped.helped)
    if done is None:
        return
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
