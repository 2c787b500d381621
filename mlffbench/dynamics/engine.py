"""Engine: all systems of a run advance together, one model call per step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from mlffbench.core.labels import Labels
from mlffbench.dynamics.evaluation import Evaluation, broken
from mlffbench.dynamics.integrators import Integrator, Langevin, VelocityVerlet
from mlffbench.dynamics.motion import (
    kinetic_energies,
    temperatures,
    thermal_speeds,
    without_drift,
)
from mlffbench.dynamics.noise import draw_start
from mlffbench.dynamics.recording import Arrays, Recorder
from mlffbench.dynamics.stability import Criterion
from mlffbench.dynamics.state import FINISHED, RUNNING, State, Systems, atoms_of
from mlffbench.models.physics.sanity import collapsed

SANE_KELVIN = (0.1, 100_000.0)
"""Temperatures outside of which a system is stopped at once, as MDsim does."""
DEVICE = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a run goes, beside what its systems say.

    Attributes:
        thermostat: Whether Langevin's bath is there.
        record_every: Steps between two frames.
        checkpoint_every: Steps between two points a killed run goes on from.
        seed: Of velocities and noise, together with the systems' names.
        sane_kelvin: Temperatures outside of which a system is stopped at once.
    """

    thermostat: bool
    record_every: int
    checkpoint_every: int
    seed: int
    sane_kelvin: tuple[float, float] = SANE_KELVIN


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Start:
    """Positions, velocities and forces before the first step.

    Attributes:
        state: The state; systems that cannot start are stopped.
        degrees: Shape (n_systems,), degrees of freedom of each.
    """

    state: State
    degrees: Tensor


def prepare(systems: Systems, course: Course, evaluate: Evaluation) -> Start:
    """Return where a run starts: thermal velocities, forces, and who cannot start.

    Without a thermostat the molecules start without momentum and spin.
    """
    velocities, degrees = initial_velocities(systems, course)
    n_systems = systems.n_systems
    reasons = collapsed(systems.structures)
    state = State(
        step=0,
        positions=systems.structures.positions.clone(),
        velocities=velocities,
        forces=torch.zeros_like(velocities),
        energy=torch.full((n_systems,), torch.nan, dtype=torch.float64),
        status=torch.full((n_systems,), RUNNING),
        sane_step=torch.zeros(n_systems, dtype=torch.int64),
        stop_step=torch.full((n_systems,), -1),
        heat=torch.full((n_systems,), torch.inf, dtype=torch.float64),
    )
    usable = [index for index in range(n_systems) if index not in reasons]
    if usable:
        chosen = systems.structures.select(usable)
        labels = evaluate(chosen)
        reasons |= {usable[i]: why for i, why in broken(labels, chosen).items()}
        state.forces[atoms_of(systems.structures, usable)] = labels.forces
        state.energy[usable] = labels.energy
    for index, reason in sorted(reasons.items()):
        state.stop(index, 0, reason)
    return Start(state=state, degrees=degrees)


def initial_velocities(systems: Systems, course: Course) -> tuple[Tensor, Tensor]:
    """Return Maxwell-Boltzmann velocities in Å/fs, and the degrees of freedom."""
    structures = systems.structures
    drawn = draw_start(course.seed, systems.names, structures.sizes.tolist())
    heat = systems.temperature[structures.system]
    velocities = drawn * thermal_speeds(systems.masses, heat)[:, None]
    if course.thermostat:
        return velocities, 3.0 * structures.sizes.double()
    return without_drift(velocities, systems.masses, structures)


class Engine:
    """What every engine is given.

    Args:
        evaluate: The force field, and how it is asked.
        systems: What moves.
        criterion: What counts as failure.
        course: How the run goes.
    """

    def __init__(
        self,
        evaluate: Evaluation,
        systems: Systems,
        criterion: Criterion,
        course: Course,
    ) -> None:
        self.evaluate, self.systems = evaluate, systems
        self.criterion, self.course = criterion, course


