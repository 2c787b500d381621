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


def barrier(place: Tensor) -> Tensor:
    """A slope that ends at a sphere of radius 1, beyond which there is no number."""
    return -50 * place.sum() - torch.log(1 - (place**2).sum())


def descend(function: Function, place: Tensor, rate: float, looks: int) -> list[float]:
    """Return the losses that were accepted; every trial is looked at once."""
    walk, losses = QuasiNewton(place[None], rate), []
    for _ in range(looks):
        trial = walk.trial.clone().requires_grad_()
        loss = function(trial[0])
        if walk.accepts([float(loss.detach())]) == [True]:
            losses.append(float(loss.detach()))
            walk.turn(torch.autograd.grad(loss, trial)[0], [True])
        if walk.ended == [True]:
            break
    assert float(function(walk.place[0])) == losses[-1]
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
    walk = QuasiNewton(torch.zeros(1, 4), 0.1)
    assert walk.accepts([1.0]) == [True]
    walk.turn(torch.tensor([[3.0, -3.0, 1e-4, 0.0]]), [True])
    moved = (walk.trial - walk.place)[0]
    assert moved.abs().max() <= 0.1
    assert moved[:2].tolist() == pytest.approx([-0.1, 0.1], rel=0.1)
    assert 0 < -float(moved[2]) < 1e-4
    assert moved[3] == 0


@pytest.mark.parametrize("loss", [2.0, math.nan, math.inf])
def test_a_trial_that_is_no_better_is_taken_back(loss: float) -> None:
    walk = QuasiNewton(torch.zeros(1, 2), 0.1)
    assert walk.accepts([1.0]) == [True]
    walk.turn(torch.ones(1, 2), [True])
    far = walk.trial.clone()
    assert walk.accepts([loss]) == [False]
    assert torch.equal(walk.place, torch.zeros(1, 2))
    assert 0 < walk.trial.norm() < far.norm()
    while walk.ended == [False]:
        assert walk.accepts([loss]) == [False]
    assert torch.equal(walk.place, torch.zeros(1, 2))


def test_it_ends_where_nothing_can_be_followed() -> None:
    walk = QuasiNewton(torch.zeros(3, 2), 0.1)
    assert walk.accepts([math.nan, 1.0, 1.0]) == [False, True, True]
    assert walk.ended == walk.lost == [True, False, False]
    gradients = torch.tensor([[1.0, 1.0], [0.0, 0.0], [math.nan, 1.0]])
    walk.turn(gradients, [False, True, True])
    assert walk.ended == [True, True, True]
    assert walk.lost == [True, False, True]


def test_a_walk_goes_as_it_does_alone() -> None:
    """Walks of different length beside one that is lost, and one that often leaves."""
    functions = (bowl, valley, lambda place: math.nan * place.sum(), bowl, barrier)
    starts = (0.1, 0.2, 0.3, -7.0, 0.35)
    places = [torch.full((6,), x, dtype=torch.float64) for x in starts]
    places[3][2:] = 1.0  # where the bowl is level: those are never moved
    alone = [
        descend(function, place, 0.1, 40)
        for function, place in zip(functions, places, strict=True)
        if function(place).isfinite()
    ]
    walk = QuasiNewton(torch.stack(places), 0.1)
    going = list(range(len(starts)))
    losses: dict[int, list[float]] = {k: [] for k in going}
    n_lost = 0
    for _ in range(40):
        trial = walk.trial.clone().requires_grad_()
        rows = zip(going, trial, strict=True)
        found = torch.stack([functions[k](row) for k, row in rows])
        n_lost += int(found.isnan().sum())
        accepted = walk.accepts(found.tolist())
        for k, good, loss in zip(going, accepted, found.tolist(), strict=True):
            losses[k] += [loss] * good
        if any(accepted):
            walk.turn(torch.autograd.grad(found.sum(), trial)[0], accepted)
        stay = [row for row, ended in enumerate(walk.ended) if not ended]
        walk.keep(stay)
        going = [going[row] for row in stay]
    assert n_lost > 2
    assert losses.pop(2) == []
    for mine, expected in zip(losses.values(), alone, strict=True):
        # at the minimum rounding decides when it ends
        fall = expected[0] - expected[-1]
        n_equal = sum(loss - expected[-1] > 1e-9 * fall for loss in expected)
        assert mine[:n_equal] == pytest.approx(expected[:n_equal], rel=1e-9)
    assert len({len(mine) for mine in losses.values()}) > 1
