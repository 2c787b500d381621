"""Training on a card: the way of the CPU, mixed precision, torch's own launcher."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import environment
from tiny_training import Silent, tiny_model, tiny_plan, tiny_stages

from mlffbench.training.epochs import all_parameters
from mlffbench.training.materials import Materials
from mlffbench.training.stages import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings(
        # PyTorch Geometric compiles with it when first imported
        "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
    ),
]


def weights(materials: Materials, stem: Path, device: str) -> torch.Tensor:
    model = tiny_model(materials, device=device)
    plan = tiny_plan(materials, tiny_stages("prior-freeze-finetune"))
    watcher = Silent()
    train(model, plan, materials, stem=stem, watcher=watcher)
    assert len(watcher.rows) == 8
    found = [one.detach().cpu().flatten() for one in all_parameters(model).values()]
    return torch.cat(found)


def test_training_on_a_card_goes_the_way_of_the_cpu(
    materials: Materials, tmp_path: Path
) -> None:
    there = weights(materials, tmp_path / "cuda", "cuda")
    here = weights(materials, tmp_path / "cpu", "cpu")
    torch.testing.assert_close(there, here, atol=2e-3, rtol=0)


@pytest.mark.parametrize("amp", ["off", "bf16"])
@pytest.mark.parametrize("network", ["schnet", "gemnet"])
def test_a_training_by_torchrun(network: str, amp: str, tmp_path: Path) -> None:
    words = [
        "train",
        "--suite",
        "mini-ood",
        "--model",
        network,
        "--out",
        f"{tmp_path}/net",
    ]
    words += ["--recipe", "scratch", "--epochs", "1", "--amp", amp, "--device", "cuda"]
    words += ["--batch", "64"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "1", "-m", "mlffbench", *words],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "net.safetensors").exists()
