import pytest
import torch

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.training.loss import LossWeights, l2_mae, labels_loss


def pair() -> Structures:
    """Return one structure of two atoms and one of a single atom."""
    return Structures.build(
        [torch.zeros(2, 3), torch.zeros(1, 3)],
        [torch.tensor([1, 8]), torch.tensor([6])],
        ids=["two", "one"],
    )


def labels(energy: list[float], forces: list[list[float]]) -> Labels:
    energies = torch.tensor(energy, dtype=torch.float64)
    return Labels(energy=energies, forces=torch.tensor(forces), source="hand")


def test_the_force_loss_is_the_mean_norm_of_the_error() -> None:
    error = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
    assert float(l2_mae(error)) == pytest.approx((5 + 1) / 2)


def test_energies_count_per_atom() -> None:
    none = [[0.0] * 3] * 3
    weights = LossWeights(energy=2.0, forces=7.0)
    loss = labels_loss(labels([1, 2], none), labels([5, -1], none), pair(), weights)
    assert float(loss) == pytest.approx(2.0 * (4 / 2 + 3 / 1) / 2)


def test_both_parts_are_weighted_and_added() -> None:
    target = labels([2, 0], [[3.0, 4, 0], [0, 0, 0], [0, 0, 2]])
    prediction = labels([0, 0], [[0.0] * 3] * 3)
    loss = labels_loss(prediction, target, pair(), LossWeights(energy=1.0, forces=10.0))
    assert float(loss) == pytest.approx(0.5 + 10 * (5 + 0 + 2) / 3)


def test_a_structure_without_label_counts_nowhere() -> None:
    nan = float("nan")
    target = labels([nan, 3], [[nan] * 3, [nan] * 3, [0.0, 0, 1]])
    prediction = labels([1, 1], [[1.0] * 3] * 3)
    prediction.forces.requires_grad_()
    loss = labels_loss(prediction, target, pair(), LossWeights(energy=1.0, forces=1.0))
    assert float(loss.detach()) == pytest.approx(2 + 2**0.5)
    loss.backward()
    slope = prediction.forces.grad
    assert slope is not None
    assert bool(torch.isfinite(slope).all())
    assert not slope[:2].any()


def test_failures_are_left_out_even_if_their_values_are_finite() -> None:
    target = Labels(
        energy=torch.tensor([100.0, 1.0]),
        forces=torch.zeros(3, 3),
        source="hand",
        failures={0: "collapsed"},
    )
    prediction = labels([0, 0], [[0.0] * 3] * 3)
    loss = labels_loss(prediction, target, pair(), LossWeights(energy=1.0, forces=1.0))
    assert float(loss) == pytest.approx(1.0)


def test_a_perfect_force_has_a_finite_gradient() -> None:
    error = torch.zeros(2, 3, requires_grad=True)
    l2_mae(error).backward()
    assert error.grad is not None
    assert error.grad.tolist() == [[0.0] * 3] * 2


def test_without_any_label_the_loss_is_zero() -> None:
    nan = float("nan")
    target = labels([nan, nan], [[nan] * 3] * 3)
    prediction = labels([0, 0], [[0.0] * 3] * 3)
    loss = labels_loss(prediction, target, pair(), LossWeights(energy=1.0, forces=1.0))
    assert float(loss) == 0.0
