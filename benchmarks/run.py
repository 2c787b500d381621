"""Runs of a model against a bare loop over the same batches, and against ASE.

Each loads the model and predicts the same structures in this process, one thread, after
import; seconds of wall clock, and of CPU in brackets:

- ``run``: `mlffbench run --mode baseline --no-diagnose` without its command line: plan,
  read, predict, store, assemble, check; neither scores nor a report;
- ``bare``: the same batches given to the model, nothing stored;
- ``plain``, of ``ani-1x``: the same batches padded and given to torchani's own ensemble;
- ``ase``, of ``ani-1x``: torchani's own ASE calculator, one structure at a time.

The structures are those of mini-ood (960 of 332 molecules, of which the model predicts
what it knows), or as many shaken butanes as wanted, 200 conformers of a molecule.

With ``pages`` instead: what the system takes to hand out memory while batches of up to
LIMIT structures a split (30) are predicted in float64, for a process as it is and for one
that keeps what it frees, as the command line does (`mlffbench.core.guards.allocator`);
each in a process of its own.

Usage: python benchmarks/run.py [REPEATS] [MODEL] [STRUCTURES] | pages [MODEL] [LIMIT]
"""

import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from scale import write_suite
from usage import tell_usage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchani
    import torchani.ase
from ase import Atoms

from mlffbench.core.forcefield import ForceField
from mlffbench.core.guards.allocator import keep_freed_memory
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve

ASKED: dict[str, Any] = {"suite": "mini-ood", "modes": ("baseline",)}
"""The one run that is timed; the suite's own modes would refine, too."""
BARS = (("run", "bare", 1.05), ("run", "plain", 1.05), ("ase", "run", 3))


def main() -> None:
    what, *words = sys.argv[1:] or ["3"]
    if what == "pages":
        pages(*(words or ["mini-mace"]))
    elif what == "keeps":
        predict(*words)
    else:
        compare(int(what), *words)


