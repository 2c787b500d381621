"""Fine-tuning on a few labels: it learns them, moves all but the prior, and is nested."""

from itertools import pairwise

import pytest
import torch
from tiny_training import tiny_materials, tiny_model

from mlffbench.core.errors import BenchError
from mlffbench.training.finetune import FineTuning, draw_order, fine_tune
from mlffbench.training.validation import Check, force_errors


def test_it_learns_what_it_is_given_and_leaves_the_prior_alone() -> None:
    materials = tiny_materials()
    model = tiny_model(materials)
    examples = materials.train.select([0, 1, 2, 3])
    before = {name: value.clone() for name, value in model.state().items()}
    shown = examples.to(device=model.device, dtype=model.dtype)
    check = Check.of("given", shown, decides=True)
    untouched = force_errors(model, check, "ref")
    fine_tune(model, examples, FineTuning(steps=60, learning_rate=5e-3), seed=0)
    assert force_errors(model, check, "ref") < 0.8 * untouched
    moved = {n for n, v in model.state().items() if not torch.equal(v, before[n])}
    assert {name.partition(".")[0] for name in moved} == {"shared", "ref"}
    # but for constants of the energy, which no force depends on, all of them
    still = {n for n in before if not n.startswith("prior.")} - moved
    assert all(name.endswith("bias") or "embedding" in name for name in still), still


def test_the_same_seed_gives_the_same_weights() -> None:
    materials = tiny_materials(prior=False)
    examples = materials.train.select([0, 1, 2])
    weights = []
    for seed in (0, 0, 1):
        model = tiny_model(materials)
        fine_tune(model, examples, FineTuning(steps=6, batch=2), seed=seed)
        weights.append(torch.cat([value.flatten() for value in model.state().values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_steps_do_not_depend_on_the_number_of_labels() -> None:
    settings = FineTuning(steps=100, batch=8)
    for n in (1, 5, 8, 9, 47, 100):
        stage = settings.stage(n)
        n_steps = stage.epochs * -(-n // 8)
        assert 100 <= n_steps < 100 + -(-n // 8)


def test_draws_are_nested_and_molecule_by_molecule() -> None:
    molecules = ["a", "b", "a", "c", "b", "a"]
    order = draw_order(molecules, 0)
    assert sorted(order) == list(range(6))
    drawn = [molecules[place] for place in order]
    changes = sum(one != other for one, other in pairwise(drawn))
    assert changes == 2
    assert draw_order(molecules, 0) == order
    assert len({tuple(draw_order(molecules, seed)) for seed in range(20)}) == 6


def test_odd_settings_are_refused() -> None:
    with pytest.raises(BenchError, match="learning rate above 0"):
        FineTuning(learning_rate=0.0)
