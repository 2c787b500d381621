import math
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from ase.build import molecule

from mlffbench.core.errors import BenchError, CapabilityError, ModelError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.models.twoheaded.architecture import Architecture
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.refine import prior_head
from mlffbench.refine.descent import Optimizer, prior_error
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.prior_level import PriorLevel
from mlffbench.refine.refined_units import rows_of
from mlffbench.refine.refiner import Training
from mlffbench.refine.ttt import PriorTuning
from mlffbench.refine.unit_gate import UnitGate

pytest.importorskip("torch_geometric")


class Springs:
    """A cheap prior that the test can follow: pull every atom to the origin."""

    name, elements = "springs", frozenset({1, 6, 8})

    def __init__(self) -> None:
        self.refused: tuple[str, ...] = ()

    def predict(self, structures: Structures) -> Labels:
        squares = (structures.positions**2).sum(1) / 2
        energy = torch.zeros(structures.n_systems, dtype=squares.dtype)
        failures = {
            place: "springs snapped"
            for place, name in enumerate(structures.ids)
            if name in self.refused
        }
        forces = -structures.positions.clone()
        for place in failures:
            forces[structures.system == place] = torch.nan
            energy[place] = torch.nan
        return Labels(
            energy=energy.index_add(0, structures.system, squares),
            forces=forces,
            source="springs",
            failures=failures,
        )


@pytest.fixture
def prior(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Springs:  # type: ignore[no-untyped-def]
    springs = Springs()
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prior_head, "load_model", lambda *_: springs)
    return springs


def model() -> TwoHeaded:
    architecture = Architecture(network="schnet", elements=(1, 6, 8), depth="min")
    zeros = {"prior": {}, "ref": {}}
    return TwoHeaded.build(
        architecture, atomic_energies=zeros, scale={"prior": 1.0, "ref": 1.0}, seed=0
    )


def batch() -> Structures:
    rng = np.random.default_rng(0)
    names = ["H2O", "H2O", "CH4", "CH4", "CH3OH"]
    positions = [
        torch.tensor(molecule(n).positions + rng.normal(0, 0.05, (len(molecule(n)), 3)))
        for n in names
    ]
    return Structures.build(
        positions,
        [torch.tensor(molecule(n).numbers) for n in names],
        ids=[f"{n}/{i}" for i, n in enumerate(names)],
        group=names,
    )


def plain(**settings: object) -> PriorTuning:
    """Return test-time training that adapts every unit for all steps."""
    return PriorTuning(gate="off", careful=False, **settings)  # type: ignore[arg-type]


def test_the_prior_loss_falls_and_the_model_given_stays(prior: Springs) -> None:
    base, structures = model(), batch()
    before = {name: value.clone() for name, value in base.state().items()}
    refined = plain(steps=30, learning_rate=3e-3, unit="split").refine(base, structures)
    (losses,) = refined.trace.values()
    assert len(losses) == 30
    assert losses[-1] < 0.9 * losses[0]
    assert refined.gradient_steps == 30
    for name, value in base.state().items():
        assert torch.equal(value, before[name]), name
    changed = refined.model.predict(structures).forces
    assert not torch.allclose(changed, base.predict(structures).forces)


