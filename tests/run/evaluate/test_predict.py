import errno
import re
from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch
from ase.build import molecule

from mlffbench.core.errors import DataError, ModelError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.refine.baseline import Baseline
from mlffbench.refine.refiner import Refined
from mlffbench.run.evaluate.memory_limit import MemoryLimits
from mlffbench.run.evaluate.predict import Prediction, predict_batch


def water(n: int) -> Structures:
    atoms = molecule("H2O")
    positions = torch.tensor(atoms.positions)
    return Structures.build(
        [positions + i for i in range(n)],
        [torch.tensor(atoms.numbers)] * n,
        ids=[f"water/{i}" for i in range(n)],
    )


def chain(n: int) -> Structures:
    """Return one structure of so many atoms."""
    return Structures.build(
        [torch.zeros(n, 3).double()], [torch.ones(n).long()], ids=["chain/0"]
    )


def predict(model: ForceField, refiner: Baseline, structures: Structures) -> Prediction:
    return predict_batch(model, refiner, structures, device="cpu", dtype=torch.float32)


class Picky:
    """Raises when a structure starts at a forbidden place, else counts atoms."""

    name = "picky"
    elements = frozenset({1, 8})

    def __init__(self, forbidden: int | None = None, nan: int | None = None) -> None:
        self.forbidden, self.nan = forbidden, nan
        self.calls = 0

    def predict(self, structures: Structures) -> Labels:
        self.calls += 1
        places = [int(name.split("/")[1]) for name in structures.ids]
        if self.forbidden in places:
            raise RuntimeError(f"cannot do {self.forbidden}\nsecond line")
        energy = structures.sizes.double()
        forces = torch.ones_like(structures.positions)
        if self.nan in places:
            forces[structures.system == places.index(self.nan)] = torch.nan
        return Labels(energy=energy, forces=forces, source="picky")


def test_a_structure_that_raises_fails_alone() -> None:
    result = predict(Picky(forbidden=3), Baseline(), water(8))
    assert list(result.failures) == [3]
    told = r"RuntimeError: cannot do 3 \(test_predict\.py, line \d+\)"
    assert re.fullmatch(told, result.failures[3])
    assert torch.isnan(result.energy).tolist() == [i == 3 for i in range(8)]
    assert torch.isnan(result.forces).any(dim=1).sum() == 3


def test_a_non_finite_force_is_a_failure_not_a_number() -> None:
    result = predict(Picky(nan=2), Baseline(), water(4))
    assert dict(result.failures) == {2: "the prediction is not finite"}
    assert bool(torch.isnan(result.energy[2]))
    assert torch.isfinite(result.energy[[0, 1, 3]]).all()


def test_a_healthy_batch_is_one_call() -> None:
    model = Picky()
    assert predict(model, Baseline(), water(8)).failures == {}
    assert model.calls == 1


class Misshapen(Picky):
    def predict(self, structures: Structures) -> Labels:
        labels = super().predict(structures)
        return Labels(energy=labels.energy[:1], forces=labels.forces, source="bad")


def test_wrong_shapes_stop_the_job_with_one_sentence() -> None:
    with pytest.raises(ModelError, match=r"energies of shape \(1,\).*expected \(4,\)"):
        predict(Misshapen(), Baseline(), water(4))


class Clumsy(Baseline):
    name = "clumsy"

    def refine(self, model: ForceField, structures: Structures) -> Refined:
        raise ValueError("slipped")


def test_a_refinement_that_raises_fails_its_batch_with_the_reason() -> None:
    result = predict(Picky(), Clumsy(), water(2))
    assert list(result.failures) == [0, 1]
    told = r"clumsy failed: ValueError: slipped \(test_predict\.py, line \d+\)"
    assert all(re.fullmatch(told, reason) for reason in result.failures.values())
    assert torch.isnan(result.energy).all()


