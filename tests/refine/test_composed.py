from pathlib import Path

import pytest
import torch
from pair_fields import GuidedStrings, Strings, line, prior_file

from mlffbench.core.errors import BenchError, CapabilityError
from mlffbench.core.structures import Structures
from mlffbench.refine.composed import TunedRadius
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.refiner import Training
from mlffbench.refine.ttt import PriorTuning


def batch() -> Structures:
    return Structures.concatenate(
        [
            line(0, 1.5, 3.4, name="a0", group="a"),
            line(0, 1.6, 3.4, 4.9, name="a1", group="a"),
            line(0, 1.2, 4.4, name="b0", group="b"),
            line(0, 1.3, 2.5, 4.3, name="b1", group="b"),
        ]
    )


def training() -> Training:
    book = line(0, 1.5, 3.0, name="t")
    return Training(name="toy/train", sha256="0" * 64, read=lambda: book)


def taught(model: GuidedStrings, prior: str, **changes: object) -> TunedRadius:
    refiner = TunedRadius(
        prior=prior,
        gate="off",
        steps=20,
        learning_rate=0.01,
        **changes,  # type: ignore[arg-type]
    )
    refiner.check(model)
    refiner.learn(model, training())
    return refiner


def strength(model: object) -> float:
    assert isinstance(model, GuidedStrings)
    return float(model.strength.detach())


def test_it_is_tuned_first_and_then_narrowed(tmp_path: Path) -> None:
    """Each structure gets its unit's adapted parameter and a radius of its own."""
    model, structures = GuidedStrings(), batch()
    prior = prior_file(tmp_path, 3.0)
    refined = taught(model, prior).refine(model, structures)
    tuned = PriorTuning(prior=prior, gate="off", steps=20, learning_rate=0.01)
    alone = tuned.refine(model, structures)
    assert isinstance(refined.model, Routed)
    assert isinstance(alone.model, Routed)
    for name, facts in zip(structures.ids, refined.facts, strict=True):
        chosen, adapted = refined.model.model_of(name), alone.model.model_of(name)
        assert strength(chosen) == strength(adapted) != 1.0
        assert chosen.cutoff == facts["radius"]  # type: ignore[attr-defined]
        assert facts["adapted"] is True
    assert len({facts["radius"] for facts in refined.facts}) > 1
    assert strength(refined.model.model_of("a0")) != strength(
        refined.model.model_of("b0")
    )
    assert refined.trace == alone.trace
    assert 4 < refined.gradient_steps == alone.gradient_steps <= 40
    assert strength(model) == 1.0


def test_only_the_trained_cutoff_is_test_time_training(tmp_path: Path) -> None:
    model, structures = GuidedStrings(), batch()
    prior = prior_file(tmp_path, 3.0)
    both = taught(model, prior, n_radii=1).refine(model, structures)
    tuned = PriorTuning(prior=prior, gate="off", steps=20, learning_rate=0.01)
    alone = tuned.refine(model, structures)
    found, expected = (one.model.predict(structures) for one in (both, alone))
    assert torch.equal(found.forces, expected.forces)
    assert torch.equal(found.energy, expected.energy)


def test_a_molecule_keeps_its_mean_energy(tmp_path: Path) -> None:
    """Whatever radii its conformers take; the prior refuses one of the second's."""
    model, structures = GuidedStrings(), batch()
    refiner = taught(model, prior_file(tmp_path, 3.0, refusing="b1"))
    refined = refiner.refine(model, structures)
    assert {facts["envelope"] for facts in refined.facts} != {"trained"}
    found, base = (one.predict(structures).energy for one in (refined.model, model))
    change = found - base
    assert float(change[0]) == pytest.approx(-float(change[1]), abs=1e-9)
    assert abs(float(change[0])) > 1e-3
    assert change[2:].tolist() == pytest.approx([0, 0], abs=1e-9)


@pytest.mark.parametrize("unit", ["structure", "group", "split"])
def test_units_do_not_feel_each_other(tmp_path: Path, unit: str) -> None:
    model, structures = GuidedStrings(), batch()
    prior = prior_file(tmp_path, 3.0)
    refiner = taught(model, prior, unit=unit)
    assert refiner.unit == unit
    together = refiner.refine(model, structures).model.predict(structures)
    if unit == "split":
        assert torch.isfinite(together.forces).all()
        return
    half = structures.select([2, 3])
    alone = refiner.refine(model, half).model.predict(half)
    mine = structures.system >= 2
    torch.testing.assert_close(together.forces[mine], alone.forces)
    torch.testing.assert_close(together.energy[2:], alone.energy)


def test_what_the_prior_refuses_keeps_the_baseline(tmp_path: Path) -> None:
    model, structures = GuidedStrings(), batch()
    prior = prior_file(tmp_path, 3.0, refusing="a1")
    refined = taught(model, prior).refine(model, structures)
    facts = refined.facts[1]
    assert facts["not_adapted_because"] == facts["not_refined_because"]
    assert facts["not_refined_because"] == "too long a line"
    mine = structures.system == 1
    expected, found = model.predict(structures), refined.model.predict(structures)
    assert torch.equal(found.forces[mine], expected.forces[mine])
    assert found.energy[1] == expected.energy[1]


def test_settings_hold_both_and_tell_them_apart(tmp_path: Path) -> None:
    model, prior = GuidedStrings(), prior_file(tmp_path, 3.0)
    found = taught(model, prior, unit="split", n_radii=2).settings(model)
    assert found["unit"] == "split"
    assert found["radius_unit"] == "structure"
    assert found["prior"] == found["radius_prior"] == prior
    assert (found["steps"], found["learning_rate"]) == (20, 0.01)
    assert (found["radii"], found["envelope"]) == ("5, 3", "either")


def test_what_either_lacks_is_one_sentence() -> None:
    with pytest.raises(CapabilityError, match="no prior head"):
        TunedRadius().check(Strings())
    with pytest.raises(BenchError, match="'best' is none of"):
        TunedRadius(criterion="best")  # type: ignore[arg-type]
    with pytest.raises(BenchError, match="ttt: steps"):
        TunedRadius(steps=0)
