"""QuasiNewton on functions whose minimum is known."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mlffbench.refine.quasi_newton import QuasiNewton

Function = Callable[[Tensor], Tensor]


def bowl(place: Tensor) -> Tensor:
    """A quadratic whose axes are a thousand times as steep as each other."""
    scales = torch.logspace(0, 3, len(place), dtype=place.dtype)
    return (scales * (place - 1) ** 2).sum()


def valley(place: Tensor) -> Tensor:
    """Rosenbrock's function, with its minimum at 1."""
    first, rest = place[:-1], place[1:]
    return (100 * (rest - first**2) ** 2 + (1 - first) ** 2).sum()


def descend(function: Function, place: Tensor, rate: float, looks: int) -> list[float]:
    """Return the losses that were accepted; every trial is looked at once."""
    walk, losses = QuasiNewton(place, rate), []
    for _ in range(looks):
        trial = walk.trial.clone().requires_grad_()
        loss = function(trial)
        if walk.accepts(float(loss.detach())):
            losses.append(float(loss.detach()))
            walk.turn(torch.autograd.grad(loss, trial)[0])
        if walk.ended:
            break
    assert float(function(walk.place)) == losses[-1]
    return losses


@pytest.mark.parametrize(
    ("function", "looks"), [(bowl, 60), (valley, 150)], ids=["bowl", "valley"]
)
@pytest.mark.parametrize("rate", [0.01, 1.0])
def test_it_finds_the_minimum_and_never_rises(
    function: Function, looks: int, rate: float
) -> None:
    losses = descend(function, torch.full((6,), 0.1, dtype=torch.float64), rate, looks)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-6 * losses[0]


def test_the_first_step_moves_no_parameter_by_more_than_the_rate() -> None:
    walk = QuasiNewton(torch.zeros(4), 0.1)
    assert walk.accepts(1.0)
    walk.turn(torch.tensor([3.0, -3.0, 1e-4, 0.0]))
    moved = walk.trial - walk.place
    assert moved.abs().max() <= 0.1
    assert moved[:2].tolist() == pytest.approx([-0.1, 0.1], rel=0.1)
    assert 0 < -float(moved[2]) < 1e-4
    assert moved[3] == 0


@pytest.mark.parametrize("loss", [2.0, math.nan, math.inf])
def test_a_trial_that_is_no_better_is_taken_back(loss: float) -> None:
    walk = QuasiNewton(torch.zeros(2), 0.1)
    assert walk.accepts(1.0)
    walk.turn(torch.ones(2))
    far = walk.trial.clone()
    assert not walk.accepts(loss)
    assert torch.equal(walk.place, torch.zeros(2))
    assert 0 < walk.trial.norm() < far.norm()
    while not walk.ended:
        assert not walk.accepts(loss)
    assert torch.equal(walk.place, torch.zeros(2))


def test_it_ends_where_nothing_can_be_followed() -> None:
    lost = QuasiNewton(torch.zeros(2), 0.1)
    assert not lost.accepts(math.nan)
    assert lost.ended
    assert lost.lost
    flat, steep = (QuasiNewton(torch.zeros(2), 0.1) for _ in range(2))
    for walk, slope in ((flat, 0.0), (steep, math.nan)):
        assert walk.accepts(1.0)
        walk.turn(torch.full((2,), slope))
        assert walk.ended
        assert walk.lost is math.isnan(slope)
