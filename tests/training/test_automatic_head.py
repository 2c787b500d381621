"""A prior head that a model is given by itself."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import springs, tiny_materials, tiny_model

from mlffbench.core.errors import DataError, ModelError
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.datasets.sets.mini.splits import splits
from mlffbench.models.physics.zero import load as load_zero
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.refine.prior_level import HasHeldOutLevels
from mlffbench.refine.refiner import Training
from mlffbench.training.attached import AttachedPriorHead
from mlffbench.training.automatic_head import HeadSettings, sample_of, with_prior_head

pytestmark = pytest.mark.filterwarnings(
    # PyTorch Geometric compiles with it when first imported
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)
SETTINGS = HeadSettings(n_structures=24, least=20, epochs=3, learning_rate=5e-3)


class Springs:
    """A cheap prior that counts what it is asked."""

    name, version = "springs", "1"
    elements = frozenset({1, 6, 7, 8})

    def __init__(self) -> None:
        self.n_asked = 0

    def predict(self, structures: Structures) -> Labels:
        self.n_asked += structures.n_systems
        return springs(structures)


class Counting:
    def __init__(self) -> None:
        self.seen: dict[str, list[int]] = {}

    def begin(self, title: str, n_structures: int) -> None:
        self.seen[title] = [n_structures, 0]

    def advance(self, n_structures: int) -> None:
        list(self.seen.values())[-1][1] += n_structures


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def model() -> TwoHeaded:
    return tiny_model(tiny_materials())


def geometries(n_structures: int) -> Training:
    [train] = [split for split in splits() if split.role == "train"]
    rows = train.rows[:: max(1, len(train.rows) // n_structures)][:n_structures]
    chosen = replace(train, rows=rows)
    return Training(
        name="tiny/train", sha256=chosen.sha256, read=lambda: chosen.structures
    )


def attach(
    model: TwoHeaded, prior: Springs, settings: HeadSettings = SETTINGS
) -> tuple[AttachedPriorHead, Counting]:
    progress = Counting()
    head = with_prior_head(
        model,
        base="tiny",
        training=geometries(40),
        prior=prior,
        progress=progress,
        settings=settings,
    )
    return head, progress


def test_a_head_is_fitted_once_and_found_again(model: TwoHeaded) -> None:
    prior = Springs()
    head, progress = attach(model, prior)
    assert prior.n_asked == 24
    assert all(done == planned for planned, done in progress.seen.values())
    assert len(progress.seen) == 2
    again, silence = attach(model, prior)
    assert silence.seen == {}
    assert prior.n_asked == 24
    structures = geometries(8).read()
    one, other = (each.predict_prior(structures).forces for each in (head, again))
    assert torch.equal(one, other)
    assert head.weights_sha256 == again.weights_sha256
    forces = model.predict(structures).forces
    assert torch.equal(head.predict(structures).forces, forces)


def test_it_says_what_it_was_fitted_to(model: TwoHeaded) -> None:
    head, _ = attach(model, Springs())
    assert "springs forces" in head.head_origin
    assert "tiny/train" in head.head_origin
    history = head.history
    assert history["n_fitted"] + history["n_held_out"] == 24  # type: ignore[operator]
    assert isinstance(head, HasHeldOutLevels)
    assert len(head.held_out_levels) >= 3
    assert all(0 < one < 99 for pair in head.held_out_levels.values() for one in pair)


@pytest.mark.parametrize("seed", [1, 2])
def test_other_settings_are_another_head(model: TwoHeaded, seed: int) -> None:
    prior = Springs()
    one, _ = attach(model, prior)
    other, progress = attach(model, prior, replace(SETTINGS, seed=seed))
    assert progress.seen
    assert one.weights_sha256 != other.weights_sha256


def test_other_weights_are_another_head(model: TwoHeaded) -> None:
    prior = Springs()
    one, _ = attach(model, prior)
    other, progress = attach(tiny_model(tiny_materials(), seed=1), prior)
    assert progress.seen
    assert one.weights_sha256 != other.weights_sha256


def test_what_is_held_out_shares_no_molecule(model: TwoHeaded) -> None:
    sample = sample_of(geometries(80).read(), springs, SETTINGS)
    fitted, held = (
        set(part.structures.group) for part in (sample.fitted, sample.held_out)
    )
    assert fitted
    assert held
    assert not fitted & held
    assert len(fitted) + len(held) == 24  # as many molecules as there can be


@pytest.mark.parametrize("n_structures", [0, 7])
def test_too_few_geometries_say_how_many_are_needed(n_structures: int) -> None:
    structures = geometries(10).read().select(range(n_structures))
    with pytest.raises(DataError, match=rf"at least 20 .* there are {n_structures};"):
        sample_of(structures, springs, SETTINGS)


def test_a_model_without_features_is_told_so() -> None:
    with pytest.raises(ModelError, match="no network with per-atom features"):
        with_prior_head(
            load_zero(ModelOptions()),
            base="zero",
            training=geometries(40),
            prior=Springs(),
            progress=Counting(),
        )
