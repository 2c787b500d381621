"""Closed-form force fields to move in, and systems of them."""

import torch

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.dynamics.engine import Course
from mlffbench.dynamics.evaluation import Evaluation
from mlffbench.dynamics.masses import natural_masses
from mlffbench.dynamics.state import Systems

ELEMENTS = frozenset({1, 2, 6, 8, 10})


class Wells:
    """Every atom in a harmonic well around the origin: E = Σ ½ k x²."""

    name, elements = "wells", ELEMENTS

    def __init__(self, stiffness: float = 1.0) -> None:
        self.stiffness = stiffness

    def predict(self, structures: Structures) -> Labels:
        atoms = 0.5 * self.stiffness * structures.positions.square().sum(1)
        energy = atoms.new_zeros(structures.n_systems)
        energy.index_add_(0, structures.system, atoms)
        forces = -self.stiffness * structures.positions
        return Labels(energy=energy, forces=forces, source="wells")


class CoupledWells:
    """Pairs of atoms in wells, coupled: E = Σ ½ k (x₁² + x₂²) + ½ c (x₁ − x₂)²."""

    name, elements = "coupled", ELEMENTS

    def __init__(self, stiffness: float, coupling: float) -> None:
        self.stiffness, self.coupling = stiffness, coupling

    def predict(self, structures: Structures) -> Labels:
        first, second = structures.positions.view(-1, 2, 3).unbind(1)
        gap = first - second
        energy = 0.5 * self.stiffness * (first**2 + second**2).sum(1)
        energy = energy + 0.5 * self.coupling * (gap**2).sum(1)
        push = self.coupling * gap
        forces = torch.stack(
            [-self.stiffness * first - push, -self.stiffness * second + push], dim=1
        )
        return Labels(energy=energy, forces=forces.view(-1, 3), source="coupled")


class Springs:
    """Neighbouring atoms of a chain on Morse bonds of 1 Å; the last bond may snap.

    E = Σ D (1 − exp(−a (r − 1)))², D = 4 eV, a = 2 / Å.
    """

    name, elements = "springs", ELEMENTS
    depth, width = 4.0, 2.0

    def predict(self, structures: Structures) -> Labels:
        x = structures.positions
        same = structures.system[1:] == structures.system[:-1]
        left = torch.nonzero(same).flatten()
        vector = x[left + 1] - x[left]
        length = vector.norm(dim=1)
        decay = torch.exp(-self.width * (length - 1))
        energy = x.new_zeros(structures.n_systems)
        energy.index_add_(0, structures.system[left], self.depth * (1 - decay) ** 2)
        slope = 2 * self.depth * self.width * decay * (1 - decay)
        pull = slope[:, None] * vector / length[:, None]
        forces = torch.zeros_like(x)
        forces.index_add_(0, left, pull)
        forces.index_add_(0, left + 1, -pull)
        return Labels(energy=energy, forces=forces, source="springs")


def chains(*sizes: int, ids: list[str] | None = None) -> Structures:
    """Return zig-zag chains of carbon, bonds of 1 Å."""
    positions = []
    for size in sizes:
        steps = torch.arange(size, dtype=torch.float64)
        bend = 0.5 * (steps % 2)
        positions.append(
            torch.stack([steps * 0.75**0.5, bend, torch.zeros(size)], 1).double()
        )
    return Structures.build(
        positions,
        [torch.full((size,), 6) for size in sizes],
        ids=ids or [f"chain-{number}" for number in range(len(sizes))],
    )


def systems_of(
    structures: Structures,
    *,
    time_step: float = 0.5,
    temperature: float = 300.0,
    friction: float = 0.01,
    n_steps: int = 100,
    names: tuple[str, ...] | None = None,
) -> Systems:
    n = structures.n_systems

    def same(value: float) -> torch.Tensor:
        return torch.full((n,), value, dtype=torch.float64)

    return Systems(
        structures=structures,
        names=names or structures.ids,
        masses=natural_masses(structures),
        time_step=same(time_step),
        temperature=same(temperature),
        friction=same(friction),
        n_steps=torch.full((n,), n_steps),
    )


def asked(model: object, batch_atoms: int = 20000) -> Evaluation:
    return Evaluation(
        model=model,  # type: ignore[arg-type]
        device=torch.device("cpu"),
        dtype=torch.float64,
        batch_atoms=batch_atoms,
    )


def course(*, thermostat: bool, record_every: int = 10, seed: int = 0, **more) -> Course:
    return Course(
        thermostat=thermostat,
        record_every=record_every,
        checkpoint_every=more.pop("checkpoint_every", 10**9),
        seed=seed,
        sane_kelvin=more.pop("sane_kelvin", (0.0, 1e5)),
    )


class Never:
    """A criterion that nothing violates."""

    def select(self, members, device):
        return self

    def faults(self, positions, heat, before):
        return {}
