"""What moving many molecules at once gains, and what the integrator costs.

mini-mace and mini-schnet with 64 structures of 10 to 20 atoms of the train split of
mini-ood, 0.5 fs, Langevin at 300 K, all in this process with one thread, after import
and a warm-up; ratios are of one run:

- ``batched``: steps × systems per second of our engine, all molecules in one model call;
- ``ase``: the same of ASE's Langevin, one molecule at a time with the same model;
- ``bare``: the same model called again on the very batches that ``batched`` showed it;
- ``overhead``: CPU seconds of a batched step over those of a bare call, minus 1;
- ``own``: CPU seconds of a batched step spent outside the model, over those inside: the
  same without the noise of two measurements, and without what a model pays for being
  called between other work.

The parts are timed in turns, so that a busy machine slows all of them alike; the medians
of the turns are shown.

Usage: python benchmarks/dynamics.py [TURNS] [DEVICE]
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from ase import units
from ase.md.langevin import Langevin
from usage import tell_usage

from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.dynamics.ase_engine import to_atoms
from mlffbench.dynamics.engine import BatchedEngine, Course, _Live, prepare
from mlffbench.dynamics.evaluation import Evaluation
from mlffbench.dynamics.masses import natural_masses
from mlffbench.dynamics.stability import BondCriterion, find_bonds
from mlffbench.dynamics.state import Systems
from mlffbench.models.load import load_model
from mlffbench.run.suite import load_suite
from mlffbench.run.suite_splits import load_splits

N_MOLECULES = 64
STEPS = 10
ASE_MOLECULES = 8
ASE_STEPS = 3


def main() -> None:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    device = sys.argv[2] if len(sys.argv) > 2 else "cpu"
    torch.set_num_threads(1)
    structures = chosen()
    n_atoms = structures.n_atoms
    print(f"{structures.n_systems} molecules, {n_atoms} atoms, {device}, {turns} turns")
    print(
        f"{'':14s}{'batched':>10s}{'ase':>10s}{'ratio':>8s}{'bare':>10s}{'overhead':>10s}"
        f"{'own':>8s}"
    )
    for name in ("mini-mace", "mini-schnet"):
        model = load_model(name, ModelOptions(device=device))
        evaluate = Evaluation(
            model=Watched(model), device=torch.device(device), dtype=torch.float32
        )
        measure(name, evaluate, structures, turns)


class Watched:
    """A model that notes what it was shown, and its CPU seconds.

    Args:
        model: The model.
    """

    def __init__(self, model: ForceField) -> None:
        self.model, self.name, self.elements = model, model.name, model.elements
        self.shown: list[Structures] = []
        self.spent_s = 0.0

    def predict(self, structures: Structures) -> Labels:
        """Ask the model."""
        self.shown.append(structures)
        start = time.process_time()
        labels = self.model.predict(structures)
        self.spent_s += time.process_time() - start
        return labels


def chosen() -> Structures:
    """Return 64 structures of 10 to 20 atoms, spread over the mini set."""
    splits = [s for s in load_splits(*load_suite("mini-ood")) if s.role == "train"]
    everything = splits[0].structures
    fit = [i for i, n in enumerate(everything.sizes.tolist()) if 10 <= n <= 20]
    step = max(1, len(fit) // N_MOLECULES)
    picked = [fit[i * step % len(fit)] for i in range(N_MOLECULES)]
    found = everything.select(picked)
    return replace(found, ids=tuple(f"{n} #{i}" for i, n in enumerate(found.ids)))


def measure(name: str, evaluate: Evaluation, structures: Structures, turns: int) -> None:
    """Print one row."""
    systems = systems_of(structures)
    course = Course(thermostat=True, record_every=100, checkpoint_every=10**9, seed=0)
    criterion = BondCriterion(find_bonds(structures), structures.sizes.tolist())
    engine = BatchedEngine(evaluate, systems, criterion, course)
    state = prepare(systems, course, evaluate).state
    live, watched = _Live(engine, state), evaluate.model
    assert isinstance(watched, Watched)
    number = 0
    own: list[float] = []

    def batched() -> None:
        nonlocal number
        watched.shown.clear()
        watched.spent_s, start = 0.0, time.process_time()
        for _ in range(STEPS):
            live.faults(live.step(number), course.sane_kelvin)
            number += 1
        own.append((time.process_time() - start) / watched.spent_s - 1)

    def bare() -> None:
        assert len(watched.shown) == STEPS
        for one in watched.shown:
            watched.model.predict(one)
        if evaluate.device.type == "cuda":
            torch.cuda.synchronize()

    runs = [motion(evaluate, structures, i) for i in range(ASE_MOLECULES)]

    def ase() -> None:
        for run in runs:
            run(ASE_STEPS)

    for work in (batched, bare, ase):
        work()
    own.clear()
    seconds: dict[str, list[tuple[float, float]]] = {"batched": [], "bare": [], "ase": []}
    for _ in range(turns):
        for title, work in (("batched", batched), ("bare", bare), ("ase", ase)):
            seconds[title].append(timed(work))
    per = {"batched": STEPS * structures.n_systems, "bare": STEPS * structures.n_systems}
    per["ase"] = ASE_STEPS * ASE_MOLECULES
    rate = {
        title: per[title] / statistics.median(wall for wall, _ in found)
        for title, found in seconds.items()
    }
    cpu = {
        title: per[title] / statistics.median(spent for _, spent in found)
        for title, found in seconds.items()
    }
    overhead = statistics.median(
        one / other - 1
        for (_, one), (_, other) in zip(seconds["batched"], seconds["bare"], strict=True)
    )
    print(
        f"{name:14s}{rate['batched']:10.0f}{rate['ase']:10.0f}"
        f"{rate['batched'] / rate['ase']:8.2f}{rate['bare']:10.0f}{100 * overhead:9.1f}%"
        f"{100 * statistics.median(own):7.1f}%"
        f"   (by CPU time: {cpu['batched']:.0f} / {cpu['ase']:.0f} = "
        f"{cpu['batched'] / cpu['ase']:.2f})"
    )


def motion(
    evaluate: Evaluation, structures: Structures, index: int
) -> Callable[[int], object]:
    """Return ASE's Langevin dynamics of one molecule."""
    atoms = to_atoms(structures.select([index * 7 % structures.n_systems]), evaluate)
    found: Callable[[int], object] = Langevin(
        atoms, 0.5 * units.fs, temperature_K=300, friction=0.01 / units.fs, fixcm=False
    ).run
    return found


def systems_of(structures: Structures) -> Systems:
    """Return the structures as systems, all alike."""
    same = torch.ones(structures.n_systems, dtype=torch.float64)
    return Systems(
        structures=structures,
        names=structures.ids,
        masses=natural_masses(structures),
        time_step=0.5 * same,
        temperature=300 * same,
        friction=0.01 * same,
        n_steps=torch.full((structures.n_systems,), 10**9),
    )


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall-clock and CPU seconds."""
    wall, spent = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - spent


if __name__ == "__main__":
    tell_usage(__doc__)
    main()
