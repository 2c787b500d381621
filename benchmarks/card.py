"""What a GPU makes of runs: how much of its time they use, and which batch suits it.

Shaken butanes, each model in float32, in this process, after import and a warm-up:

- ``batches``: structures per second and peak memory of a bare loop in batches of so many
  atoms, made on the CPU, predicted on the card, fetched at the end;
- ``bare``: that loop with the batches of the run;
- ``run``: `mlffbench run --mode baseline --no-diagnose` without its command line: plan,
  read, predict, store, merge, check; neither scores nor a report;
- ``busy``: seconds in which a kernel ran in the bare loop, over all of it and of the run;
- at last, seconds of the same command in modes baseline and ttt on mini-ood, of so many
  structures a split, the second time: labels of the prior are cached by then.

Usage: python benchmarks/card.py [STRUCTURES] [LIMIT] [DEVICE] [MODELS]
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from scale import SUITE, write
from torch.profiler import ProfilerActivity, profile
from usage import tell_usage

from mlffbench.core.forcefield import ForceField
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve

SIZES = (500, 2_000, 5_000, 20_000, 50_000, 100_000)
SIZE = 20_000
"""Atoms of a batch as a run on a card has them."""
N_CONFORMERS, N_ATOMS = 200, 14


def main() -> None:
    words = sys.argv[1:]
    n_structures = int(words[0]) if words else 40_000
    limit = int(words[1]) if len(words) > 1 else 24
    device = words[2] if len(words) > 2 else "cuda"
    models = words[3].split(",") if len(words) > 3 else ["mini-mace", "mace-spice"]
    torch.set_num_threads(1)
    told = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{told}, torch {torch.__version__}, {n_structures} butanes", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "train.hdf5", "C2H6", 2)
        write(folder / "test.hdf5", "trans-butane", max(1, n_structures // N_CONFORMERS))
        (folder / "suite.yaml").write_text(SUITE)
        for model in models:
            measure(model, folder, device)
        for model in models:
            adapted(model, folder, device, limit)


def measure(name: str, folder: Path, device: str) -> None:
    """Print how fast a model is in batches of many sizes, and what a run adds."""
    asked: dict[str, Any] = {"models": (name,), "modes": ("baseline",), "device": device}
    campaign = resolve(Request(**asked, suite=str(folder / "suite.yaml"), out=folder))
    [job] = campaign.jobs
    model = load_model(name, ModelOptions(device=device))
    plan, reader = campaign.kind.work(job, model).read()
    batches = [
        reader.structures(shard.region).select(batch.tolist())
        for shard in plan.shards
        for batch in shard.batches
    ]
    whole = Structures.concatenate(batches[-min(len(batches), 1 + 100_000 // SIZE) :])
    bare(model, batches[-2:], device)
    print(f"{name}: atoms a batch, structures per second, peak GB")
    for size in SIZES:
        n_each = min(max(1, size // N_ATOMS), whole.n_systems)
        cuts = range(0, max(1, min(whole.n_systems, 60 * n_each) - n_each + 1), n_each)
        cut = [whole.select(range(first, first + n_each)) for first in cuts]
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds = bare(model, cut, device)
        n = sum(one.n_systems for one in cut)
        peak = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0
        print(f"{size:10,d} {n / seconds:10.0f} {peak:8.2f}", flush=True)
    n = sum(one.n_systems for one in batches)
    alone = min(bare(model, batches, device) for _ in range(2))
    start = time.perf_counter()
    done = run_campaign(campaign)
    spent = time.perf_counter() - start
    assert not done.faults, done.faults
    busy = kernels(model, batches, device)
    print(
        f"{name}: {n} structures in batches of {job.batch_atoms} atoms: "
        f"run {spent:.2f} s ({n / spent:.0f}/s), bare {alone:.2f} s ({n / alone:.0f}/s), "
        f"run / bare = {spent / alone:.2f}; kernels {busy:.2f} s: busy "
        f"{busy / alone:.0%} of bare, {busy / spent:.0%} of run",
        flush=True,
    )


def bare(model: ForceField, batches: list[Structures], device: str) -> float:
    """Return the seconds of predicting batches that lie in the memory of the CPU."""
    start = time.perf_counter()
    found = [model.predict(one.to(device=device, dtype=torch.float32)) for one in batches]
    fetched = torch.cat([one.forces for one in found]).cpu()
    assert bool(torch.isfinite(fetched).all())
    return time.perf_counter() - start


def kernels(model: ForceField, batches: list[Structures], device: str) -> float:
    """Return the seconds in which kernels ran, of the first few batches for all."""
    if device != "cuda":
        return float("nan")
    few = batches[-5:]
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        bare(model, few, device)
    spent_us = sum(one.self_device_time_total for one in found.key_averages())
    share = sum(one.n_atoms for one in few) / sum(one.n_atoms for one in batches)
    return spent_us / 1e6 / share


def adapted(name: str, folder: Path, device: str, limit: int) -> None:
    """Print what test-time training costs on mini-ood."""
    asked: dict[str, Any] = {"models": (name,), "suite": "mini-ood", "limit": limit}
    seconds = {}
    for mode in ("baseline", "ttt"):
        for turn in ("first", "again"):  # the first pays for labels and warming up
            out = folder / f"{name}-{mode}-{turn}"
            start = time.perf_counter()
            done = run_campaign(
                resolve(Request(**asked, modes=(mode,), device=device, out=out))
            )
            seconds[mode] = time.perf_counter() - start
            assert not done.faults, done.faults
    told = ", ".join(f"{mode} {spent:.2f} s" for mode, spent in seconds.items())
    print(f"{name}, mini-ood with --limit {limit}, second time: {told}", flush=True)


if __name__ == "__main__":
    tell_usage(__doc__)
    main()