def compare(repeats: int, model: str = "ani-1x", size: str = "") -> None:
    """Print what a run costs, and what the same batches cost alone."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        asked = {**ASKED, "models": (model,), "trust": True}
        if size:
            asked["suite"] = str(write_suite(Path(name), int(size)))
        batches = batches_of(Request(**asked), load(model))
        rounds = itertools.count()

        def bare() -> None:
            loaded = load(model)
            for batch in batches:
                loaded.predict(batch)

        def run() -> None:
            request = Request(**asked, out=Path(name) / str(next(rounds)))
            done = run_campaign(resolve(request))
            assert not done.faults, done.faults
            assert [one.path.name for one in done.folders] == ["baseline"]

        others = against_torchani(batches) if model == "ani-1x" else ()
        bare()
        # In turns: a process is quicker the longer it runs, whoever comes first.
        times = measure((run, bare, *others), repeats)
    n, n_atoms = (
        sum(getattr(one, x) for one in batches) for x in ("n_systems", "n_atoms")
    )
    where = f"{size} shaken butanes" if size else "mini-ood"
    print(
        f"{model}, baseline, of {where}: {n} structures, {n_atoms} atoms, "
        f"{len(batches)} batches; best of {repeats}"
    )
    for title, (wall_s, cpu_s) in times.items():
        print(f"{title:6s} {wall_s:6.2f} s ({cpu_s:.2f})")
    for title, other, bar in BARS:
        if {title, other} <= times.keys():
            wall, cpu = (times[title][i] / times[other][i] for i in (0, 1))
            print(f"{title} / {other} = {wall:.3f} ({cpu:.3f}), bar {bar}")


def load(model: str) -> ForceField:
    """Return a model as a run loads it."""
    return load_model(model, ModelOptions(trust=True))


def against_torchani(batches: Sequence[Structures]) -> Sequence[Callable[[], None]]:
    """Return what torchani itself would do with the batches, together and one by one."""
    singles = [
        (batch.numbers[batch.system == i].numpy(), batch.positions[batch.system == i])
        for batch in batches
        for i in range(batch.n_systems)
    ]

    def plain() -> None:
        published = load_published()
        for batch in batches:
            predict_plainly(published, batch)

    def ase() -> None:
        published = load_published()
        published.periodic_table_index = True  # its converter takes atomic numbers
        calculator = torchani.ase.Calculator(["H", "C", "N", "O"], published)
        for numbers, positions in singles:
            atoms = Atoms(numbers, positions.numpy(), calculator=calculator)
            atoms.get_forces()
            atoms.get_potential_energy()

    return plain, ase


def pages(model: str, limit: str = "30") -> None:
    """Print what predicting costs with and without memory that is kept."""
    print("keeps  user s  system s  page faults  peak MB")
    for keeps in ("no", "yes"):
        words = [sys.executable, __file__, "keeps", keeps, model, limit]
        subprocess.run(words, check=True)


def predict(keeps: str, model: str, limit: str) -> None:
    """Predict mini-ood in float64 and print what it cost this process."""
    assert keeps == "no" or keep_freed_memory()
    torch.set_num_threads(1)
    asked = {**ASKED, "models": (model,), "limit": int(limit), "trust": True}
    loaded = load_model(model, ModelOptions(trust=True, dtype="float64"))
    batches = batches_of(Request(**asked), loaded)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for batch in batches:
        loaded.predict(batch)
    after = resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    faults = after.ru_minflt - before.ru_minflt
    peak = after.ru_maxrss * 1024 / 1e6
    print(f"{keeps:5s} {user:7.2f} {system:9.2f} {faults:12,d} {peak:8.0f}", flush=True)


def batches_of(request: Request, model: ForceField) -> list[Structures]:
    """Return the batches that a run of one model and mode shows the model."""
    campaign = resolve(request)
    [job] = campaign.jobs
    work = campaign.kind.work(job, model)
    plan, reader = work.read()
    return [
        reader.structures(shard.region).select(batch.tolist()).to(dtype=work.dtype)
        for shard in plan.shards
        for batch in shard.batches
    ]


def measure(
    works: Sequence[Callable[[], None]], repeats: int
) -> dict[str, tuple[float, float]]:
    """Return the least wall-clock and CPU seconds of each, over some turns of all."""
    found: dict[str, list[tuple[float, float]]] = {one.__name__: [] for one in works}
    for _ in range(repeats):
        for work in works:
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            found[work.__name__].append((wall, cpu))
    return {
        name: (min(wall for wall, _ in turns), min(cpu for _, cpu in turns))
        for name, turns in found.items()
    }


def load_published() -> torch.nn.Module:
    """Return ANI-1x as torchani itself assembles it, in float64."""
    folder = Path(torchani.__file__).parent / "resources" / "ani-1x_8x"
    constants = torchani.neurochem.Constants(folder / "rHCNO-5.2R_16-3.5A_a4-8.params")
    networks = torchani.neurochem.load_model_ensemble(
        constants.species, str(folder / "train"), 8
    )
    return torchani.nn.Sequential(
        torchani.nn.SpeciesConverter(constants.species),
        torchani.AEVComputer(**constants),
        networks,
        torchani.neurochem.load_sae(str(folder / "sae_linfit.dat")),
    ).double()


def predict_plainly(model: torch.nn.Module, batch: Structures) -> None:
    """Return energies and forces of a padded batch, as torchani's examples do."""
    sizes = batch.sizes.tolist()
    pad = torch.nn.utils.rnn.pad_sequence
    numbers = pad(batch.numbers.split(sizes), batch_first=True, padding_value=-1)
    positions = pad(batch.positions.split(sizes), batch_first=True).requires_grad_()
    energies = model((numbers, positions)).energies
    torch.autograd.grad(energies.sum(), positions)


if __name__ == "__main__":
    tell_usage(__doc__)
    main()
