"""Which refinements get a prior head, and what is said where there can be none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule

from mlffbench.core.errors import CapabilityError, DataError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.physics.zero import load as load_zero
from mlffbench.models.twoheaded.architecture import Architecture
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.refine.baseline import Baseline
from mlffbench.refine.composed import TunedRadius
from mlffbench.refine.prior_head import has_prior_head
from mlffbench.refine.radius.radius import RadiusRefinement
from mlffbench.refine.refiner import Refiner, Training
from mlffbench.refine.ttt import PriorTuning
from mlffbench.run.prior_heads import subject_of

pytest.importorskip("torch_geometric")
pytest.importorskip("rdkit")
pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)


class Counting:
    def __init__(self) -> None:
        self.titles: list[str] = []

    def begin(self, title: str, n_structures: int) -> None:
        self.titles.append(title)

    def advance(self, n_structures: int) -> None: ...


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))


def scratch() -> TwoHeaded:
    """Return a network whose prior head was never trained."""
    architecture = Architecture.model_validate(
        {
            "network": "schnet",
            "elements": (1, 6, 8),
            "cutoff": 3.5,
            "schnet": {"hidden": 8, "filters": 8, "blocks": 2, "gaussians": 6},
        }
    )
    zeros = {"prior": {}, "ref": {}}
    model = TwoHeaded.build(
        architecture, atomic_energies=zeros, scale={"prior": 1.0, "ref": 1.0}, seed=0
    )
    model.history = {"trained_heads": ["ref"]}
    return model


def training(n_structures: int) -> Training:
    rng = np.random.default_rng(0)
    names = ["H2O", "CH4", "CH3OH", "C2H6", "H2CO", "C2H4"]
    atoms = [molecule(names[i % len(names)]) for i in range(n_structures)]
    structures = Structures.build(
        [
            torch.tensor(a.positions + rng.normal(0, 0.04, a.positions.shape))
            for a in atoms
        ],
        [torch.tensor(a.numbers) for a in atoms],
        ids=[f"s{i}" for i in range(n_structures)],
        group=[names[i % len(names)] for i in range(n_structures)],
    )
    return Training(name="toy/train", sha256="0" * 64, read=lambda: structures)


def subject(refiner: Refiner, model: ForceField, n: int = 42) -> ForceField:
    return subject_of(refiner, model, training(n), base="mine", progress=Counting())


def test_a_refinement_that_follows_a_prior_gets_a_head() -> None:
    model, progress = scratch(), Counting()
    refiner = PriorTuning(prior="uff", steps=2)
    given = subject_of(refiner, model, training(42), base="mine", progress=progress)
    assert has_prior_head(given)
    assert not has_prior_head(model)
    assert len(progress.titles) == 2
    refiner.check(given)
    assert "toy/train" in str(refiner.settings(given)["prior_head"])
    again = Counting()
    subject_of(
        RadiusRefinement(prior="uff"), model, training(42), base="m", progress=again
    )
    assert again.titles == []  # found in the cache, by another mode too


@pytest.mark.parametrize(
    "refiner", [Baseline(), RadiusRefinement(criterion="quantile")], ids=["none", "rr"]
)
def test_another_refinement_is_shown_the_model_itself(refiner: Refiner) -> None:
    model = scratch()
    assert subject(refiner, model) is model


@pytest.mark.parametrize("refiner", [PriorTuning(), TunedRadius()], ids=["ttt", "both"])
def test_a_model_that_can_have_no_head_is_told_so(refiner: Refiner) -> None:
    zero = load_zero(ModelOptions())
    with pytest.raises(CapabilityError, match=r"mode .* needs a prior head, and model"):
        subject(refiner, zero)


def test_too_few_training_geometries() -> None:
    n_few = 12
    with pytest.raises(DataError, match=rf"at least 40 .* there are {n_few};"):
        subject(PriorTuning(prior="uff"), scratch(), n_few)
    refiner = RadiusRefinement(prior="uff")
    model = scratch()
    assert subject(refiner, model, n_few) is model
    assert "at least 40" in refiner.no_head_because
    assert refiner.settings(model)["prior_head"] == refiner.no_head_because