class Cast(Picky):
    """Hands its labels over in another kind of tensor."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def predict(self, structures: Structures) -> Labels:
        labels = super().predict(structures)
        forces: torch.Tensor = {
            "bfloat16": labels.forces.bfloat16,
            "half": labels.forces.half,
            "sparse": labels.forces.to_sparse,
            "meta": lambda: labels.forces.to("meta"),
            "complex": lambda: labels.forces.to(torch.complex64),
            "whole": labels.forces.long,
        }[self.kind]()
        energy = labels.energy.bfloat16() if self.kind == "bfloat16" else labels.energy
        return Labels(energy=energy, forces=forces, source="cast")


@pytest.mark.parametrize("kind", ["bfloat16", "half"])
def test_short_floats_are_read(kind: str) -> None:
    result = predict(Cast(kind), Baseline(), water(2))
    assert result.failures == {}
    assert result.forces.dtype == torch.float32
    assert result.energy.tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("sparse", "a sparse tensor"),
        ("meta", "a tensor on the device 'meta', which holds no numbers"),
        ("complex", "complex numbers"),
        ("whole", "whole numbers"),
    ],
)
def test_what_holds_no_real_numbers_is_one_sentence(kind: str, said: str) -> None:
    with pytest.raises(ModelError, match=f"returned {said}.* as forces, expected a dens"):
        predict(Cast(kind), Baseline(), water(2))


def odd() -> Structures:
    """Return a sound structure among some that no model can be asked about."""
    shapes = torch.tensor(molecule("H2O").positions)
    places = [shapes, shapes * torch.inf, shapes * 1e300, shapes, shapes, shapes]
    cell = torch.zeros((6, 3, 3), dtype=torch.float64)
    cell[3] = torch.diag(torch.tensor([6.0, 6.0, 1e-7]))
    cell[4] = torch.tensor([[6.0, 0, 0], [5.999999, 1e-6, 0], [0, 0, 6.0]])
    cell[5] = torch.diag(torch.tensor([6.0, 6.0, 6.0]))
    return Structures.build(
        places,
        [torch.tensor([8, 1, 1])] * 6,
        ids=[f"odd/{i}" for i in range(6)],
        cell=cell,
        pbc=cell.any(2),
    )


@pytest.mark.parametrize("keep", [range(6), range(1, 5), [4, 0]])
def test_one_bad_structure_is_one_failure(keep: Iterable[int]) -> None:
    structures = odd().select(list(keep))
    result = predict(Picky(), Baseline(), structures)
    bad = [i for i, name in enumerate(structures.ids) if name not in {"odd/0", "odd/5"}]
    assert sorted(result.failures) == bad
    assert torch.isnan(result.energy).nonzero().flatten().tolist() == bad
    reasons = {structures.ids[i]: why for i, why in result.failures.items()}
    told = {"odd/1": "not finite", "odd/2": "spans", "odd/3": "1e-07 Å thin"}
    told["odd/4"] = "not finite and independent"
    for name, why in reasons.items():
        assert told[name] in why


class Doubting(Picky):
    """Finds its own fault with a structure."""

    def predict(self, structures: Structures) -> Labels:
        if "water/1" in structures.ids:
            raise DataError("water/1 is none of mine")
        return super().predict(structures)


def test_what_a_model_says_of_a_structure_costs_no_other() -> None:
    result = predict(Doubting(), Baseline(), water(4))
    assert dict(result.failures) == {1: "water/1 is none of mine"}


class Stiff(Picky):
    """Every pair of atoms on a stiff spring, in the dtype of the positions."""

    def predict(self, structures: Structures) -> Labels:
        apart = structures.positions[:, None] - structures.positions[None]
        lengths = apart.norm(dim=2, keepdim=True).clamp(min=1e-3)
        forces = -(50 * (lengths - 1) * apart / lengths).sum(1)
        energy = (25 * (lengths - 1) ** 2).sum().reshape(1)
        return Labels(energy=energy, forces=forces, source="stiff")


def test_far_out_the_forces_are_the_same() -> None:
    near = water(1)
    far = replace(near, positions=near.positions + 1e6)
    found = [predict(Stiff(), Baseline(), one) for one in (near, far)]
    assert torch.allclose(found[0].forces, found[1].forces, atol=1e-4)
    assert torch.allclose(found[0].energy, found[1].energy, atol=1e-4)
    as_is = replace(far, positions=far.positions.float(), cell=far.cell.float())
    lost = Stiff().predict(as_is).forces - found[0].forces
    assert lost.abs().max() > 0.4


class Starved(Picky):
    def predict(self, structures: Structures) -> Labels:
        raise OSError(errno.EMFILE, "Too many open files")


def test_what_the_machine_lacks_is_no_failure_of_a_structure() -> None:
    with pytest.raises(ModelError, match=r"too many files are open.* to continue"):
        predict(Starved(), Baseline(), water(2))


class Small:
    """A model whose memory holds so many atoms; it keeps the sizes that it was given."""

    elements = frozenset({1, 8})

    def __init__(self, name: str, most: int, error: Exception) -> None:
        self.name, self.most, self.error = name, most, error
        self.asked: list[int] = []

    def predict(self, structures: Structures) -> Labels:
        self.asked.append(structures.n_atoms)
        if structures.n_atoms > self.most:
            raise self.error
        energy = structures.sizes.double()
        return Labels(energy=energy, forces=structures.positions, source=self.name)


@pytest.mark.parametrize(
    ("error", "asked_again"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), [12, 12]),
        (RuntimeError("Failed to allocate 99 bytes on device 'cuda:0'"), [12, 12]),
        (RuntimeError("a bond is odd"), [24, 12, 12]),
    ],
)
def test_a_batch_that_did_not_fit_is_not_tried_again(
    error: Exception, asked_again: list[int]
) -> None:
    model = Small(f"small {error}", 15, error)
    first = predict(model, Baseline(), water(8))
    assert model.asked == [24, 12, 12]
    model.asked.clear()
    second = predict(model, Baseline(), water(8))
    assert model.asked == asked_again
    assert not first.failures
    assert torch.equal(first.energy, second.energy)
    assert torch.equal(first.forces, second.forces)


def test_one_structure_that_did_not_fit_halves_no_batch_of_small_ones() -> None:
    limits, error = MemoryLimits(), MemoryError()
    limits.note("net", chain(30), error)
    assert limits.exceeded_by("net", chain(31))
    assert not limits.exceeded_by("net", water(20))
    limits.note("net", water(12), error)
    assert limits.exceeded_by("net", water(12))
    assert not limits.exceeded_by("net", water(11))
    assert not limits.exceeded_by("other", water(12))
    assert not limits.exceeded_by("net", water(12).to(dtype=torch.float32))
    limits.forget()
    assert not limits.exceeded_by("net", water(12))