def test_only_the_representation_moves(prior: Springs) -> None:
    base = model()
    refined = plain(steps=3, weight_decay=0.1).refine(base, batch())
    assert isinstance(refined.model, Routed)
    adapted = refined.model._models["H2O/0"]
    assert isinstance(adapted, TwoHeaded)
    for owner in ("prior", "ref"):
        ours, theirs = adapted.parameters_of(owner), base.parameters_of(owner)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), owner
    ours, theirs = adapted.parameters_of("shared"), base.parameters_of("shared")
    assert any(not torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("unit", ["group", "structure"])
def test_a_unit_does_not_depend_on_its_companions(prior: Springs, unit: str) -> None:
    tuning = plain(steps=3, unit=unit)
    structures = batch()
    together = tuning.refine(model(), structures).model.predict(structures).forces
    alone = structures.select([2, 3])
    apart = tuning.refine(model(), alone).model.predict(alone).forces
    atoms = (structures.system >= 2) & (structures.system <= 3)
    torch.testing.assert_close(together[atoms], apart, atol=1e-6, rtol=1e-5)


def test_the_same_seed_gives_the_same_bytes(prior: Springs) -> None:
    def predict(seed: int) -> torch.Tensor:
        tuning = plain(steps=4, batch=2, seed=seed, unit="split")
        structures = batch()
        return tuning.refine(model(), structures).model.predict(structures).forces

    assert torch.equal(predict(0), predict(0))
    assert not torch.equal(predict(0), predict(1))


def test_what_the_prior_cannot_compute_keeps_the_baseline(prior: Springs) -> None:
    prior.refused = ("CH4/2",)
    base, structures = model(), batch()
    refined = plain(steps=3, unit="split").refine(base, structures)
    assert [facts["adapted"] for facts in refined.facts] == [
        True,
        True,
        False,
        True,
        True,
    ]
    assert refined.facts[2]["not_adapted_because"] == "springs snapped"
    mine = structures.system == 2
    torch.testing.assert_close(
        refined.model.predict(structures).forces[mine],
        base.predict(structures).forces[mine],
    )


def test_a_diverged_unit_keeps_the_baseline_and_says_so(prior: Springs) -> None:
    base, structures = model(), batch()
    tuning = plain(steps=50, optimizer="sgd", learning_rate=1e30)
    refined = tuning.refine(base, structures)
    assert {facts["not_adapted_because"] for facts in refined.facts} == {
        "the adaptation diverged"
    }
    forces = refined.model.predict(structures).forces
    assert torch.equal(forces, base.predict(structures).forces)


def test_a_model_without_prior_head_gets_one_sentence() -> None:
    with pytest.raises(ModelError, match=r"no prior head.*attach-prior-head"):
        PriorTuning().check(Springs())


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 0},
        {"steps": 1},
        {"unit": "molecule"},
        {"optimizer": "newton"},
        {"optimizer": "lbfgs", "careful": False},
        {"weight_decay": 0.1},
        {"weight_decay": -0.1, "optimizer": "adam"},
        {"anchor": -1},
        {"anchor": math.nan},
        {"gate": "open"},
        {"start": 1.0},
        {"start": 0.9, "stop": 0.95},
        {"stop": 0.0},
        {"start_gap": 1.0},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
    ],
)
def test_illegal_settings_are_one_sentence(settings: dict[str, object]) -> None:
    with pytest.raises(BenchError, match="ttt: "):
        PriorTuning(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["group", "split"])
def test_a_molecule_keeps_its_mean_energy(prior: Springs, unit: str) -> None:
    base, structures = model(), batch()
    tuning = plain(steps=10, learning_rate=3e-3, unit=unit)
    refined = tuning.refine(base, structures).model.predict(structures).energy
    change = refined - base.predict(structures).energy
    assert change.abs().max() > 1e-5
    for group in set(structures.group):
        mine = torch.tensor([name == group for name in structures.group])
        assert abs(float(change[mine].mean())) < 1e-5


def level(loss: float, gap: float, force: float = 999.0) -> PriorLevel:
    """Return a level of training molecules that hardly differ from each other."""
    pairs = [(loss, gap, force), (1.01 * loss, 1.01 * gap, force)]
    return PriorLevel.of(pairs * 9, "toys")


def gated(known: PriorLevel, **settings: object) -> PriorTuning:
    """Return test-time training that has learned a level."""
    tuning = PriorTuning(learning_rate=3e-3, **settings)  # type: ignore[arg-type]
    tuning._level = known
    return tuning


def losses_of(base: TwoHeaded, structures: Structures) -> list[float]:
    targets = Springs().predict(structures).forces
    return [
        loss_of(base, structures.select([i]), rows_of(targets, structures, [i]))
        for i in range(structures.n_systems)
    ]


def loss_of(base: TwoHeaded, structures: Structures, targets: torch.Tensor) -> float:
    return float(prior_error(base, structures, targets).detach())


