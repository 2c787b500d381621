"""Units adapted together against the same units adapted one by one."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from mlffbench.core.structures import Structures
from mlffbench.models.twoheaded.architecture import Architecture
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.refine import unit_stacks
from mlffbench.refine.curved_descent import CurvedDescent, Followed, LabelledUnit
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.unit_stacks import follow_stacks, stacks_of

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


def test_stacks_are_of_like_size_and_bounded() -> None:
    sizes = [[len(one.targets) for one in stack] for stack in stacks_of(UNITS, 12)]
    assert sizes == [[4, 8], [17]]
    assert stacks_of([], 12) == []
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


def test_the_bound_of_a_stack_is_known_for_every_device() -> None:
    assert unit_stacks.STACK_ATOMS.keys() == {"cpu", "cuda"}
