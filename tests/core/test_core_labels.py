import pytest
import torch

from mlffbench.core.errors import DataError
from mlffbench.core.labels import Labels


def labels(n_systems, n_atoms, **more):
    return Labels(
        energy=torch.arange(float(n_systems)),
        forces=torch.full((n_atoms, 3), float(n_atoms)),
        source="GFN2-xTB",
        **more,
    )


def test_concatenate_keeps_order_and_renumbers_failures():
    together = Labels.concatenate(
        [
            labels(2, 5, failures={1: "SCF did not converge"}),
            labels(1, 3),
            labels(2, 4, failures={0: "no parameters"}),
        ]
    )
    assert together.energy.tolist() == [0, 1, 0, 0, 1]
    assert together.forces[:, 0].tolist() == [5] * 5 + [3] * 3 + [4] * 4
    assert together.failures == {1: "SCF did not converge", 3: "no parameters"}
    assert together.source == "GFN2-xTB"


def test_concatenate_keeps_the_autograd_graph():
    energy = torch.zeros(1, requires_grad=True)
    one = Labels(energy=energy * 2, forces=torch.zeros(1, 3), source="model")
    Labels.concatenate([one, labels(1, 1)]).energy.sum().backward()
    assert energy.grad.tolist() == [2.0]


def test_concatenate_needs_something():
    with pytest.raises(DataError, match="nothing to concatenate"):
        Labels.concatenate([])


@pytest.mark.parametrize("shape", [(), (2, 1)])
def test_energies_have_one_dimension(shape):
    with pytest.raises(DataError, match=r"Labels.energy has shape .*not \(n_systems,\)"):
        Labels(energy=torch.zeros(shape), forces=torch.zeros(4, 3), source="")


@pytest.mark.parametrize("shape", [(3,), (4, 2), (1, 4, 3)])
def test_forces_have_three_components(shape):
    with pytest.raises(DataError, match=r"Labels.forces has shape .*not \(n_atoms, 3\)"):
        Labels(energy=torch.zeros(2), forces=torch.zeros(shape), source="")
