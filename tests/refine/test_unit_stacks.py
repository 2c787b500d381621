"""Units adapted together against the same units adapted one by one."""

import math
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.models import stack_sizes
from mlffbench.models.stack_sizes import stacks_of
from mlffbench.models.twoheaded.architecture import Architecture
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.refine.curved_descent import CurvedDescent, Followed, LabelledUnit
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.ttt import PriorTuning
from mlffbench.refine.unit_stacks import follow_stacks

pytest.importorskip("torch_geometric")

CLOSE = {"rel": 1e-10, "abs": 1e-12}
"""What rounding in float64 leaves after four looks."""
SHAPES = {
    "schnet": {"hidden": 12, "filters": 8, "gaussians": 8, "blocks": 2},
    "gemnet": {
        "atom": 8,
        "edge": 8,
        "triplet": 4,
        "projected": 4,
        "spherical": 3,
        "blocks": 2,
        "atom_layers": 1,
    },
}
DESCENT = CurvedDescent(steps=4, learning_rate=3e-3, anchor=1e-3)


def model(network: str, dtype: str = "float64") -> TwoHeaded:
    architecture = Architecture.model_validate(
        {
            "network": network,
            "elements": (1, 6, 8),
            "cutoff": 3.0,
            network: SHAPES[network],
        }
    )
    return TwoHeaded.build(
        architecture,
        atomic_energies={"prior": {}, "ref": {}},
        scale={"prior": 1.0, "ref": 1.0},
        seed=1,
        dtype=dtype,
    )


def unit(key: str, sizes: Sequence[int], stop: float = 0.0) -> LabelledUnit:
    """Return conformers of random molecules with random prior forces."""
    generator = torch.Generator().manual_seed(len(key) + 7 * sum(sizes))
    positions = [
        1.5 * torch.rand(n, 3, generator=generator, dtype=torch.float64)
        + torch.arange(n)[:, None]
        for n in sizes
    ]
    numbers = [torch.tensor([1, 6, 8])[torch.arange(n) % 3] for n in sizes]
    ids = [f"{key}/{i}" for i in range(len(sizes))]
    structures = Structures.build(positions, numbers, ids=ids, group=[key] * len(sizes))
    targets = torch.randn(sum(sizes), 3, generator=generator, dtype=torch.float64)
    return LabelledUnit(key, structures, targets, stop)


UNITS = [unit("large", [6, 5, 6]), unit("one", [4]), unit("two", [3, 5])]


def alone(base: TwoHeaded, one: LabelledUnit) -> Followed:
    twin = base.clone()
    return Followed(twin, list(DESCENT.run(twin, one)))


def assert_alike(base: TwoHeaded, units: Sequence[LabelledUnit]) -> dict[str, Followed]:
    """Check losses and forces of each unit against those of the unit alone."""
    found = follow_stacks(DESCENT, base, units)
    assert found.keys() == {one.key for one in units}
    for one in units:
        expected = alone(base, one)
        assert found[one.key].losses == pytest.approx(
            expected.losses, nan_ok=True, **CLOSE
        )
        mine, theirs = (
            twin.predict(one.structures)  # type: ignore[attr-defined]
            for twin in (found[one.key].twin, expected.twin)
        )
        torch.testing.assert_close(mine.forces, theirs.forces, atol=1e-10, rtol=1e-9)
        torch.testing.assert_close(mine.energy, theirs.energy, atol=1e-10, rtol=1e-9)
    return found


@pytest.mark.parametrize("network", ["schnet", "gemnet"])
def test_units_follow_the_prior_as_they_do_alone(network: str) -> None:
    """One is done early, one is lost at the first look, one takes all looks."""
    base = model(network)
    before = {name: value.clone() for name, value in base.state().items()}
    third = alone(base, UNITS[0]).losses[2]
    early = UNITS[0]._replace(stop=third + 1e-6)
    lost = UNITS[1]._replace(targets=torch.full_like(UNITS[1].targets, math.nan))
    found = assert_alike(base, [early, lost, UNITS[2]])
    assert len(found["large"].losses) < len(found["two"].losses) == DESCENT.steps
    assert [math.isnan(loss) for loss in found["one"].losses] == [True]
    assert all(min(found[key].losses) < found[key].losses[0] for key in ("large", "two"))
    for name, value in base.state().items():
        assert torch.equal(value, before[name]), name


def test_the_order_of_units_does_not_matter() -> None:
    base = model("schnet")
    found, other = (follow_stacks(DESCENT, base, units) for units in (UNITS, UNITS[::-1]))
    for key, one in found.items():
        assert one.losses == pytest.approx(other[key].losses, **CLOSE)


def test_atoms_are_told_from_edges_where_there_are_as_many() -> None:
    """Three lone atoms, and a triangle of three atoms with six edges."""
    lone = unit("lone", [1, 1, 1])
    three = unit("triangle", [3])
    triangle = three._replace(
        structures=Structures.build(
            [torch.eye(3, dtype=torch.float64)],
            [torch.tensor([1, 6, 8])],
            ids=["triangle/0"],
        )
    )
    assert_alike(model("schnet"), [triangle, lone])


