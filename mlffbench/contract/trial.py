"""Trial: a model, the structures it is tried on, and what counts as equal."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor

from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures

Status = Literal["kept", "broken", "not applicable"]


class Tolerance(NamedTuple):
    """How far two numbers that should be equal may be apart.

    Attributes:
        energy: In eV, beside `roundings` of the energy itself.
        forces: In eV/Å.
        forces_relative: Share of the largest force component, beside `forces`.
        roundings: Of an energy, in units of its last digit.
        resolution: Relative size of that last digit.
        step: Finite-difference step, in Å.
        slope: Of a finite difference against forces, in eV/Å, beside its roundings.
        slope_relative: Share of the largest force component, beside `slope`.
    """

    energy: float
    forces: float
    forces_relative: float
    roundings: float
    resolution: float
    step: float
    slope: float
    slope_relative: float


FLOAT64 = Tolerance(
    energy=1e-5,
    forces=1e-4,
    forces_relative=1e-5,
    roundings=64,
    resolution=2.0**-52,
    step=0.005,
    slope=1e-3,
    slope_relative=3e-4,
)
"""For models that compute in float64; self-consistent-field codes must pass too."""
FLOAT32 = Tolerance(
    energy=1e-4,
    forces=2e-3,
    forces_relative=2e-4,
    roundings=16,
    resolution=2.0**-23,
    step=0.05,
    slope=2e-2,
    slope_relative=1e-2,
)
"""For models that compute in float32, whose energies are coarse: a wide step."""
BELOW_FLOAT32 = 1e-9
"""Length of a move, in Å, that positions in float32 cannot show."""
N_DIRECTIONS = 4
"""Random directions in which a structure is moved."""
SEED = 2026
"""Of every random direction, rotation and order."""


class Finding(NamedTuple):
    """What came of testing one promise, and the numbers behind it."""

    status: Status
    detail: str


def judge(kept: bool, detail: str) -> Finding:
    """Return a finding: kept or broken."""
    return Finding("kept" if kept else "broken", detail)


@dataclass(frozen=True, eq=False)
class Trial:
    """A model and the structures it is tried on.

    Attributes:
        model: The model; every call hands it fresh copies of the structures.
        systems: Small structures, in float64 if the model takes it.
        remark: What was found before the first promise, in words; may be empty.
        n_asked: Structures of declared elements that it was asked for at first.
        declined: Those among them that it named as failures -> its reasons.
    """

    model: ForceField
    systems: Structures
    remark: str = ""
    n_asked: int = 0
    declined: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def begin(cls, model: ForceField, systems: Structures) -> Self:
        """Return a trial in float64, or in float32 for a model that refuses float64.

        Structures that the model itself names as failures are left out.
        """
        # Coordinates that float32 can hold, for `in_float64`.
        single = systems.to(dtype=torch.float32)
        remark = ""
        for candidate in (single.to(dtype=torch.float64), single):
            try:
                told = dict(model.predict(copied(candidate)).failures)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it may raise anything
                remark = f"; refuses float64 structures ({in_words(error)})"
                continue
            # An index out of range is for the promise `shapes` to report.
            everything = range(candidate.n_systems)
            failures = {i: told[i] for i in everything if i in told}
            good = [i for i in everything if i not in failures]
            if failures and good:
                named = [f"{candidate.ids[i]} ({why})" for i, why in failures.items()]
                remark += f"; left out, as the model asks: {', '.join(named)}"
            asked = of_declared_elements(model, candidate)
            return cls(
                model,
                candidate.select(good) if good else candidate,
                remark,
                n_asked=len(asked),
                declined={candidate.ids[i]: failures[i] for i in asked if i in failures},
            )
        # It refuses both, which is for the promise `shapes` to report.
        return cls(model, single.to(dtype=torch.float64))

    def call(self, structures: Structures) -> Labels:
        """Return what the model says of a copy of structures.

        Raises:
            ModelError: It is not `Labels`, or not of the shapes of the structures.
        """
        return checked(self.model.predict(copied(structures)), structures)

    def of(self, model: ForceField) -> Labels:
        """Return what another model says of a copy of the systems."""
        return checked(model.predict(copied(self.systems)), self.systems)

    @cached_property
    def labels(self) -> Labels:
        """What the model says of the systems, untouched."""
        return self.call(self.systems)

    @cached_property
    def in_float64(self) -> bool:
        """Whether a move far below the resolution of float32 changes anything.

        The labels' dtype does not tell: a calculator may compute in float32 and return
        float64.
        """
        if self.systems.positions.dtype != torch.float64:
            return False
        move = BELOW_FLOAT32 * directions(self.systems)[0]
        return not identical(self.call(moved(self.systems, move)), self.labels)

    @cached_property
    def tolerance(self) -> Tolerance:
        """The tolerances of the precision the model computes in."""
        return FLOAT64 if self.in_float64 else FLOAT32

    def compare(self, found: Labels, expected: Labels) -> Finding:
        """Return whether labels are equal within the tolerance."""
        allowed, size = self.tolerance, wide(expected.energy).abs().max()
        energy = (wide(found.energy) - wide(expected.energy)).abs().max()
        forces = (wide(found.forces) - wide(expected.forces)).abs().max()
        most_energy = allowed.energy + allowed.roundings * allowed.resolution * size
        largest = wide(expected.forces).abs().max()
        most_forces = allowed.forces + allowed.forces_relative * largest
        detail = (
            f"energies differ by {energy:.1e} eV (allowed {most_energy:.1e}), "
            f"forces by {forces:.1e} eV/Å (allowed {most_forces:.1e})"
        )
        return judge(bool(energy <= most_energy and forces <= most_forces), detail)

    def repeat(self, found: Labels, expected: Labels) -> Finding:
        """Return whether labels are the same bits; off the CPU, within the tolerance."""
        if identical(found, expected):
            return Finding("kept", "bit for bit")
        finding = self.compare(found, expected)
        if self.systems.positions.device.type != "cpu":
            return finding
        return Finding("broken", f"not bit for bit: {finding.detail}")


def of_declared_elements(model: ForceField, structures: Structures) -> list[int]:
    """Return which structures are made of nothing but elements that a model declares."""
    declared: object = getattr(model, "elements", None)
    if not isinstance(declared, frozenset):  # for the promise `declared` to report
        return []
    pairs = zip(structures.system.tolist(), structures.numbers.tolist(), strict=True)
    foreign = {system for system, number in pairs if number not in declared}
    return [i for i in range(structures.n_systems) if i not in foreign]


def in_words(error: BaseException) -> str:
    """Return an exception as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def checked(labels: object, structures: Structures) -> Labels:
    """Return labels that are `Labels` of the shapes of the structures.

    Indices in ``failures`` are part of the shape.

    Raises:
        ModelError: They are not.
    """
    if not isinstance(labels, Labels):
        msg = f"the model returned a {type(labels).__name__}, expected Labels"
        raise ModelError(msg)
    found = tuple(labels.energy.shape), tuple(labels.forces.shape)
    expected = (structures.n_systems,), (structures.n_atoms, 3)
    if found != expected:
        msg = (
            f"the model returned energies of shape {found[0]} and forces of shape "
            f"{found[1]}, expected {expected[0]} and {expected[1]}"
        )
        raise ModelError(msg)
    wrong = [i for i in labels.failures if i not in range(structures.n_systems)]
    if wrong:
        msg = f"Labels.failures names the structure {wrong[0]!r}, expected 0 to "
        raise ModelError(msg + f"{structures.n_systems - 1}")
    return labels


