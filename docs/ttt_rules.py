"""Compare rules for when test-time training should stop; writes docs/ttt_rules.{csv,png}.

Every rule adapts mini-schnet to every molecule of the OOD *val* halves, the halves where
tuning is allowed, for several budgets of steps. The reference labels are read here, to
judge the rules, and nowhere in them.

Usage: python docs/ttt_rules.py        (about 15 minutes on one core)
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib as mpl
import torch
from torch import Tensor, nn

from mlffbench.core.forcefield import HasPriorHead
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.datasets.sets.mini.splits import splits
from mlffbench.models.load import load_model
from mlffbench.refine.ttt import PriorTuning

HERE = Path(__file__).parent
TABLE = HERE / "ttt_rules.csv"
MODEL = "mini-schnet"
BUDGETS = (12, 50, 200)
CHOSEN = "budget"
ALL: dict[str, Any] = {"gate": "off", "careful": False}
"""Every molecule is adapted, and for all steps: see docs/pretrained.md for a gate."""
EVERY = 5


class HeldOut(PriorTuning):
    """Keep the step at which a held-out fifth of the unit's prior labels fits best."""

    def descend(
        self,
        twin: HasPriorHead,
        structures: Structures,
        targets: Tensor,
        key: str,
        stop: float = 0.0,
    ) -> Iterator[float]:
        n = structures.n_systems
        if n < 2:
            yield from super().descend(twin, structures, targets, key, stop)
            return
        seen, unseen = list(range(n - max(1, n // 5))), list(range(n))[-max(1, n // 5) :]
        pieces = torch.split(targets, structures.sizes.tolist())
        mine = torch.cat([pieces[i] for i in seen])
        judge, wanted = structures.select(unseen), torch.cat([pieces[i] for i in unseen])
        parameters = list(twin.representation_parameters())
        best, kept = float("inf"), [p.detach().clone() for p in parameters]
        steps = super().descend(twin, structures.select(seen), mine, key)
        for step, loss in enumerate(steps):
            yield loss
            if step % EVERY == EVERY - 1 or step == self.steps - 1:
                error = twin.forward(judge, "prior").forces.detach() - wanted
                if float(error.norm(dim=1).mean()) < best:
                    best = float(error.norm(dim=1).mean())
                    kept = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)


class _Remembering(PriorTuning):
    """Rules that look at training structures while they adapt."""

    def __init__(self, train: Split, weight: float, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.memory = train.structures.to(dtype=torch.float32)
        self.labels = train.reference
        self.weight = weight
        self.generator = torch.Generator().manual_seed(0)

    def draw(self) -> tuple[Structures, list[int]]:
        order = torch.randperm(self.memory.n_systems, generator=self.generator)
        mine = order[: self.batch].tolist()
        return self.memory.select(mine), mine

    def rows(self, forces: Tensor, mine: list[int]) -> Tensor:
        pieces = torch.split(forces, self.memory.sizes.tolist())
        return torch.cat([pieces[i] for i in mine]).to(torch.float32)


class Replay(_Remembering):
    """Also keep fitting the reference head to training structures and their labels."""

    def penalty(
        self, twin: HasPriorHead, parameters: list[nn.Parameter], origin: list[Tensor]
    ) -> Tensor:
        batch, mine = self.draw()
        error = twin.forward(batch, "ref").forces - self.rows(self.labels.forces, mine)
        return self.weight * error.norm(dim=1).mean()


class Trust(_Remembering):
    """Also keep the reference head's own predictions of training structures."""

    before: Tensor

    def penalty(
        self, twin: HasPriorHead, parameters: list[nn.Parameter], origin: list[Tensor]
    ) -> Tensor:
        batch, mine = self.draw()
        error = twin.forward(batch, "ref").forces - self.rows(self.before, mine)
        return self.weight * error.norm(dim=1).mean()


def main() -> None:
    torch.set_num_threads(1)
    model = load_model(MODEL, ModelOptions())
    everything = splits()
    train = next(split for split in everything if split.role == "train")
    tuned = [split for split in everything if split.role == "ood_val"]
    rows = read()
    done = {(row["rule"], row["steps"], row["split"]) for row in rows}
    work = [("baseline", 0, None)]
    work += [(n, s, rule) for s in BUDGETS for n, rule in rules(s, train).items()]
    for name, steps, rule in work:
        if isinstance(rule, Trust):
            rule.before = model.predict(rule.memory).forces
        for split in tuned:
            if (name, steps, split.name) not in done:
                rows.append({"rule": name, "steps": steps, **judge(model, rule, split)})
                print(rows[-1], flush=True)
                write(rows)
    draw(rows)


def read() -> list[dict[str, object]]:
    """Return the rows computed so far; delete the file to start again."""
    if not TABLE.exists():
        return []
    with TABLE.open(newline="") as file:
        return [
            {
                **row,
                "steps": int(row["steps"]),
                "forces_mae_mev": float(row["forces_mae_mev"]),
            }
            for row in csv.DictReader(file)
        ]


def write(rows: list[dict[str, object]]) -> None:
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def rules(steps: int, train: Split) -> dict[str, PriorTuning]:
    """Return the rules by name, all for the same budget of steps."""
    return {
        "budget": PriorTuning(**ALL, steps=steps),
        "anchor 0.01": PriorTuning(**ALL, steps=steps, anchor=0.01),
        "held-out": HeldOut(**ALL, steps=steps),
        "replay": Replay(train, 0.5, **ALL, steps=steps),
        "trust": Trust(train, 0.5, **ALL, steps=steps),
    }


def judge(model: object, rule: PriorTuning | None, split: Split) -> dict[str, object]:
    """Return the split's name and force MAE in meV/Å after a rule, or before any."""
    structures = split.structures
    chosen = rule.refine(model, structures).model if rule else model  # type: ignore[arg-type]
    forces = chosen.predict(structures.to(dtype=torch.float32)).forces  # type: ignore[attr-defined]
    error = (forces.double() - split.reference.forces).abs().mean()
    return {"split": split.name, "forces_mae_mev": round(1000 * float(error), 1)}


def draw(rows: list[dict[str, object]]) -> None:
    """Draw error against steps, one panel per split, the chosen rule in bold."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(str(row["split"]) for row in rows))
    figure, axes = plt.subplots(2, 3, figsize=(11, 6), sharex=True)
    axes.flat[-1].axis("off")
    for axis, name in zip(axes.flat, names, strict=False):
        here = [row for row in rows if row["split"] == name]
        start = next(row["forces_mae_mev"] for row in here if row["rule"] == "baseline")
        for rule in dict.fromkeys(row["rule"] for row in here if row["steps"]):
            line = [row for row in here if row["rule"] == rule]
            chosen = rule == CHOSEN
            axis.plot(
                [0, *(row["steps"] for row in line)],
                [start, *(row["forces_mae_mev"] for row in line)],
                marker="o",
                label=f"{rule} (chosen)" if chosen else rule,
                linewidth=3 if chosen else 1,
            )
        axis.set(title=name, ylim=(0, None))
        axis.set_xscale("symlog", linthresh=10)
    axes[0, 0].legend(fontsize=8)
    figure.supxlabel("gradient steps per molecule")
    figure.supylabel("force MAE, meV/Å (val halves)")
    figure.tight_layout()
    figure.savefig(HERE / "ttt_rules.png", dpi=90)


if __name__ == "__main__":
    main()
