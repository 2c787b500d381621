import re

import pytest
import torch
from ase.build import molecule

from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.refine.baseline import Baseline
from mlffbench.refine.refiner import Refined
from mlffbench.run.evaluate.predict import Prediction, predict_batch


def water(n: int) -> Structures:
    atoms = molecule("H2O")
    positions = torch.tensor(atoms.positions)
    return Structures.build(
        [positions + i for i in range(n)],
        [torch.tensor(atoms.numbers)] * n,
        ids=[f"water/{i}" for i in range(n)],
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
