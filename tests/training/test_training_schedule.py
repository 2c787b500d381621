import pytest
import torch
from torch import nn

from mlffbench.training.average import MovingAverage
from mlffbench.training.schedule import FLOOR, count_plateaus, learning_factor


def factor(name: str, step: int, *, n_warmup: int = 0, errors: tuple[float, ...] = ()):
    return learning_factor(
        name, step=step, n_steps=100, n_warmup=n_warmup, errors=list(errors)
    )


def test_cosine_falls_from_one_to_its_floor() -> None:
    assert factor("cosine", 0) == 1.0
    assert factor("cosine", 50) == pytest.approx((1 + FLOOR) / 2)
    assert factor("cosine", 100) == pytest.approx(FLOOR)
    assert factor("cosine", 250) == pytest.approx(FLOOR)


def test_the_rate_rises_during_warm_up() -> None:
    values = [factor("constant", step, n_warmup=4) for step in range(6)]
    assert values == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_a_plateau_halves_the_rate_each_ten_epochs_without_progress() -> None:
    errors = (3.0, 2.0, *[2.0] * 9)
    assert factor("plateau", 0, errors=errors) == 1.0
    assert factor("plateau", 0, errors=(*errors, 2.5)) == 0.5
    assert factor("plateau", 0, errors=(*errors, 2.5, *[1.0] * 11)) == 0.25


def test_progress_resets_the_wait() -> None:
    assert count_plateaus([2.0] * 10 + [1.0] + [1.5] * 9) == 0


def test_the_average_follows_its_formula() -> None:
    weight = nn.Parameter(torch.tensor([0.0]))
    average = MovingAverage({"w": weight}, decay=0.9)
    expected = 0.0
    for step in range(1, 200):
        with torch.no_grad():
            weight.fill_(float(step))
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert float(average.values["w"]) == pytest.approx(expected, rel=1e-5)


def test_the_average_is_applied_for_a_while_only() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    average = MovingAverage({"w": weight}, decay=0.0)
    with torch.no_grad():
        weight.fill_(5.0)
    with average.applied():
        assert weight.tolist() == [1.0]
    assert weight.tolist() == [5.0]
