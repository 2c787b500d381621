import numpy as np
import pytest
import torch

from mlffbench.core.assembly import (
    NOT_FINITE,
    from_outcomes,
    predict_rest,
    refusals,
    require_supported,
    singles,
)
from mlffbench.core.card import ModelCard, elements
from mlffbench.core.errors import ModelError
from mlffbench.core.labels import Labels
from mlffbench.core.single import Computed, Outcome
from mlffbench.core.structures import Structures

SIZES = (2, 1, 3)


@pytest.fixture
def batch() -> Structures:
    """Return HF, a carbon atom, and charged CO2 in a cell."""
    numbers = [[1, 9], [6], [6, 8, 8]]
    return Structures.build(
        [torch.arange(3.0 * n).reshape(n, 3) for n in SIZES],
        [torch.tensor(entry) for entry in numbers],
        ids=["hf", "c", "co2"],
        charge=[0, 0, -1],
        multiplicity=[1, 3, 2],
        cell=torch.stack([torch.zeros(3, 3)] * 2 + [5 * torch.eye(3)]),
        pbc=torch.tensor([[False] * 3] * 2 + [[True, True, False]]),
        smiles=["F[H]", "", "O=C=O"],
    )


def test_singles_are_the_structures(batch: Structures) -> None:
    hf, carbon, co2 = singles(batch)
    assert carbon.positions.shape == (1, 3)
    assert hf.numbers.tolist() == [1, 9]
    assert hf.positions.dtype == np.float64
    assert (carbon.multiplicity, co2.charge, co2.smiles) == (3, -1, "O=C=O")
    assert co2.pbc.tolist() == [True, True, False]
    assert co2.cell.tolist() == (5 * np.eye(3)).tolist()
    joined = np.concatenate([one.positions for one in (hf, carbon, co2)])
    assert torch.equal(torch.from_numpy(joined), batch.positions.double())


def test_outcomes_become_labels_in_place(batch: Structures) -> None:
    outcomes: list[Outcome] = [
        Computed(energy=1.0, forces=np.full((2, 3), 0.1)),
        "no carbon today",
        Computed(energy=3.0, forces=np.full((3, 3), 0.3)),
    ]
    labels = from_outcomes(batch, outcomes, "by hand")
    assert labels.energy[[0, 2]].tolist() == [1.0, 3.0]
    assert labels.failures == {1: "no carbon today"}
    assert (
        torch.isnan(labels.forces).any(1).tolist() == [False] * 2 + [True] + [False] * 3
    )
    assert labels.forces[3:].unique().tolist() == [0.3]


def test_refusals_name_the_reason(batch: Structures) -> None:
    card = ModelCard(elements=elements("H C O"), charges=frozenset({0}))
    assert refusals(batch, card) == {
        0: "elements not supported: F",
        2: "charge -1 not supported",
    }
    any_charge = ModelCard(charges=None)
    assert refusals(batch, any_charge) == {2: "periodic cells not supported"}
    assert not refusals(batch, ModelCard(charges=None, periodic=True))
    with pytest.raises(ModelError, match=r"'x' cannot treat 'hf': .*: F"):
        require_supported(batch, card, "x")


def test_the_rest_is_computed_as_one_batch(batch: Structures) -> None:
    seen: list[tuple[str, ...]] = []

    def compute(structures: Structures) -> Labels:
        seen.append(structures.ids)
        return Labels(
            energy=structures.sizes.double(),
            forces=structures.positions.double(),
            source="sizes",
            failures={1: "too large"},
        )

    labels = predict_rest(batch, {0: "refused"}, compute)
    assert seen == [("c", "co2")]
    assert labels.failures == {0: "refused", 2: "too large"}
    assert labels.energy[1] == 1
    assert torch.equal(labels.forces[2], batch.positions[2].double())
    assert torch.isnan(labels.energy[[0, 2]]).all()
    assert torch.isnan(labels.forces[[0, 1, 3, 4, 5]]).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_number_that_is_none_is_a_failure(batch: Structures, bad: float) -> None:
    def compute(structures: Structures) -> Labels:
        forces = torch.zeros_like(structures.positions)
        forces[4, 1] = bad
        energy = torch.tensor([bad, 0.0, 0.0])
        return Labels(energy=energy, forces=forces, source="broken")

    labels = predict_rest(batch, {}, compute)
    assert labels.failures == {0: NOT_FINITE, 2: NOT_FINITE}
    assert torch.isfinite(labels.energy).tolist() == [False, True, False]
    assert torch.isnan(labels.forces[3:]).all()
    assert torch.isfinite(labels.forces[2]).all()


def test_everything_may_be_refused(batch: Structures) -> None:
    def compute(structures: Structures) -> Labels:
        return Labels(
            energy=torch.zeros(structures.n_systems, dtype=torch.float64),
            forces=torch.zeros_like(structures.positions, dtype=torch.float64),
            source="nothing",
        )

    labels = predict_rest(batch, dict.fromkeys(range(3), "no"), compute)
    assert list(labels.failures) == [0, 1, 2]
    assert torch.isnan(labels.energy).all()
