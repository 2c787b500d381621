"""The published test-time training, step by step against its description."""

import pytest
import torch
from pair_fields import GuidedStrings, line
from torch import nn

from mlffbench.core.errors import BenchError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.refine import prior_head
from mlffbench.refine.published_tuning import PublishedTuning
from mlffbench.refine.refiner import Refined


class Double:
    """A prior that pulls twice as hard; it refuses what it is told to."""

    name, elements = "double", frozenset({1, 6, 7, 8})
    refused = ""

    def predict(self, structures: Structures) -> Labels:
        labels = GuidedStrings().predict(structures)
        failures = {
            place: "snapped"
            for place, name in enumerate(structures.ids)
            if name == self.refused
        }
        energy, forces = labels.energy * 2 + 0.5, labels.forces * 2
        for place in failures:
            energy[place], forces[structures.system == place] = torch.nan, torch.nan
        return Labels(energy=energy, forces=forces, source="x", failures=failures)


@pytest.fixture(autouse=True)
def prior(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Double:  # type: ignore[no-untyped-def]
    double = Double()
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prior_head, "load_model", lambda *_: double)
    return double


def batch(n: int = 5) -> Structures:
    return Structures.concatenate(
        [line(0, 1.0 + number / 10, 2.5, name=f"l{number}") for number in range(n)]
    )


def strength(refined: Refined) -> float:
    adapted: ForceField = refined.model.model_of("l0")  # type: ignore[attr-defined]
    assert isinstance(adapted, GuidedStrings)
    return float(adapted.strength.detach())


def by_hand(structures: Structures, steps: int, **settings: float) -> float:
    """Return the parameter after some steps on the whole set, written out."""
    rate, momentum, decay = settings["rate"], settings["momentum"], settings["decay"]
    model = GuidedStrings()
    target = Double().predict(structures)
    speed = torch.zeros((), dtype=torch.float64)
    place = torch.ones((), dtype=torch.float64)
    for _ in range(steps):
        model.strength = nn.Parameter(place.clone())
        found = model.forward(structures, "prior")
        energy = (found.energy - target.energy).abs().mean()
        forces = (found.forces - target.forces).norm(dim=1).mean()
        [slope] = torch.autograd.grad(energy + 1000 * forces, [model.strength])
        slope = slope * min(1.0, 10 / float(slope.abs() + 1e-6))
        speed = momentum * speed + slope + decay * place
        place = place - rate * speed
    return float(place)


def test_the_steps_are_those_of_the_description() -> None:
    structures = batch()
    tuning = PublishedTuning(steps=7, learning_rate=1e-3)
    refined = tuning.refine(GuidedStrings(), structures)
    expected = by_hand(structures, 7, rate=1e-3, momentum=0.9, decay=1e-3)
    assert strength(refined) == pytest.approx(expected, abs=1e-12)
    assert strength(refined) > 1
    assert refined.gradient_steps == len(refined.trace["all"]) == 7
    assert refined.trace["all"][0] > refined.trace["all"][-1]


def test_defaults_are_the_papers() -> None:
    tuning = PublishedTuning()
    found = tuning.settings(GuidedStrings())
    wanted = {
        "optimizer": "sgd",
        "learning_rate": 1e-5,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "steps": 500,
        "batch": 32,
        "unit": "split",
        "energy_weight": 1.0,
        "force_weight": 1000.0,
        "most": 1000,
        "gate": "off",
    }
    assert {name: found[name] for name in wanted} == wanted


def test_a_large_set_is_visited_pass_after_pass() -> None:
    passes = list(PublishedTuning(steps=5, batch=2)._passes(5))
    assert [len(one) for one in passes] == [2, 2, 1, 2, 2]
    assert sorted([*passes[0], *passes[1], *passes[2]]) == [0, 1, 2, 3, 4]


def test_one_beyond_the_most_is_predicted_but_not_seen(prior: Double) -> None:
    prior.refused = "l1"
    model, structures = GuidedStrings(), batch()
    refined = PublishedTuning(steps=2, most=2, learning_rate=1e-3).refine(
        model, structures
    )
    assert [facts["seen"] for facts in refined.facts] == [True, False, True, False, False]
    assert [facts["adapted"] for facts in refined.facts] == [1, 0, 1, 1, 1]
    assert refined.facts[1]["not_adapted_because"] == "snapped"
    changed = refined.model.predict(structures).forces != model.predict(structures).forces
    moved = [bool(changed[structures.system == i].any()) for i in range(5)]
    assert moved == [True, False, True, True, True]


def test_a_loss_that_is_not_finite_keeps_the_baseline() -> None:
    model, structures = GuidedStrings(), batch()
    refined = PublishedTuning(steps=9, learning_rate=1e308).refine(model, structures)
    assert {facts["not_adapted_because"] for facts in refined.facts} == {
        "the adaptation diverged"
    }
    after = refined.model.predict(structures).forces
    assert torch.equal(after, model.predict(structures).forces)


@pytest.mark.parametrize(
    "settings", [{"steps": 0}, {"learning_rate": 0.0}, {"momentum": 1.0}, {"most": 0}]
)
def test_bad_settings(settings: dict[str, float]) -> None:
    with pytest.raises(BenchError, match="ttt-paper: "):
        PublishedTuning(**settings)  # type: ignore[arg-type]