def test_stacks_are_of_like_size_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stack_sizes.STACK_ATOMS, "cpu", 16)
    monkeypatch.setitem(stack_sizes.STACK_VALUES, "cpu", 60)
    # a unit takes as many seats as the largest beside it
    assert stacks_of([17, 4, 8], 1, "cpu") == [[1, 2], [0]]
    assert stacks_of([4, 4, 4], 30, "mps") == [[0, 1], [2]]
    assert stacks_of([4, 4], 1000, "cpu") == [[0], [1]]
    assert stacks_of([], 1, "cpu") == []
    # one without company is adapted as any other one is
    assert follow_stacks(DESCENT, model("schnet"), UNITS[:1]) == {}


def test_where_memory_runs_out_halves_are_adapted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = model("schnet")
    together, asked = CurvedDescent.run_together, []

    def scarce(
        self: CurvedDescent, base: TwoHeaded, units: Sequence[LabelledUnit]
    ) -> list[Followed] | None:
        asked.append(len(units))
        if len(units) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return together(self, base, units)

    monkeypatch.setattr(CurvedDescent, "run_together", scarce)
    found = follow_stacks(DESCENT, base, UNITS)
    assert asked == [3, 2]
    assert found.keys() == {"two", "large"}


def test_refined_models_predict_in_one_pass_as_they_do_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = model("schnet")
    followed = follow_stacks(replace(DESCENT, steps=2), base, UNITS)
    twins = {name: followed[one.key].twin for one in UNITS for name in one.structures.ids}
    structures = Structures.concatenate(
        [one.structures for one in [unit("left", [3]), *UNITS]]
    ).select([6, 2, 0, 1, 3, 5, 4])
    routed = Routed(base, twins)  # type: ignore[arg-type]
    found = routed.predict(structures)
    monkeypatch.setattr(base, "predict_clones", lambda *_: None)
    expected = routed.predict(structures)
    torch.testing.assert_close(found.forces, expected.forces, atol=1e-11, rtol=1e-9)
    torch.testing.assert_close(found.energy, expected.energy, atol=1e-11, rtol=1e-9)
    assert not torch.allclose(found.forces, base.predict(structures).forces)


def test_clones_are_bounded_in_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    base, parts = model("schnet"), [one.structures for one in UNITS]
    whole = base.predict_clones([base.clone() for _ in parts], parts)
    asked: list[int] = []
    stack = TwoHeaded.stack

    def counted(self: TwoHeaded, units: Sequence[Structures]) -> object:
        asked.append(len(units))
        return stack(self, units)

    monkeypatch.setattr(TwoHeaded, "stack", counted)
    monkeypatch.setitem(stack_sizes.STACK_ATOMS, "cpu", 16)
    found = base.predict_clones([base.clone() for _ in parts], parts)
    assert asked == [2, 1]
    assert whole is not None
    assert found is not None
    for mine, other in zip(found, whole, strict=True):
        torch.testing.assert_close(mine.forces, other.forces, atol=1e-11, rtol=1e-9)
    assert base.predict_clones([], []) == []


def test_refined_models_have_no_labels_for_an_empty_batch() -> None:
    base, one = model("schnet"), UNITS[1].structures
    labels = Routed(base, {"one/0": base.clone()}).predict(one.select([]))
    assert labels.energy.shape == (0,)
    assert labels.forces.shape == (0, 3)


def test_a_model_that_predicts_in_its_own_way_is_asked() -> None:
    class Doubled(TwoHeaded):
        def predict(self, structures: Structures) -> Labels:
            labels = super().predict(structures)
            return replace(labels, forces=2 * labels.forces)

    base = model("schnet")
    base.__class__ = Doubled
    assert base.predict_clones([base.clone()], [UNITS[1].structures]) is None


@pytest.mark.parametrize("way", ["adapt", "descend"])
def test_a_rule_with_a_way_down_of_its_own_is_not_passed_over(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def own(self: PriorTuning, *arguments: object, **more: object) -> object:
        asked.append(way)
        return getattr(PriorTuning, way)(self, *arguments, **more)

    rule = type("Own", (PriorTuning,), {way: own})
    prior = SimpleNamespace(
        of=lambda structures: Labels(
            energy=torch.zeros(structures.n_systems, dtype=torch.float64),
            forces=torch.zeros_like(structures.positions),
            source="nothing",
        )
    )
    structures = Structures.concatenate([one.structures for one in UNITS])
    for kind, times in ((rule, 3), (PriorTuning, 0)):
        asked.clear()
        tuning = kind(gate="off", steps=2)
        monkeypatch.setattr(tuning, "_labels", prior)
        refined = tuning.refine(model("schnet"), structures)
        assert len(asked) == times
        assert all(facts["adapted"] for facts in refined.facts)


def test_a_clone_at_another_cutoff_predicts_for_itself() -> None:
    base = model("schnet")
    parts = [one.structures for one in UNITS[:2]]
    clones = [base.clone(), base.clone().with_cutoff(2.0)]
    assert base.predict_clones(clones[:1] * 2, parts) is not None
    assert base.predict_clones(clones, parts) is None


def test_a_layer_of_another_kind_is_refused() -> None:
    from mlffbench.models.twoheaded.stacked import Rows, Stacked

    rows = {3: Rows.of([1, 2], torch.device("cpu"))}
    weight = Stacked.of(torch.ones(2, 4, 3), rows)
    assert torch.nn.functional.linear(torch.ones(3, 3), weight).shape == (3, 4)
    for work in (weight.square, weight.sum, lambda: torch.addmm(weight, weight, weight)):
        with pytest.raises(TypeError, match="parameters of several units"):
            work()
    with pytest.raises(TypeError, match="neither the atoms nor the edges"):
        torch.nn.functional.linear(torch.ones(5, 3), weight)
