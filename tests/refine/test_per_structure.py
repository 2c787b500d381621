import torch

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.refine.per_structure import Routed


class Constant:
    """Predicts one number everywhere, and fails where it is told to."""

    name, elements = "constant", frozenset({1})

    def __init__(self, value: float, failing: str = "") -> None:
        self.value, self.failing, self.calls = value, failing, 0

    def predict(self, structures: Structures) -> Labels:
        self.calls += 1
        failures = {
            i: "told to" for i, n in enumerate(structures.ids) if n == self.failing
        }
        return Labels(
            energy=torch.full((structures.n_systems,), self.value),
            forces=torch.full_like(structures.positions, self.value),
            source="constant",
            failures=failures,
        )


def chain(n: int) -> Structures:
    return Structures.build(
        [torch.zeros(i + 1, 3) for i in range(n)],
        [torch.ones(i + 1, dtype=torch.int64) for i in range(n)],
        ids=[str(i) for i in range(n)],
    )


def test_every_structure_goes_to_its_own_model_in_one_call_each() -> None:
    base, one, two = Constant(0), Constant(1), Constant(2, failing="3")
    routed = Routed(base, {"0": two, "1": one, "3": two})
    structures = chain(5)
    labels = routed.predict(structures)
    assert labels.energy.tolist() == [2, 1, 0, 2, 0]
    assert torch.equal(labels.forces[:, 0], labels.energy[structures.system])
    assert labels.failures == {3: "told to"}
    assert (base.calls, one.calls, two.calls) == (1, 1, 1)


def test_a_single_model_sees_the_batch_as_it_is() -> None:
    base = Constant(1)
    assert Routed(base, {}).predict(chain(3)).energy.tolist() == [1, 1, 1]
    assert base.calls == 1