@pytest.mark.parametrize(
    ("factor", "gap", "words"),
    [
        (1.0, 1e-3, "prior loss of .* as on training"),
        (0.4, 99.0, "as on training molecules .*: the head is no guide"),
        (0.4, 0.7, r"0\.57 times as far from the prior .*, above 0\.5: the head is no"),
        (0.4, 999.0, r"times the prior's force away .*, above 0\.33: the prior is no"),
    ],
)
def test_a_unit_like_those_of_training_is_left_alone(
    prior: Springs, factor: float, gap: float, words: str
) -> None:
    base, structures = model(), batch()
    most = max(losses_of(base, structures))
    lowest = min(losses_of(base, structures))
    known = level(most if factor == 1.0 else factor * lowest, gap * lowest)
    refined = gated(known).refine(base, structures)
    assert refined.gradient_steps == 0
    for facts in refined.facts:
        # neither head knows anything yet: the loss is as large as the gap
        assert facts["adapted"] is False
        assert re.search(words, str(facts["not_adapted_because"]))
    found, expected = refined.model.predict(structures), base.predict(structures)
    assert torch.equal(found.forces, expected.forces)
    assert torch.equal(found.energy, expected.energy)


def test_a_shifted_unit_is_adapted_down_to_the_level(prior: Springs) -> None:
    base, structures = model(), batch()
    lowest = min(losses_of(base, structures))
    known = level(0.48 * lowest, 0.97 * lowest)
    refined = gated(known, steps=60, stop=0.9).refine(base, structures)
    for facts in refined.facts:
        # neither head knows anything yet: they err alike
        assert facts["prior_alike"] == pytest.approx(1, abs=0.05)
        assert facts["adapted"] is True
        assert facts["prior_loss"] > facts["prior_loss_of_training"]  # type: ignore[operator]
        assert facts["prior_gap"] > facts["prior_gap_of_training"]  # type: ignore[operator]
        assert facts["prior_loss_lowest"] <= known.loss_at(0.95)  # type: ignore[operator]
        assert 1 < facts["steps"] < 60  # type: ignore[operator]
    assert not torch.equal(
        refined.model.predict(structures).forces, base.predict(structures).forces
    )


def test_the_level_is_learned_from_training_geometries(prior: Springs) -> None:
    base = model()
    structures = Structures.concatenate([batch(), renamed(batch())])
    tuning = PriorTuning(steps=2)
    with pytest.raises(CapabilityError, match=r"no training geometries.*gate=off"):
        tuning.refine(base, structures)
    assert tuning.settings(base)["most_loss"] is None
    tuning.learn(
        base, Training(name="toy/train", sha256="0" * 64, read=lambda: structures)
    )
    found = tuning.settings(base)
    assert found["level"] == "6 of toy/train"
    assert found["most_loss"] >= found["stop_loss"] > 0  # type: ignore[operator]
    refined = tuning.refine(base, batch())
    assert not any(facts["adapted"] for facts in refined.facts)


def test_hot_geometries_may_have_larger_losses(prior: Springs) -> None:
    base, structures = model(), batch()
    hot = float(structures.positions.norm(dim=1).mean())  # of the springs
    lowest = min(losses_of(base, structures))
    known = level(0.4 * lowest, 0.9 * lowest)
    assert gated(known, steps=2).refine(base, structures).gradient_steps > 0
    cool = level(0.4 * lowest, 0.9 * lowest, force=hot / 10)
    refined = gated(cool, steps=2).refine(base, structures)
    assert refined.gradient_steps == 0
    first = refined.facts[0]
    assert first["prior_loss_of_training"] > 2.5 * known.loss_at(0.97)  # type: ignore[operator]


