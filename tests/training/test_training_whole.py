"""Whole trainings on ten structures: recipes, freezing, stopping, resuming."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from processes import python
from tiny_training import Silent, few_splits, springs, tiny_model, tiny_plan, tiny_stages

from mlffbench.core.errors import BenchError, DataError, StoreError
from mlffbench.core.split import Split
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.training.epochs import StageRun, all_parameters
from mlffbench.training.materials import Materials, gather
from mlffbench.training.stages import train, training_lock
from mlffbench.training.training_plan import RecipeName, StagePlan
from mlffbench.training.training_state import state_path

pytestmark = pytest.mark.filterwarnings(
    # PyTorch Geometric compiles with it when first imported
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)


def checksum(model: TwoHeaded) -> str:
    digest = hashlib.sha256()
    for name, parameter in sorted(all_parameters(model).items()):
        digest.update(name.encode() + parameter.detach().numpy().tobytes())
    return digest.hexdigest()


def run(
    materials: Materials,
    stages: tuple[StagePlan, ...],
    stem: Path,
    watcher: Silent | None = None,
) -> TwoHeaded:
    model = tiny_model(materials)
    plan = tiny_plan(materials, stages)
    train(model, plan, materials, stem=stem, watcher=watcher or Silent())
    return model


@pytest.mark.parametrize("recipe", ["scratch", "joint", "prior-freeze-finetune"])
def test_a_recipe_lowers_the_loss(
    materials: Materials, recipe: RecipeName, tmp_path: Path
) -> None:
    watcher = Silent()
    run(materials, tiny_stages(recipe), tmp_path / "m", watcher)
    for stage in {row["stage"] for row in watcher.rows}:
        losses = [row["loss"] for row in watcher.rows if row["stage"] == stage]
        assert losses[-1] < losses[0]
    lines = (tmp_path / "m.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + len(watcher.rows)
    assert "id_molecules forces MAE meV/Å" in lines[0]
    assert "ood_elements forces MAE meV/Å" in lines[0]


def test_batches_that_are_accumulated_are_one_larger_batch(materials: Materials) -> None:
    """Of molecules of one size, whose means weigh the same."""
    train = materials.train
    sizes = train.structures.sizes
    alike = (sizes == sizes.mode().values).nonzero().flatten().tolist()[:5]
    assert len(alike) > 1
    found = []
    for batch, together in ((len(alike), 1), (1, len(alike)), (1, 1)):
        model = tiny_model(materials)
        (plan,) = tiny_stages("scratch", batch=batch, accumulate=together)
        examples = train.select(alike).to(device=torch.device("cpu"), dtype=torch.float32)
        stage = StageRun(model, plan, examples=examples, checks=[], seed=0)
        loss = stage._train_epoch()
        found.append((loss, torch.cat([v.flatten() for v in model.state().values()])))
    (whole, weights), (parts, same), (_, steps) = found
    assert parts == pytest.approx(whole, rel=1e-5)
    torch.testing.assert_close(weights, same, atol=1e-6, rtol=0)
    assert float((weights - steps).abs().max()) > 1e-4  # a step for each moves further
    plans = [tiny_plan(materials, tiny_stages("scratch", accumulate=n)) for n in (1, 2)]
    assert plans[0].fingerprint() != plans[1].fingerprint()


class Diary(Silent):
    """Keeps a copy of all weights whenever a stage begins."""

    def __init__(self, model: TwoHeaded) -> None:
        super().__init__()
        self._model = model
        self.begun: list[dict[str, torch.Tensor]] = []

    def begin(self, stage: StagePlan, n_done: int) -> None:
        super().begin(stage, n_done)
        self.begun.append({k: v.clone() for k, v in self._model.state().items()})


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {
        name.partition(".")[0]
        for name in before
        if not torch.equal(before[name], after[name])
    }


def test_each_stage_moves_its_own_parameters_only(
    materials: Materials, tmp_path: Path
) -> None:
    model = tiny_model(materials)
    first = {name: value.clone() for name, value in model.state().items()}
    diary = Diary(model)
    plan = tiny_plan(materials, tiny_stages("prior-freeze-finetune", weight_decay=0.1))
    train(model, plan, materials, stem=tmp_path / "m", watcher=diary)
    _, second = diary.begun
    # the reference head starts the second stage with the prior head's weights
    assert moved(first, second) == {"shared", "prior", "ref"}
    for name in model.parameters_of("ref"):
        assert torch.equal(second[f"ref.{name}"], second[f"prior.{name}"])
    assert moved(second, model.state()) == {"ref"}


def test_scratch_leaves_the_prior_head_alone(
    materials: Materials, tmp_path: Path
) -> None:
    before = tiny_model(materials).state()
    after = run(materials, tiny_stages("scratch"), tmp_path / "m").state()
    assert moved(before, after) == {"shared", "ref"}


class EndedError(Exception):
    """Stands for whatever ends a process."""


class Interrupter(Silent):
    """Raises after some epochs."""

    def __init__(self, n_epochs: int) -> None:
        super().__init__()
        self._left = n_epochs

    def epoch(self, row: dict[str, object]) -> None:
        self._left -= 1
        if self._left == 0:
            raise EndedError


def test_interrupted_twice_ends_in_the_same_weights(
    materials: Materials, tmp_path: Path
) -> None:
    stages = tiny_stages("prior-freeze-finetune")
    undisturbed = run(materials, stages, tmp_path / "a")
    for n_epochs in (3, 3):  # in the first stage, then in the second
        with pytest.raises(EndedError):
            run(materials, stages, tmp_path / "b", Interrupter(n_epochs))
    resumed = run(materials, stages, tmp_path / "b")
    assert checksum(resumed) == checksum(undisturbed)
    one, other = ((tmp_path / f"{n}.csv").read_text("utf-8") for n in "ab")
    assert [line.split(",")[:4] for line in one.splitlines()] == [
        line.split(",")[:4] for line in other.splitlines()
    ]


def test_killed_ends_in_the_same_weights(materials: Materials, tmp_path: Path) -> None:
    stages = tiny_stages("prior-freeze-finetune")
    undisturbed = run(materials, stages, tmp_path / "a")
    script = Path(__file__).with_name("tiny_training.py")
    killed = python(str(script), str(tmp_path / "b"), "2")
    assert killed.returncode == -9
    assert state_path(tmp_path / "b").exists()
    watcher = Silent()
    resumed = run(materials, stages, tmp_path / "b", watcher)
    assert [row["epoch"] for row in watcher.rows[:2]] == [3, 4]
    assert checksum(resumed) == checksum(undisturbed)


def test_a_state_of_other_settings_is_refused(
    materials: Materials, tmp_path: Path
) -> None:
    with pytest.raises(EndedError):
        run(materials, tiny_stages("scratch"), tmp_path / "m", Interrupter(1))
    with pytest.raises(StoreError, match="other settings"):
        run(materials, tiny_stages("scratch", clip=5.0), tmp_path / "m")


def test_a_broken_state_is_refused(materials: Materials, tmp_path: Path) -> None:
    state_path(tmp_path / "m").write_bytes(b"not a state")
    with pytest.raises(StoreError, match="is broken"):
        run(materials, tiny_stages("scratch"), tmp_path / "m")


def test_a_second_training_of_the_same_checkpoint_is_refused(tmp_path: Path) -> None:
    stem = tmp_path / "m"
    with (
        training_lock(stem),
        pytest.raises(StoreError, match="another mlffbench"),
        training_lock(stem),
    ):
        pass


def test_a_stage_stops_early_and_keeps_its_best_weights(
    materials: Materials, tmp_path: Path
) -> None:
    # a rate that ruins the network at once: the first epoch stays the best
    stages = tiny_stages(
        "scratch", patience=1, schedule="constant", warmup_epochs=0, average=0.0
    )
    ruinous = tuple(
        stage.model_copy(update={"learning_rate": 3.0, "epochs": 50}) for stage in stages
    )
    watcher = Silent()
    model = run(materials, ruinous, tmp_path / "m", watcher)
    assert len(watcher.rows) < 50
    best = min(row["id_molecules"] for row in watcher.rows)
    [check] = [one for one in materials.validation if one.decides]
    forces = model.predict(check.examples.structures.to(dtype=torch.float32)).forces
    error = (forces - check.examples.labels["ref"].forces).abs().mean()
    assert float(error) == pytest.approx(best, rel=1e-4)


def test_an_infinite_loss_is_told(materials: Materials, tmp_path: Path) -> None:
    stages = tiny_stages("scratch", schedule="constant", warmup_epochs=0)
    hopeless = (stages[0].model_copy(update={"learning_rate": 1e30}),)
    with pytest.raises(BenchError, match="smaller learning rate"):
        run(materials, hopeless, tmp_path / "m")


def test_the_same_seed_gives_the_same_weights(
    materials: Materials, tmp_path: Path
) -> None:
    stages = tiny_stages("joint")
    one, other = (run(materials, stages, tmp_path / name) for name in "ab")
    assert checksum(one) == checksum(other)


def test_prior_only_geometries_are_used_with_the_prior_only(
    materials: Materials,
) -> None:
    prior, ref = tiny_stages("prior-freeze-finetune")
    assert materials.further is not None
    n_train, n_further = materials.train.n_structures, materials.further.n_structures
    assert materials.for_stage(prior).n_structures == n_train + n_further
    assert materials.for_stage(ref).n_structures == n_train


def test_what_is_tested_cannot_be_a_further_geometry() -> None:
    splits = few_splits()
    [tested] = [split for split in splits if split.role == "ood_val"]
    with pytest.raises(DataError, match="leave"):
        gather(splits, further=[tested.structures], labeller=springs, seed=0)


def test_without_id_val_a_tenth_of_training_is_held_out() -> None:
    splits: list[Split] = [split for split in few_splits() if split.role != "id_val"]
    [train_split] = [split for split in splits if split.role == "train"]
    found = gather(splits, labeller=None, seed=0)
    [held] = [one for one in found.validation if one.decides]
    assert held.name == "held_out"
    n_held = held.examples.n_structures
    assert n_held + found.train.n_structures == len(train_split.rows)
    assert not set(held.examples.structures.ids) & set(found.train.structures.ids)


def test_a_suite_too_small_to_validate_is_refused() -> None:
    [train_split] = [split for split in few_splits() if split.role == "train"]
    tiny = replace(train_split, rows=train_split.rows[:3])
    with pytest.raises(DataError, match="too few to validate"):
        gather([tiny], labeller=None, seed=0)
