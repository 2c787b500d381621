"""A batch is worth what its structures are worth alone, or the run says so."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from mlffbench.core.card import elements
from mlffbench.core.errors import ModelError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.run.evaluate.batch_check import check_batches, retry_alone
from mlffbench.run.evaluate.run_checks import N_STRUCTURES
from mlffbench.run.evaluate.state_check import blind_spots
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve


def three() -> Structures:
    return Structures.build(
        [torch.zeros((1, 3), dtype=torch.float64)] * 3,
        [torch.tensor([1])] * 3,
        ids=["a", "b", "c"],
        charge=[0, -1, 0],
        multiplicity=[2, 1, 2],
    )


@dataclass
class Mixing:
    """The energy is that of the number of structures in the batch."""

    share: float = 1.0
    name: str = "mixing"
    elements: frozenset[int] = elements("H C N O")
    asked: list[int] = field(default_factory=list)

    def predict(self, structures: Structures) -> Labels:
        self.asked.append(structures.n_systems)
        energy = torch.full((structures.n_systems,), self.share * structures.n_systems)
        forces = torch.zeros_like(structures.positions)
        return Labels(energy=energy.double(), forces=forces, source="mixing")


def test_a_model_that_mixes_is_refused() -> None:
    with pytest.raises(ModelError, match="'c' gets another result in the run than alone"):
        check_batches(Mixing().predict, three(), Mixing().predict(three()))


def test_roundings_are_none() -> None:
    model = Mixing(share=1e-6)
    found = check_batches(model.predict, three(), model.predict(three()))
    assert found["structures"] == ["a", "b", "c"]
    assert found["energy_ev"] == pytest.approx(2e-6)


def test_a_nan_is_retried_alone_and_a_reason_is_not() -> None:
    nan = torch.nan
    forces = torch.zeros((3, 3))
    labels = Labels(
        energy=torch.tensor([nan, nan, 1.0]),
        forces=forces,
        source="x",
        failures={1: "SCF"},
    )
    model = Mixing()
    found = retry_alone(model.predict, three(), labels)
    assert model.asked == [1]
    assert found.energy[0] == found.energy[2] == 1
    assert found.energy[1].isnan()
    assert found.failures == {1: "SCF"}


def test_a_structure_that_fails_alone_too_says_why() -> None:
    def refuse(structures: Structures) -> Labels:
        nan = torch.full((structures.n_systems,), torch.nan)
        forces = torch.zeros_like(structures.positions)
        return Labels(energy=nan, forces=forces, source="x", failures={0: "too hot"})

    labels = Labels(
        energy=torch.tensor([0.0, torch.nan, 0.0]), forces=torch.zeros((3, 3)), source="x"
    )
    assert retry_alone(refuse, three(), labels).failures == {1: "too hot"}


def test_a_blind_model_is_named() -> None:
    def by_charge(structures: Structures) -> Labels:
        forces = torch.zeros_like(structures.positions)
        return Labels(energy=structures.charge.double(), forces=forces, source="x")

    blind = blind_spots(Mixing().predict, "mixing", three())
    assert [text.split(":")[0] for text in blind] == [
        "mixing does not see charge",
        "mixing does not see spin",
    ]
    (only,) = blind_spots(by_charge, "half", three())
    assert only.startswith("half does not see spin")


def test_a_run_holds_what_was_checked(suite_file: Path, tmp_path: Path) -> None:
    campaign = resolve(Request(suite=str(suite_file), out=tmp_path / "runs"))
    done = run_campaign(campaign)
    assert done.faults == []
    manifest = json.loads((done.folders[0].path / "run.json").read_text())
    batches = manifest["checks"]["batches"]
    assert 0 < len(batches["structures"]) <= N_STRUCTURES
    assert batches["energy_ev"] < 1e-4