def tensors(structures: Structures) -> dict[str, Tensor]:
    """Return the tensor fields by name."""
    values = {field.name: getattr(structures, field.name) for field in fields(structures)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def copied(structures: Structures) -> Structures:
    """Return a copy that shares no memory."""
    copies = {name: tensor.clone() for name, tensor in tensors(structures).items()}
    return replace(structures, **copies)  # type: ignore[arg-type]  # tensors only


def moved(structures: Structures, by: Tensor, mark: str = "") -> Structures:
    """Return structures displaced by (n_atoms, 3) in Å, their ids marked."""
    ids = tuple(name + mark for name in structures.ids)
    return replace(structures, positions=structures.positions + by, ids=ids)


def directions(structures: Structures) -> Tensor:
    """Return random directions of all atoms, a unit vector per structure.

    Returns:
        Shape (N_DIRECTIONS, n_atoms, 3), dimensionless.
    """
    shape = (N_DIRECTIONS, structures.n_atoms, 3)
    raw = torch.randn(shape, generator=generator(), dtype=torch.float64)
    squares = torch.zeros((N_DIRECTIONS, structures.n_systems), dtype=torch.float64)
    system = structures.system.cpu()
    squares.index_add_(1, system, raw.square().sum(-1))
    return (raw / squares.sqrt()[:, system, None]).to(structures.positions)


def generator() -> torch.Generator:
    """Return the source of every random choice, from its start."""
    return torch.Generator().manual_seed(SEED)


def wide(tensor: Tensor) -> Tensor:
    """Return a detached copy in float64 on the CPU."""
    return tensor.detach().to("cpu", torch.float64)


def identical(one: Labels, other: Labels) -> bool:
    """Return whether two labels are the same bits."""
    return torch.equal(one.energy, other.energy) and torch.equal(one.forces, other.forces)
