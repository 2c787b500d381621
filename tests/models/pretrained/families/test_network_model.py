"""The force field that every family's network becomes, with a network of ten lines."""

from typing import Any

import pytest
import torch
from family_checks import broken, check_cutoff, check_trunk, of, with_head
from torch import Tensor, nn

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.graph import Graph
from mlffbench.core.structures import Structures
from mlffbench.models.pretrained.families.network_model import (
    NetworkFacts,
    NetworkForceField,
    Reading,
    summed,
)


class Ten(nn.Module):
    """Counts neighbours by element, smoothly."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Embedding(10, 4)
        self.readout = nn.Linear(4, 1)

    def forward(self, here: Structures, graph: Graph, radius: float) -> Reading:
        lengths = graph.vectors(here).norm(dim=1)
        shares = (1 + torch.cos(lengths / radius * torch.pi)) * torch.exp(-lengths)
        features = self.seen(here.numbers).index_add(
            0, graph.edges[0], shares[:, None] * self.seen(here.numbers[graph.edges[1]])
        )
        return Reading(summed(self.readout(features.tanh())[:, 0], here), features)


def made(**changes: Any) -> NetworkForceField:
    torch.manual_seed(0)
    facts: dict[str, Any] = {
        "elements": frozenset({1, 6, 8}),
        "cutoff": 4.0,
        "trunk": ("seen.",),
        "scopes": ("graph+envelope", "graph"),
    }
    return NetworkForceField(
        "ten",
        Ten(),
        NetworkFacts(**facts | changes),
        ModelCard(periodic=True),
        device=torch.device("cpu"),
        dtype=torch.float64,
    )


def test_it_keeps_every_promise() -> None:
    assert broken(made()) == []
    assert broken(with_head(made())) == []


def test_trunk_and_cutoff() -> None:
    check_trunk(made(), "seen.weight")
    check_cutoff(made())


def test_a_head_of_lone_atoms_and_of_none() -> None:
    model, lone = with_head(made()), of("H", "O", multiplicity=[2, 3])
    for batch in (lone, lone.select([])):
        told = model.predict_prior(batch)
        assert told.energy.isfinite().all()
        assert torch.equal(told.forces, torch.zeros_like(batch.positions))


def test_what_it_cannot_treat() -> None:
    model = made(scopes=("graph",))
    structures = of("NH3", "CH3", "H2O", charge=[0, 1, 0])
    labels = model.predict(structures)
    assert labels.failures == {
        0: "elements not supported: N",
        1: "charge +1 not supported",
    }
    with pytest.raises(ModelError, match="'ten' cannot treat 'NH3': elements not"):
        model.embed(structures)
    with pytest.raises(ModelError, match="no radial envelope that could be moved"):
        model.with_cutoff(3.0, "graph+envelope")
    assert model.predict(of("NH3")).failures == {0: "elements not supported: N"}
    pair = of("H2O", "CH4", multiplicity=[1, 4])
    assert made().predict(pair).failures == {}
    model = made(multiplicity=3)
    assert model.predict(pair).failures == {1: "multiplicity 4 not supported, at most 3"}
    with pytest.raises(ModelError, match="'ten' cannot treat 'CH4': multiplicity 4"):
        model.embed(pair)


class Direct(Ten):
    """The same, with a head for forces."""

    def forward(self, here: Structures, graph: Graph, radius: float) -> Reading:
        reading = super().forward(here, graph, radius)
        self.keeps_a_graph = torch.is_grad_enabled()
        forces: Tensor = torch.ones_like(here.positions) * reading.features[:, :1]
        return reading._replace(forces=forces)


def test_forces_of_a_head_are_taken_as_they_are() -> None:
    facts = NetworkFacts(elements=frozenset({1, 6, 8}), cutoff=4.0, trunk=("seen.",))
    device = torch.device("cpu")
    card = ModelCard(conservative=False)
    network = Direct()
    model = NetworkForceField(
        "direct", network, facts, card, device=device, dtype=torch.float64
    )
    structures = of("H2O")
    expected = model.embed(structures)[:, :1].expand(-1, 3)
    assert torch.equal(model.predict(structures).forces, expected)
    assert not network.keeps_a_graph
    model.labels_graph(structures)
    assert network.keeps_a_graph
