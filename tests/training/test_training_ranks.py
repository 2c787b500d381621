"""Several processes train one network: the same weights, and one sentence at the end."""

import socket
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import typer
from processes import Started, environment
from tiny_training import Silent, tiny_model, tiny_plan, tiny_stages

from mlffbench.cli.train import _told_once
from mlffbench.core.errors import BenchError
from mlffbench.training.epochs import all_parameters
from mlffbench.training.materials import Materials
from mlffbench.training.project import Order, check_amp
from mlffbench.training.ranks import ALONE, Ranks, launched_ranks
from mlffbench.training.stages import train
from mlffbench.training.training_plan import TrainingPlan
from mlffbench.training.training_state import read_state

pytestmark = pytest.mark.filterwarnings(
    # PyTorch Geometric compiles with it when first imported
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)


def launcher(number: int, count: int, port: int) -> dict[str, str]:
    """Return what torch's launcher tells a process."""
    told = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": count}
    words = {name: str(value) for name, value in told.items()}
    return {**words, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def weights(materials: Materials, plan: TrainingPlan, stem: Path) -> torch.Tensor:
    model = tiny_model(materials)
    train(model, plan, materials, stem=stem, watcher=Silent())
    return torch.cat([one.detach().flatten() for one in all_parameters(model).values()])


@pytest.mark.slow
def test_two_ranks_go_the_way_of_one_and_end_when_one_dies(
    materials: Materials, tmp_path: Path
) -> None:
    port, script = free_port(), Path(__file__).with_name("tiny_training.py")
    words = (str(script), str(tmp_path / "two"), "3")
    env = environment()
    ranks = [Started(*words, env={**env, **launcher(n, 2, port)}) for n in range(2)]
    first, second = [one.wait() for one in ranks]
    assert (first.returncode, second.returncode) == (1, -9)
    assert "another process of this training has ended; repeat" in first.stderr
    plan = tiny_plan(materials, tiny_stages("prior-freeze-finetune", accumulate=2))
    state = read_state(tmp_path / "two")
    assert state is not None
    assert state.fingerprint == plan.fingerprint()  # one process can go on
    assert len(state.numbers["rows"]) >= 3
    whole = weights(materials, plan, tmp_path / "one")
    # three epochs by two, the rest by one
    resumed = weights(materials, plan, tmp_path / "two")
    torch.testing.assert_close(resumed, whole, atol=1e-5, rtol=0)


def test_a_rank_alone_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with launched_ranks("cpu") as ranks:
        assert ranks is ALONE
    for name, value in launcher(0, 1, 1).items():
        monkeypatch.setenv(name, value)
    with launched_ranks("cpu") as ranks:
        assert ranks is ALONE
    assert ALONE.total(1.0, 2.0) == [1.0, 2.0]
    assert [n for n in range(6) if Ranks(1, 3).shares(n)] == [1, 4]


def test_what_cannot_be_launched_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in launcher(64, 65, 1).items():
        monkeypatch.setenv(name, value)
    told = "process 65 of this machine has no GPU of its own: torch finds"
    with pytest.raises(BenchError, match=told), launched_ranks("cuda"):
        pass
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(BenchError, match="WORLD_SIZE='many' is no number"):
        launched_ranks("cpu").__enter__()


class Store:
    """Counts and keeps words, as the store of torch does."""

    def __init__(self) -> None:
        self.told = 0
        self.words: dict[str, bytes] = {}

    def set(self, name: str, word: str) -> None:
        self.words[name] = word.encode()

    def get(self, name: str) -> bytes:
        return self.words[name]

    def wait(self, names: list[str], patience: timedelta) -> None:
        assert self.words.keys() >= set(names)
        assert patience > timedelta(days=1)

    def add(self, name: str, number: int) -> int:
        assert name == "told"
        self.told += number
        return self.told


def test_only_one_rank_says_why_all_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logging.disable", lambda level: None)
    store = Store()
    with pytest.raises(BenchError, match="too large"), _told_once(Ranks(1, 2, store)):
        raise BenchError("too large")
    with pytest.raises(typer.Exit), _told_once(Ranks(0, 2, store)):
        raise BenchError("another process has ended")


def test_ranks_that_would_train_otherwise_end(capsys: pytest.CaptureFixture[str]) -> None:
    store = Store()
    Ranks(0, 2, store).check_alike("begun", "epoch 3")
    Ranks(1, 2, store).check_alike("begun", "epoch 3")
    with pytest.raises(BenchError, match="read other files or were started with other"):
        Ranks(1, 2, store).check_alike("begun", "epoch 0")
    with pytest.raises(typer.Exit), _told_once(Ranks(0, 2, store)):
        raise KeyboardInterrupt
    assert "the same torchrun command goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"dtype": "float64"}, "weights are float64, whose precision"),
        ({"recipe": "attach-prior-head"}, "a prior head is small"),
        ({"model": "mace"}, "e3nn, which mace is made of"),
    ],
)
def test_mixed_precision_is_refused_where_it_makes_no_sense(
    values: dict[str, str], told: str
) -> None:
    asked = {"suite": "tiny", "model": "schnet", "recipe": "joint", "amp": "bf16"}
    order = Order(**{**asked, **values}, epochs=1, prior_epochs=1)  # type: ignore[arg-type]
    with pytest.raises(BenchError, match=told) as caught:
        check_amp(order)
    assert str(caught.value).startswith("--amp bf16 makes no sense here")
    check_amp(Order(**asked, epochs=1, prior_epochs=1))  # type: ignore[arg-type]


def test_mixed_precision_trains_otherwise_and_is_known(
    materials: Materials, tmp_path: Path
) -> None:
    plain = tiny_plan(materials, tiny_stages("scratch"))
    assert "amp" in plain.model_dump()
    mixed = TrainingPlan(**{**plain.model_dump(), "amp": "bf16"})
    assert mixed.fingerprint() != plain.fingerprint()
    found = [weights(materials, p, tmp_path / p.amp) for p in (plain, mixed)]
    assert found[0].dtype == found[1].dtype == torch.float32
    apart = float((found[0] - found[1]).abs().max())
    assert 1e-6 < apart < 0.1
