"""ASE's own dynamics over any force field: one system after another, the oracle."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms, units
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from mlffbench.core.structures import Structures
from mlffbench.dynamics.engine import Engine, prepare
from mlffbench.dynamics.evaluation import Evaluation, broken
from mlffbench.dynamics.motion import temperatures
from mlffbench.dynamics.noise import generator_of
from mlffbench.dynamics.recording import Arrays, Recorder
from mlffbench.dynamics.stability import Watch
from mlffbench.dynamics.state import FINISHED, State, Systems, atoms_of


class ForceFieldCalculator(Calculator):
    """A force field as an ASE calculator, for one structure.

    Args:
        evaluate: The force field, and how it is asked.
        structure: A batch of one; its id, charge and bonds are told to the model.
    """

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012 - ASE's

    def __init__(self, evaluate: Evaluation, structure: Structures) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # ASE ships no types
        self._evaluate, self._structure = evaluate, structure

    def calculate(
        self,
        atoms: Any = None,
        properties: Any = None,
        system_changes: Any = all_changes,
    ) -> None:
        """Compute energy and forces.

        Raises:
            CalculationFailed: The force field has none; the message says why.
        """
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        shown = moved(self._structure, torch.tensor(atoms.positions))
        labels = self._evaluate(shown)
        for reason in broken(labels, shown).values():
            raise CalculationFailed(reason)
        energy = float(labels.energy)
        forces = labels.forces.cpu().numpy()
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}


def moved(structure: Structures, positions: torch.Tensor) -> Structures:
    """Return a batch with other positions."""
    return Structures(
        positions=positions.to(structure.positions),
        **{
            name: getattr(structure, name)
            for name in (
                *("numbers", "system", "cell", "pbc", "charge", "multiplicity"),
                *("ids", "group", "smiles"),
            )
        },
    )


def to_atoms(structure: Structures, evaluate: Evaluation) -> Any:
    """Return a batch of one as ASE atoms with the force field as their calculator."""
    atoms: Any = Atoms(
        numbers=structure.numbers.numpy(),
        positions=structure.positions.numpy(),
        cell=structure.cell[0].numpy(),
        pbc=structure.pbc[0].numpy(),
    )
    atoms.calc = ForceFieldCalculator(evaluate, structure)
    return atoms


class _Lone(NamedTuple):
    """One system as ASE sees it, its degrees of freedom and the watch over it."""

    place: int
    atoms: Any
    degrees: float
    watch: Watch


class AseEngine(Engine):
    """Moves one system after another with ASE's integrators.

    The same starts, velocities, frames and criteria as `BatchedEngine`; the noise is
    another, and sanity is looked at with every frame instead of every step. A killed run
    goes on with the first system that had not ended.
    """

    def parts(self, done: Sequence[Arrays] = ()) -> Iterator[Arrays]:
        """Yield a piece of the run for the starts, then one per system."""
        recorder = Recorder()
        start = prepare(self.systems, self.course, self.evaluate)
        state = State.from_arrays(done[-1]) if done else start.state
        if not done:
            yield {**recorder.take(), **state.arrays()}
        for index in state.running():
            self._run(index, state, float(start.degrees[index]), recorder)
            yield {**recorder.take(), **state.arrays()}

    def _run(self, index: int, state: State, degrees: float, recorder: Recorder) -> None:
        """Move one system to its end, or until it fails."""
        systems = self.systems.select([index])
        chosen = atoms_of(self.systems.structures, [index])
        atoms = to_atoms(systems.structures, self.evaluate)
        atoms.set_masses(systems.masses.numpy())
        atoms.set_velocities(state.velocities[chosen].numpy() / units.fs)
        watch = self.criterion.select([index], torch.device("cpu"))
        lone = _Lone(index, atoms, degrees, watch)
        motion = self._motion(atoms, systems)
        every, last = self.course.record_every, int(systems.n_steps[0])
        for step in range(0, last + 1, every):
            fault = _advance(motion, every if step else 0)
            fault = fault or self._record(lone, step, state, recorder)
            if fault:
                state.stop(index, step, fault)
                break
        else:
            state.status[index] = FINISHED
        state.positions[chosen] = torch.tensor(atoms.positions)
        state.velocities[chosen] = torch.tensor(atoms.get_velocities() * units.fs)

    def _record(self, lone: "_Lone", step: int, state: State, recorder: Recorder) -> str:
        """Record a frame that is in order; return what is wrong with it otherwise."""
        index, atoms = lone.place, lone.atoms
        kinetic = torch.tensor([atoms.get_kinetic_energy()], dtype=torch.float64)
        heat = temperatures(kinetic, torch.tensor([lone.degrees], dtype=torch.float64))
        low, high = self.course.sane_kelvin
        if not low < float(heat) < high:
            return f"temperature {float(heat):.3g} K, outside {low:g} to {high:g} K"
        positions = torch.tensor(atoms.positions)
        faults = lone.watch.faults(positions, heat, state.heat[[index]])
        if faults:
            return faults[0]
        energy = torch.tensor([atoms.get_potential_energy()], dtype=torch.float64)
        recorder.add(
            step=step,
            systems=[index],
            energy=energy,
            kinetic=kinetic,
            positions=positions,
        )
        state.sane_step[index] = step
        state.heat[index] = heat[0]
        return ""

    def _motion(self, atoms: Any, systems: Systems) -> Any:
        from ase.md.langevin import Langevin  # half a second of every command otherwise
        from ase.md.verlet import VelocityVerlet

        step = float(systems.time_step[0]) * units.fs
        if not self.course.thermostat:
            return VelocityVerlet(atoms, step)
        seed = generator_of(self.course.seed, systems.names[0], "ase").initial_seed()
        return Langevin(
            atoms,
            step,
            temperature_K=float(systems.temperature[0]),
            friction=float(systems.friction[0]) / units.fs,
            fixcm=False,
            rng=np.random.default_rng(seed),
        )


def _advance(motion: Any, n_steps: int) -> str:
    """Do some steps; return why that failed, or nothing."""
    try:
        motion.run(n_steps)
    except CalculationFailed as error:
        return str(error)
    return ""
