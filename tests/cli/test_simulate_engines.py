"""``simulate --engine``: who moves, and who computes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlffbench.cli.shared import helpers
from mlffbench.cli.shared.helpers import check_helped
from mlffbench.cli.shared.options import EngineKind
from mlffbench.cli.simulate import Engine, HelpedMotion
from mlffbench.core.errors import SuiteError
from mlffbench.run.folder import RunFolder


@pytest.mark.parametrize(
    ("named", "mover", "kind"),
    [
        ([], "batched", "local"),
        (["ase"], "ase", "local"),
        (["ray"], "batched", "ray"),
        (["slurm", "ase"], "ase", "slurm"),
    ],
)
def test_an_engine_says_who_moves_or_who_computes(
    named: list[str], mover: str, kind: str
) -> None:
    asked = HelpedMotion(engine=[Engine(name) for name in named])
    assert (asked.mover, asked.helped.engine) == (mover, EngineKind(kind))


def test_two_of_a_kind_exclude_each_other() -> None:
    with pytest.raises(SuiteError, match="--engine slurm and --engine ray exclude"):
        _ = HelpedMotion(engine=[Engine.slurm, Engine.ray]).helped
    with pytest.raises(SuiteError, match="--engine batched and --engine ase exclude"):
        _ = HelpedMotion(engine=[Engine.batched, Engine.ase]).mover


def test_what_prints_the_tables_of_an_array_keeps_who_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed = ["simulate", "--engine", "slurm", "--engine=ase", "--workers", "2"]
    monkeypatch.setattr(
        "sys.argv", ["mlffbench", *typed, "--slurm=time=1", "--seed", "1"]
    )
    assert helpers._plainly() == "mlffbench simulate --engine ase --seed 1"


@pytest.mark.parametrize("deep", ["m/ttt", "m/ttt/dynamics/quick", "m/finetune-curve"])
def test_the_script_of_an_array_lies_in_the_folder_of_the_suite(deep: str) -> None:
    out = Path("some/runs")
    campaign: Any = SimpleNamespace(
        jobs=[None],
        request=SimpleNamespace(out=out),
        folder=lambda job: RunFolder(out / "mini-ood" / deep),
    )
    assert helpers.suite_path(campaign) == out / "mini-ood"


def test_options_of_one_engine_are_refused_with_another() -> None:
    with pytest.raises(SuiteError, match="--address is for --engine ray, not local"):
        check_helped(HelpedMotion(address="head:6379").helped)
    with pytest.raises(SuiteError, match="--slurm is for --engine slurm, not ray"):
        check_helped(HelpedMotion(engine=[Engine.ray], slurm=["time=1"]).helped)
