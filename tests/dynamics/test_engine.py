"""The engine: bad systems, resumption, and both engines' agreement on them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from wells import Never, Springs, asked, chains, course, systems_of

from mlffbench.core.errors import BenchError, ModelError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.dynamics.ase_engine import AseEngine
from mlffbench.dynamics.engine import BatchedEngine
from mlffbench.dynamics.masses import heavy_hydrogens, natural_masses, repartitioned
from mlffbench.dynamics.presets import PRESETS, Preset, preset_of
from mlffbench.dynamics.recording import tracks
from mlffbench.dynamics.stability import BondCriterion, find_bonds
from mlffbench.dynamics.starts import relax
from mlffbench.dynamics.state import FINISHED, STOPPED, State


class Fragile(Springs):
    """Springs that give NaN, raise, or refuse, for a chain of a certain length."""

    name = "fragile"

    def __init__(self, how: str, size: int = 5, after: int = 0) -> None:
        self.how, self.size, self.after, self.calls = how, size, after, 0

    def predict(self, structures: Structures) -> Labels:
        self.calls += 1
        labels = super().predict(structures)
        sizes = structures.sizes.tolist()
        bad = [i for i, size in enumerate(sizes) if size == self.size]
        if self.calls <= self.after or not bad:
            return labels
        if self.how == "raises":
            raise RuntimeError("out of memory")
        if self.how == "refuses":
            return replace(labels, failures=dict.fromkeys(bad, "element not supported"))
        labels.forces[structures.system == bad[0]] = torch.nan
        return labels


def last(engine) -> tuple[list, State]:
    parts = list(engine.parts())
    return tracks(parts, engine.systems.structures.sizes.tolist()), State.from_arrays(
        parts[-1]
    )


@pytest.mark.parametrize("kind", [BatchedEngine, AseEngine])
@pytest.mark.parametrize("how", ["nan", "raises", "refuses"])
def test_one_bad_system_among_good_ones(kind: type, how: str) -> None:
    systems = systems_of(chains(4, 5, 6), n_steps=40)
    plan = course(thermostat=False)
    found, state = last(kind(asked(Fragile(how)), systems, Never(), plan))
    good, _ = last(kind(asked(Springs()), systems, Never(), plan))
    assert state.status.tolist() == [FINISHED, STOPPED, FINISHED]
    assert list(state.reasons) == [1]
    assert state.stop_step.tolist() == [-1, 0, -1]
    assert len(found[1].step) == 0
    for index in (0, 2):
        assert np.array_equal(found[index].positions, good[index].positions)


def test_nan_on_step_one_keeps_the_start() -> None:
    systems = systems_of(chains(4, 5), n_steps=40)
    model = Fragile("nan", after=1)
    found, state = last(
        BatchedEngine(asked(model), systems, Never(), course(thermostat=True))
    )
    assert state.stop_step.tolist() == [-1, 1]
    assert state.sane_step.tolist() == [40, 0]
    assert state.reasons == {1: "energy or forces are not finite"}
    assert found[1].step.tolist() == [0]


def test_atoms_on_top_of_each_other_never_start() -> None:
    structures = chains(4, 4)
    positions = structures.positions.clone()
    positions[5] = positions[4]
    systems = systems_of(replace(structures, positions=positions), n_steps=20)
    _, state = last(
        BatchedEngine(asked(Springs()), systems, Never(), course(thermostat=True))
    )
    assert state.status.tolist() == [FINISHED, STOPPED]
    assert state.reasons[1].startswith("collapsed: C–C at 0.00")


def test_a_model_without_forces_is_told_so() -> None:
    class Forceless(Springs):
        def predict(self, structures: Structures) -> Labels:
            labels = super().predict(structures)
            return replace(labels, forces=labels.forces[:0])

    with pytest.raises(ModelError, match="without forces cannot move atoms"):
        last(
            BatchedEngine(
                asked(Forceless()),
                systems_of(chains(3)),
                Never(),
                course(thermostat=True),
            )
        )


@pytest.mark.parametrize("kind", [BatchedEngine, AseEngine])
def test_a_broken_bond_stops_its_system_only(kind: type) -> None:
    structures = chains(2, 2)
    systems = systems_of(structures, n_steps=2000, temperature=300)
    systems = replace(systems, temperature=torch.tensor([100.0, 40000.0]).double())
    criterion = BondCriterion(find_bonds(structures), [2, 2])
    plan = course(thermostat=True)
    found, state = last(kind(asked(Springs()), systems, criterion, plan))
    assert state.status.tolist() == [FINISHED, STOPPED]
    assert state.reasons[1].startswith("bond C1–C2 is ")
    assert int(state.sane_step[1]) == int(state.stop_step[1]) - plan.record_every
    assert found[1].step[-1] == state.sane_step[1]
    lengths = np.linalg.norm(found[1].positions[:, 0] - found[1].positions[:, 1], axis=1)
    assert (np.abs(lengths - 1) <= 0.5).all()


@pytest.mark.parametrize("kind", [BatchedEngine, AseEngine])
def test_a_start_out_of_order_never_moves(kind: type) -> None:
    structures = chains(2, 2)
    sound, stretched = find_bonds(structures)
    stretched = replace(stretched, reference=stretched.reference + 0.6)
    criterion = BondCriterion([sound, stretched], [2, 2])
    systems = systems_of(structures, n_steps=20)
    found, state = last(
        kind(asked(Springs()), systems, criterion, course(thermostat=True))
    )
    assert state.status.tolist() == [FINISHED, STOPPED]
    assert state.stop_step.tolist() == [-1, 0]
    assert state.reasons[1].startswith("bond C1–C2 is 1.00 Å, its mean 1.60 Å")
    assert len(found[1].step) == 0


def test_too_hot_is_stopped_between_frames() -> None:
    systems = systems_of(chains(3), n_steps=100, temperature=5000)
    plan = course(thermostat=True, record_every=50, sane_kelvin=(0.1, 1000))
    _, state = last(BatchedEngine(asked(Springs()), systems, Never(), plan))
    assert state.stop_step.tolist() == [1]
    assert state.reasons[0].endswith("K, outside 0.1 to 1000 K")


@pytest.mark.parametrize("kind", [BatchedEngine, AseEngine])
def test_resumed_at_every_part_it_ends_the_same(kind: type) -> None:
    systems = systems_of(chains(3, 4, 5), n_steps=100)
    systems = replace(systems, temperature=torch.tensor([100.0, 60000, 200]).double())
    criterion = BondCriterion(find_bonds(systems.structures), [3, 4, 5])
    plan = course(thermostat=True, record_every=5, checkpoint_every=17)
    engine = kind(asked(Springs()), systems, criterion, plan)
    whole = list(engine.parts())
    assert len(whole) >= 4
    for n_done in range(1, len(whole)):
        again = kind(asked(Springs()), systems, criterion, plan)
        resumed = [*whole[:n_done], *again.parts(whole[:n_done])]
        assert len(resumed) == len(whole)
        for one, other in zip(whole, resumed, strict=True):
            assert one.keys() == other.keys()
            for key, values in one.items():
                with_nan = values.dtype.kind == "f"
                assert np.array_equal(values, other[key], equal_nan=with_nan)


def test_large_runs_are_cut_into_several_calls() -> None:
    systems = systems_of(chains(3, 4, 5, 3), n_steps=30)
    plan = course(thermostat=True)
    one, _ = last(BatchedEngine(asked(Springs()), systems, Never(), plan))
    many, _ = last(BatchedEngine(asked(Springs(), 7), systems, Never(), plan))
    for mine, other in zip(one, many, strict=True):
        assert np.array_equal(mine.positions, other.positions)


def methane() -> Structures:
    from ase.build import molecule

    atoms = molecule("CH4")
    return Structures.build(
        [torch.tensor(atoms.positions)], [torch.tensor(atoms.numbers)], ids=["CH4"]
    )


def test_hydrogens_take_mass_from_their_carbon() -> None:
    start = methane()
    natural = natural_masses(start)
    moved = repartitioned(start, 2.0, find_bonds(start))
    assert moved[1:].tolist() == [2.0] * 4
    assert float(moved.sum()) == pytest.approx(float(natural.sum()), abs=1e-12)
    heavier = heavy_hydrogens(start, 3.0)
    assert heavier.tolist() == [12.011, 3.0, 3.0, 3.0, 3.0]
    with pytest.raises(BenchError, match="smaller --hydrogen-mass"):
        repartitioned(start, 4.0, find_bonds(start))


def test_relaxing_finds_the_minimum_and_keeps_it(tmp_path) -> None:
    stretched = chains(2, 3)
    stretched = replace(stretched, positions=stretched.positions * 1.05)
    done = relax(stretched, Springs(), folder=tmp_path)
    assert done.failures == {}
    labels = Springs().predict(done.structures)
    assert float(labels.forces.abs().max()) < 0.02
    assert len(list(tmp_path.iterdir())) == 2

    class Unused(Springs):
        def predict(self, structures: Structures) -> Labels:
            raise AssertionError("the result is on disk")

    again = relax(stretched, Unused(), folder=tmp_path)
    assert torch.equal(again.structures.positions, done.structures.positions)


def test_relaxing_names_what_it_cannot(tmp_path) -> None:
    done = relax(chains(4, 5), Fragile("raises"), folder=tmp_path)
    assert list(done.failures) == [1]
    assert "out of memory" in done.failures[1]


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan")])
def test_a_time_step_must_be_positive(step: float) -> None:
    with pytest.raises(BenchError, match=r"time step of .* cannot be simulated"):
        replace(PRESETS["quick"], time_step=step)


def test_a_long_step_with_hydrogens_is_warned_of() -> None:
    long = replace(PRESETS["quick"], time_step=5.0)
    assert "is long for hydrogens" in long.warnings(hydrogen=True)[0]
    assert long.warnings(hydrogen=False) == ()
    for preset in PRESETS.values():
        assert preset.warnings(hydrogen=True) == ()
    heavy = replace(PRESETS["quick"], time_step=1.5, hydrogen_mass=3.0)
    assert heavy.warnings(hydrogen=True) == ()


def test_presets_say_what_they_promise() -> None:
    mdsim = preset_of("mdsim-molecule")
    assert (mdsim.temperature, mdsim.time_step, mdsim.horizon) == (500, 0.5, 300)
    assert mdsim.n_steps == 600_000
    audit = preset_of("mlipaudit")
    assert (audit.temperature, audit.time_step, audit.horizon) == (300, 1.0, 100)
    assert not preset_of("nve-drift").thermostat
    odd = Preset(
        name="odd", thermostat=True, temperature=1, time_step=0.3, duration=0.1,
        record_every=7,
    )  # fmt: skip
    assert odd.n_steps % 7 == 0
    assert odd.horizon >= 0.1
    with pytest.raises(BenchError, match=r"unknown preset 'quik'\. Did you mean 'quick'"):
        preset_of("quik")