def test_a_head_that_errs_in_a_way_of_its_own_is_no_guide(prior: Springs) -> None:
    structures = batch()
    targets = prior.predict(structures).forces
    near = 0.1 * float(targets.norm(dim=1).mean())
    known = level(near, 3 * near)
    alike = Pair(own=targets, head=1.1 * targets)
    foreign = Pair(own=-targets, head=targets)
    everything = range(structures.n_systems)
    for pair, words in (
        (alike, ""),
        (foreign, r"cosine -1\.00\): the head is no guide"),
    ):
        gate = UnitGate.of(
            pair, structures, torch.zeros_like(targets), known, start=0.97, start_gap=0.9
        )
        found = gate.why_not(list(everything))
        assert re.search(words, found)
        assert bool(found) == bool(words)


@dataclass
class Pair:
    """Forces of a model and of its prior head, as given."""

    own: torch.Tensor
    head: torch.Tensor
    name = "pair"
    elements = frozenset({1, 6, 8})

    def predict(self, structures: Structures) -> Labels:
        zeros = torch.zeros(structures.n_systems)
        return Labels(energy=zeros, forces=self.own, source=self.name)

    def predict_prior(self, structures: Structures) -> Labels:
        zeros = torch.zeros(structures.n_systems)
        return Labels(energy=zeros, forces=self.head, source=self.name)


def test_hot_geometries_may_have_larger_gaps(prior: Springs) -> None:
    structures = batch()
    targets = prior.predict(structures).forces
    hot = float(targets.norm(dim=1).mean())
    pair = Pair(own=1.1 * targets, head=1.1 * targets)
    for force, words in ((hot, ""), (hot / 10, "the head is no guide")):
        known = level(1e-4 * hot, gap=0.03 * hot, force=force)
        gate = UnitGate.of(pair, structures, targets, known, start=0.97, start_gap=0.9)
        assert words in (found := gate.why_not(range(structures.n_systems)))
        assert bool(found) == bool(words)


def renamed(structures: Structures) -> Structures:
    """Return the same structures as other molecules, a little stretched."""
    return replace(
        structures,
        positions=1.01 * structures.positions,
        ids=tuple(f"{name}'" for name in structures.ids),
        group=tuple(f"{name}'" for name in structures.group),
    )


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("rate", [1e-3, 1.0])
def test_a_careful_descent_never_ends_higher(
    prior: Springs, rate: float, optimizer: Optimizer
) -> None:
    base, structures = model(), batch()
    tuning = PriorTuning(
        gate="off", unit="split", steps=12, learning_rate=rate, optimizer=optimizer
    )
    targets = Springs().predict(structures).forces
    adapted = tuning.adapt(base, structures, targets, "u")
    assert isinstance(adapted.model, TwoHeaded)
    before, after = (loss_of(one, structures, targets) for one in (base, adapted.model))
    assert after < before
    assert after <= min(adapted.losses) * (1 + 1e-6)


def test_a_unit_larger_than_a_batch_stops_after_a_whole_pass(prior: Springs) -> None:
    base, structures = model(), batch()
    lowest = min(losses_of(base, structures))
    known = level(0.4 * lowest, 0.9 * lowest)
    tuning = gated(known, unit="split", batch=2, steps=90)
    (losses,) = tuning.refine(base, structures).trace.values()
    assert 3 <= len(losses) < 90
    assert sum(losses[-3:]) / 3 <= known.loss_at(0.95)


@pytest.mark.parametrize("batch_size", [2, 16], ids=["in batches", "whole"])
def test_what_cannot_be_taken_back_is_not_called_adapted(
    prior: Springs, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    base, structures = model(), batch()
    tuning = PriorTuning(
        gate="off", unit="split", batch=batch_size, steps=6, learning_rate=1e30
    )
    if batch_size == 16:  # a finite loss whose slope is none
        distance = lambda _, now, then: sum(  # noqa: E731
            ((one - two) ** 2).sum() for one, two in zip(now, then, strict=True)
        )
        monkeypatch.setattr(tuning, "penalty", lambda *args: distance(*args).sqrt())
    refined = tuning.refine(base, structures)
    assert {facts["not_adapted_because"] for facts in refined.facts} == {
        "the adaptation diverged"
    }
    forces = refined.model.predict(structures).forces
    assert torch.equal(forces, base.predict(structures).forces)
