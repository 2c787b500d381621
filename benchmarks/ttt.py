"""What test-time training costs, on the OOD validation structures of the mini set.

All in this process, one thread, after import and a warm-up; seconds of wall clock, and of
CPU (worker processes included) in brackets:

- ``inference``: the untouched model predicts every split;
- ``epoch``: one epoch of fine-tuning the whole network on the same structures, batch 16:
  force loss, backward, optimiser step;
- ``ttt split`` and ``ttt group``: adaptation with cached prior labels, then prediction,
  unit by unit: every unit, by so many steps of Adam, not the defaults of ``ttt``; groups
  are many and small, and are given a tenth of the steps;
- ``flushed``: the same of mini-schnet, the CPU taking denormal numbers for 0;
- ``labels``: the prior's labels of all structures, computed by a pool that starts and
  ends with it, and read from the cache.

The models are mini-schnet and mini-mace. Usage: python benchmarks/ttt.py [STEPS]

``python benchmarks/ttt.py units [MODEL] [LOOKS] [MOLECULES]`` asks what larger units cost
and gain instead: the same looks of L-BFGS, without a gate, for units of one
molecule, of k molecules that are alike in the model's own features, and of a whole split,
of which a few molecules are taken with up to two conformers each. Gain is the fall of the
force MAE, mean over structures; cost is CPU time over that of predicting the same
structures.

``python benchmarks/ttt.py steps [MODEL] [MOLECULES]`` asks the same, molecule by molecule
with up to five conformers each, of the way down: 50 careful steps of Adam and 8 to 20
looks of L-BFGS without a gate, then Adam with the gate and the defaults. Of L-BFGS the
least of three runs counts. The units of a split are adapted together where the network
can do that.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

from usage import tell_usage

# The prior's workers import this file too, and need none of this.
if __name__ != "__mp_main__":
    import torch

    from mlffbench.core.forcefield import ForceField
    from mlffbench.core.model_options import ModelOptions
    from mlffbench.core.structures import Structures
    from mlffbench.models.load import load_model
    from mlffbench.models.physics.xtb import load_gfn2
    from mlffbench.models.twoheaded.model import TwoHeaded
    from mlffbench.priors.prior_labels import LabelCache, label
    from mlffbench.refine.refiner import Unit
    from mlffbench.refine.ttt import PriorTuning
    from mlffbench.run.evaluate.execute import training_of
    from mlffbench.run.suite import load_suite
    from mlffbench.run.suite_splits import load_splits
    from mlffbench.training.loss import l2_mae

BATCH = 16
LEARNING_RATE = 0.01
STEPS = 100
GROUP_SHARE = 10
"""A group is given that many times fewer steps than a split."""


class Cost(NamedTuple):
    """Seconds of some work."""

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:.2f} ({self.cpu_s:.2f})"

    def plus(self, other: Cost) -> Cost:
        """Return this work and other work."""
        return Cost(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)

    def minus(self, other: Cost) -> Cost:
        """Return this work without other work."""
        return Cost(self.wall_s - other.wall_s, self.cpu_s - other.cpu_s)

    def over(self, other: Cost) -> str:
        """Return the ratio to other work, by wall clock and by CPU."""
        wall, cpu = self.wall_s / other.wall_s, self.cpu_s / other.cpu_s
        return f"{wall:.3g} ({cpu:.3g})"


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    torch.set_num_threads(1)
    splits = [s for s in load_splits(*load_suite("mini-ood")) if s.role == "ood_val"]
    structures = [split.structures for split in splits]
    forces = torch.cat([split.reference.forces for split in splits])
    n = sum(one.n_systems for one in structures)
    n_groups = sum(len(set(one.group)) for one in structures)
    print(f"{n} structures in {len(splits)} splits, {n_groups} molecules; ", end="")
    print(f"adam, lr {LEARNING_RATE:g}, batch {BATCH}; wall (CPU)")
    print(f"{'':36s}{'s':17s}{'ms/structure':17s}{'/ inference':15s}/ epoch")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFFBENCH_CACHE"] = folder
        computed, read = measure_labels(structures, Path(folder) / "labels")
        costs = {}
        for name in ("mini-schnet", "mini-mace"):
            costs[name] = measure_model(name, structures, forces, steps)
            show(name, costs[name], n)
    print(f"labels: computed {computed}, cached {read}: {computed.over(read)}")
    for name, mine in costs.items():
        for title, cost in mine.items():
            if title.endswith("flushed"):
                ratio = mine[title.removesuffix(", flushed")].over(cost)
                print(f"{name}, {title}: not flushed / flushed {ratio}")
            elif title.startswith("ttt"):
                ratio = cost.plus(computed).minus(read).over(cost)
                print(f"{name}, {title}: labels computed / cached {ratio}")


def compare_units(name: str, steps: int, n_molecules: int) -> None:
    """Print gain and cost by size of the unit, over the OOD validation splits."""
    torch.set_num_threads(1)
    model = load_model(name, ModelOptions())
    assert isinstance(model, TwoHeaded)
    parts = [
        few_molecules(split.structures, split.reference.forces, n_molecules)
        for split in load_splits(*load_suite("mini-ood"))
        if split.role == "ood_val"
    ]
    warm_up(model, parts[0][0])
    # a unit of more than a batch would be left to Adam
    tuning = PriorTuning(gate="off", unit="group", steps=steps)
    for structures, _ in parts:  # the prior's labels are not what is compared
        tuning._labels.of(structures)
    inference = measure(lambda: predict(model, [one for one, _ in parts]), 5)
    before = [errors_of(model, *part) for part in parts]
    gains: dict[int, float] = {}
    for size in (*(few for few in (1, 2, 4) if few < n_molecules), n_molecules):
        spent, after = 0.0, []
        for structures, forces in parts:
            united = replace(structures, group=alike(model, structures, size))
            start = cpu_seconds()
            adapted = tuning.refine(model, united).model
            spent += cpu_seconds() - start
            after.append(errors_of(adapted, structures, forces))
        gains[size] = 1 - sum(after) / sum(before)
        share = 100 * gains[size] / gains[1]
        old, new = (sum(errors) / len(parts) for errors in (before, after))
        print(
            f"{name}, {steps} looks, units of {size}: {old:.1f} -> {new:.1f} meV/Å, ",
            end="",
        )
        print(f"{share:.0f} % of the gain of single molecules, ", end="")
        print(f"{spent / inference.cpu_s:.0f}× inference", flush=True)


def compare_steps(name: str, n_molecules: int) -> None:
    """Print gain and cost by the way down, over the OOD validation splits."""
    torch.set_num_threads(1)
    model = load_model(name, ModelOptions())
    assert isinstance(model, TwoHeaded)
    suite, folder = load_suite("mini-ood")
    splits = load_splits(suite, folder)
    parts = [
        few_molecules(split.structures, split.reference.forces, n_molecules, 5)
        for split in splits
        if split.role == "ood_val"
    ]
    warm_up(model, parts[0][0])
    inference = measure(lambda: predict(model, [one for one, _ in parts]), 20).cpu_s
    before = [errors_of(model, *part) for part in parts]
    ways: dict[str, PriorTuning] = {
        "Adam, 50": PriorTuning(gate="off", optimizer="adam"),
        **{f"L-BFGS, {n}": PriorTuning(gate="off", steps=n) for n in (8, 12, 16, 20)},
        "Adam, 50, gate": PriorTuning(optimizer="adam"),
        "the defaults": PriorTuning(),
    }
    gained = 0.0
    for title, tuning in ways.items():
        tuning.learn(model, training_of(suite, splits, 0))
        for structures, _ in parts:  # the prior's labels are not what is compared
            tuning._labels.of(structures)
        units, after, spent = 0, [], 0.0
        for structures, forces in parts:
            refined = tuning.refine(model, structures)
            work = partial(tuning.refine, model, structures)
            spent += measure(work, 1 if tuning.optimizer == "adam" else 3).cpu_s
            units += sum(bool(losses) for losses in refined.trace.values())
            after.append(errors_of(refined.model, structures, forces))
        gain = 1 - sum(after) / sum(before)
        gained = gained or gain
        old, new = (sum(errors) / len(parts) for errors in (before, after))
        print(
            f"{name}, {title}: {old:.1f} -> {new:.1f} meV/Å, {100 * gain / gained:.0f} % "
            f"of the gain of Adam, {units} units adapted, {spent / inference:.0f}× "
            "inference",
            flush=True,
        )


def few_molecules(
    structures: Structures,
    forces: torch.Tensor,
    n_molecules: int,
    n_conformers: int = 2,
) -> tuple[Structures, torch.Tensor]:
    """Return a few structures of the first molecules of a split, with their labels."""
    names = list(dict.fromkeys(structures.group))[:n_molecules]
    kept = [
        place
        for name in names
        for place in [i for i, g in enumerate(structures.group) if g == name][
            :n_conformers
        ]
    ]
    pieces = torch.split(forces, structures.sizes.tolist())
    return structures.select(kept), torch.cat([pieces[place] for place in kept])


def errors_of(model: ForceField, structures: Structures, forces: torch.Tensor) -> float:
    """Return the force MAE in meV/Å, mean over structures."""
    found = (model.predict(structures).forces - forces).abs().mean(1)
    pieces = torch.split(found, structures.sizes.tolist())
    return 1000 * float(torch.stack([one.mean() for one in pieces]).mean())


def alike(model: TwoHeaded, structures: Structures, size: int) -> tuple[str, ...]:
    """Return the unit of each structure: a molecule and those with features nearest."""
    features = model.embed(structures)
    pieces = torch.split(features, structures.sizes.tolist())
    names = list(dict.fromkeys(structures.group))
    centres = torch.stack(
        [
            torch.cat(
                [p for p, g in zip(pieces, structures.group, strict=True) if g == n]
            ).mean(0)
            for n in names
        ]
    )
    apart, left, unit = torch.cdist(centres, centres), list(range(len(names))), {}
    while left:
        first = left[0]
        mine = sorted(left, key=lambda other: float(apart[first, other]))[:size]
        unit |= {names[one]: names[first] for one in mine}
        left = [one for one in left if one not in mine]
    return tuple(unit[name] for name in structures.group)


def measure_model(
    name: str, structures: Sequence[Structures], forces: torch.Tensor, steps: int
) -> dict[str, Cost]:
    """Return what each work costs with a model, by its title."""
    model = load_model(name, ModelOptions())
    assert isinstance(model, TwoHeaded)
    warm_up(model, structures[0])
    costs = {
        "inference": measure(lambda: predict(model, structures), 5),
        "epoch": measure(lambda: run_epoch(model, structures, forces), 3),
    }
    works: list[tuple[Unit, int]] = [
        ("split", steps),
        ("group", max(1, steps // GROUP_SHARE)),
    ]
    for unit, n_steps in works:
        title = f"ttt {unit}, {n_steps}"
        work = adapter(model, structures, unit, n_steps)
        costs[title] = measure(work)
        if name == "mini-schnet":
            costs[f"{title}, flushed"] = measure(flushed(work))
    return costs


def measure(work: Callable[[], object], repeats: int = 1) -> Cost:
    """Return the least wall-clock and CPU seconds of some repeats."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), cpu_seconds()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(cpu_seconds() - cpu)
    return Cost(min(walls), min(cpus))


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its workers that have ended."""
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + workers.ru_utime + workers.ru_stime


def measure_labels(structures: Sequence[Structures], folder: Path) -> tuple[Cost, Cost]:
    """Return what prior labels cost when computed, and when read from the cache."""

    def work() -> None:
        prior = load_gfn2(ModelOptions())
        for one in structures:
            label(one, prior, LabelCache.of(prior, folder))
        prior.close()

    return measure(work), measure(work, 5)


def warm_up(model: TwoHeaded, structures: Structures) -> None:
    """Let the networks compile what they compile on their first calls."""
    few = structures.select(range(min(BATCH, structures.n_systems)))
    for _ in range(3):
        predict(model, [few])
        PriorTuning(gate="off", steps=2).refine(model, few)


def predict(model: TwoHeaded, structures: Sequence[Structures]) -> None:
    """Predict split by split."""
    for one in structures:
        model.predict(one)


def run_epoch(
    model: TwoHeaded, structures: Sequence[Structures], forces: torch.Tensor
) -> None:
    """Fine-tune a copy of the model on every structure once."""
    everything = Structures.concatenate(structures)
    targets = torch.split(forces.to(model.dtype), everything.sizes.tolist())
    twin = model.clone()
    parameters = [
        *twin.representation_parameters(),
        *twin.parameters_of("ref").values(),
    ]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE)
    order = torch.randperm(everything.n_systems).tolist()
    for start in range(0, len(order), BATCH):
        places = order[start : start + BATCH]
        found = twin.forward(everything.select(places), "ref").forces
        optimiser.zero_grad()
        l2_mae(found - torch.cat([targets[place] for place in places])).backward()
        optimiser.step()


def adapter(
    model: TwoHeaded, structures: Sequence[Structures], unit: Unit, steps: int
) -> Callable[[], None]:
    """Return work that adapts the model to every split and predicts it, as a run does."""
    tuning = PriorTuning(
        gate="off",
        unit=unit,
        steps=steps,
        optimizer="adam",
        learning_rate=LEARNING_RATE,
        batch=BATCH,
    )

    def work() -> None:
        for one in structures:
            tuning.refine(model, one).model.predict(one)

    return work


def flushed(work: Callable[[], None]) -> Callable[[], None]:
    """Return the same work, the CPU taking denormal numbers for 0."""

    def faster() -> None:
        torch.set_flush_denormal(True)
        try:
            work()
        finally:
            torch.set_flush_denormal(False)

    return faster


def show(name: str, costs: dict[str, Cost], n: int) -> None:
    """Print a row per work: its time, per structure, and its ratios."""
    for title, cost in costs.items():
        each = f"{1000 * cost.wall_s / n:.2f} ({1000 * cost.cpu_s / n:.2f})"
        ratios = cost.over(costs["inference"]), cost.over(costs["epoch"])
        print(f"{name:12s}{title:24s}{cost!s:17s}{each:17s}", end="")
        print(f"{ratios[0]:15s}{ratios[1]}", flush=True)


if __name__ == "__main__":
    tell_usage(__doc__)
    if sys.argv[1:2] == ["units"]:
        given = [*sys.argv[2:], *("mini-schnet", "16", "8")[len(sys.argv) - 2 :]]
        compare_units(given[0], int(given[1]), int(given[2]))
    elif sys.argv[1:2] == ["steps"]:
        given = [*sys.argv[2:], *("mini-schnet", "4")[len(sys.argv) - 2 :]]
        compare_steps(given[0], int(given[1]))
    else:
        main()