class BatchedEngine(Engine):
    """Moves many systems with one model call per step."""

    @cached_property
    def degrees(self) -> Tensor:
        """Shape (n_systems,), degrees of freedom of each."""
        return initial_velocities(self.systems, self.course)[1]

    def parts(self, done: Sequence[Arrays] = ()) -> Iterator[Arrays]:
        """Yield pieces of the run, each with its frames and the state at its end.

        Args:
            done: The pieces that an earlier call has yielded; the rest follows, the same
                as if it had not been interrupted.
        """
        recorder = Recorder()
        if done:
            state = State.from_arrays(done[-1])
        else:
            start = prepare(self.systems, self.course, self.evaluate)
            state = start.state
            live = _Live(self, state)
            if live.members:
                faults: dict[int, str] = {}
                live.record(state, recorder, faults)
                for place, reason in sorted(faults.items()):
                    state.stop(live.members[place], 0, reason)
            yield {**recorder.take(), **state.arrays()}
        every = self.course.checkpoint_every
        while state.running():
            self._advance(state, (state.step // every + 1) * every, recorder)
            yield {**recorder.take(), **state.arrays()}

    def _advance(self, state: State, target: int, recorder: Recorder) -> None:
        """Move all running systems to a step, or to their ends."""
        live = _Live(self, state)
        while live.members and state.step < target:
            labels = live.step(state.step)
            state.step += 1
            faults = live.faults(labels, self.course.sane_kelvin)
            if state.step % self.course.record_every == 0:
                live.record(state, recorder, faults)
            ended = live.ended(state.step)
            if faults or ended:
                live.put_back(state)
                for place, reason in sorted(faults.items()):
                    state.stop(live.members[place], state.step, reason)
                for place in ended - faults.keys():
                    state.status[live.members[place]] = FINISHED
                live = _Live(self, state)
        live.put_back(state)


class _Live:
    """The systems that still move, laid end to end on the device."""

    def __init__(self, engine: BatchedEngine, state: State) -> None:
        self.members = state.running()
        if not self.members:
            return
        device = (
            DEVICE if engine.evaluate.device.type == "cpu" else engine.evaluate.device
        )
        systems = engine.systems.select(self.members)
        self._atoms = atoms_of(engine.systems.structures, self.members)
        self._evaluate, self._device = engine.evaluate, device
        self._structures = systems.structures.to(device=device)
        self._masses = systems.masses.to(device)
        self._degrees = engine.degrees[self.members].to(device)
        self._last = systems.n_steps.tolist()
        self._first_end = min(self._last)
        self._integrator: Integrator = (
            Langevin(systems, engine.course.seed, device)
            if engine.course.thermostat
            else VelocityVerlet(systems, device)
        )
        self._watch = engine.criterion.select(self.members, device)
        self._positions = state.positions[self._atoms].to(device, copy=True)
        self._velocities = state.velocities[self._atoms].to(device, copy=True)
        self._forces = state.forces[self._atoms].to(device)
        self._energy = state.energy[self.members].to(device)
        self._kinetic = self._measure()

    def step(self, number: int) -> Labels:
        """Do a step and return the labels at the new positions."""
        move, velocities = self._integrator, self._velocities
        move.advance(self._positions, velocities, self._forces, number)
        # the model may keep what it is shown, so it gets a copy of its own
        shown = replace(self._structures, positions=self._positions.clone())
        labels = self._evaluate(shown)
        self._forces, self._energy = labels.forces, labels.energy
        move.conclude(velocities, self._forces)
        self._kinetic = self._measure()
        return labels

    def faults(self, labels: Labels, sane: tuple[float, float]) -> dict[int, str]:
        """Return the systems that cannot go on, and why."""
        reasons = dict(labels.failures)
        heat = temperatures(self._kinetic, self._degrees)
        fine = (heat > sane[0]) & (heat < sane[1]) & torch.isfinite(self._energy)
        if bool(fine.all()):
            return reasons
        for place in (~fine).nonzero().flatten().tolist():
            kelvin = float(heat[place])
            said = "energy or forces are not finite"
            if torch.isfinite(heat[place]) and torch.isfinite(self._energy[place]):
                said = f"temperature {kelvin:.3g} K, outside {sane[0]:g} to {sane[1]:g} K"
            reasons.setdefault(place, said)
        return reasons

    def record(self, state: State, recorder: Recorder, faults: dict[int, str]) -> None:
        """Store a frame of every system in order; name the others in ``faults``."""
        heat = temperatures(self._kinetic, self._degrees)
        before = state.heat[self.members].to(self._device)
        for place, reason in self._watch.faults(self._positions, heat, before).items():
            faults.setdefault(place, reason)
        kept = [place for place in range(len(self.members)) if place not in faults]
        members = [self.members[place] for place in kept]
        atoms = atoms_of(self._structures, kept).to(self._device)
        recorder.add(
            step=state.step,
            systems=members,
            energy=self._energy[kept].cpu(),
            kinetic=self._kinetic[kept].cpu(),
            positions=self._positions[atoms].cpu(),
        )
        state.sane_step[members] = state.step
        state.heat[members] = heat[kept].cpu()

    def ended(self, step: int) -> set[int]:
        """Return the systems whose last step this was."""
        if step < self._first_end:
            return set()
        return {place for place, last in enumerate(self._last) if step >= last}

    def put_back(self, state: State) -> None:
        """Write where the systems stand into the state of all."""
        if not self.members:
            return
        state.positions[self._atoms] = self._positions.cpu()
        state.velocities[self._atoms] = self._velocities.cpu()
        state.forces[self._atoms] = self._forces.cpu()
        state.energy[self.members] = self._energy.cpu()

    def _measure(self) -> Tensor:
        return kinetic_energies(
            self._masses, self._velocities, self._structures.system, len(self.members)
        )
