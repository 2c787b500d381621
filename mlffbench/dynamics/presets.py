"""Presets: named protocols of molecular dynamics, every value stated."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mlffbench.core.errors import BenchError, UnknownNameError
from mlffbench.dynamics.motion import FS_PER_PS

CriterionName = Literal["bonds", "explosion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """How every system of a run moves, and what counts as failure.

    Attributes:
        name: What tables call it.
        thermostat: Whether Langevin's bath is there; without, energy is conserved.
        temperature: Of the bath, and of the initial velocities, in K.
        time_step: In fs.
        duration: In ps.
        friction: Of the bath, in 1/fs.
        record_every: Steps between two frames, at which the criterion looks.
        criterion: ``bonds`` (MDsim) or ``explosion`` (MLIPAudit, with hydrogen drift).
        seeds: Replicas of each start, with different velocities and noise.
        hydrogen_mass: In amu; None keeps the natural one.
        repartition: Whether the mass is taken from the atom a hydrogen is bonded to.
    """

    name: str
    thermostat: bool
    temperature: float
    time_step: float
    duration: float
    friction: float = 0.001
    record_every: int = 100
    criterion: CriterionName = "bonds"
    seeds: int = 3
    hydrogen_mass: float | None = None
    repartition: bool = True

    def __post_init__(self) -> None:
        for name, value, unit in (
            ("time step", self.time_step, "fs"),
            ("duration", self.duration, "ps"),
            ("temperature", self.temperature, "K"),
            ("friction", self.friction, "1/fs"),
            ("hydrogen mass", self.hydrogen_mass or 1.0, "amu"),
        ):
            if not (math.isfinite(value) and value > 0):
                msg = (
                    f"a {name} of {value:g} {unit} cannot be simulated; give one above 0"
                )
                raise BenchError(msg)
        if self.seeds < 1 or self.record_every < 1:
            raise BenchError("give at least one seed and one step between frames")

    @property
    def n_steps(self) -> int:
        """Steps of a whole trajectory, a multiple of ``record_every``."""
        frames = self.duration * FS_PER_PS / (self.time_step * self.record_every)
        return max(1, math.ceil(frames - 1e-9)) * self.record_every

    @property
    def horizon(self) -> float:
        """Length of a whole trajectory in ps."""
        return self.n_steps * self.time_step / FS_PER_PS

    def warnings(self, *, hydrogen: bool) -> tuple[str, ...]:
        """Return what a user should know before it runs.

        Args:
            hydrogen: Whether a system has any.
        """
        heavy = (self.hydrogen_mass or 1.0) >= _HEAVY_HYDROGEN
        most = MOST_FOR_HYDROGEN * (math.sqrt(self.hydrogen_mass or 1.0) if heavy else 1)
        if not hydrogen or self.time_step <= most:
            return ()
        return (
            f"a time step of {self.time_step:g} fs is long for hydrogens, whose bonds "
            f"swing in 9 to 11 fs: above {most:.2g} fs trajectories may break for that "
            "reason alone; give a smaller --time-step, or --hydrogen-mass 3",
        )


MOST_FOR_HYDROGEN = 1.0
"""fs that a hydrogen of 1 amu stands: its stretches swing in 9 to 11 fs."""
_HEAVY_HYDROGEN = 2.5
"""amu above which a hydrogen counts as slowed down."""
_MDSIM = Preset(
    name="mdsim-molecule",
    thermostat=True,
    temperature=500.0,
    time_step=0.5,
    duration=300.0,
    seeds=5,
)
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        replace(
            _MDSIM, name="quick", duration=1.0, friction=0.01, record_every=20, seeds=3
        ),
        _MDSIM,
        replace(
            _MDSIM,
            name="paper-md17",
            duration=500.0,
            friction=9.822694788e-4,  # 0.01 in ASE's unit of time, 10.18 fs
            record_every=10,
            seeds=1,
        ),
        replace(
            _MDSIM,
            name="mlipaudit",
            temperature=300.0,
            time_step=1.0,
            duration=100.0,
            criterion="explosion",
            seeds=1,
        ),
        replace(
            _MDSIM,
            name="nve-drift",
            temperature=300.0,
            duration=5.0,
            record_every=10,
            seeds=1,
            thermostat=False,
        ),
    )
}
"""By name: a demo, MDsim's molecules, the paper's, MLIPAudit's, and conservation."""


def preset_of(name: str) -> Preset:
    """Return a preset by its name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return PRESETS[name]
