"""Judge rules for when to adapt and when to stop on the curves of docs/ttt_gate.py.

A rule sees the prior loss of a molecule after each step and the prior losses of training
molecules, nothing else. Writes docs/ttt_gate_rules_<half>.csv and docs/ttt_gate.png.

Usage: python docs/ttt_gate_rules.py [--half val]        (seconds: no model is run)
"""

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

HERE = Path(__file__).parent
SCALES = ("absolute", "relative")


@dataclass(frozen=True)
class Rule:
    """Adapt above ``start`` x the level, stop at ``stop`` x the other level.

    Attributes:
        kind: Which curve is followed: ``full`` rate or ``careful``.
        level: What the start is measured in: ``max``, ``q90``, ``bound95``, ``bound99``.
        start: Factor on it; 0 adapts everything.
        floor: What the stop is measured in; ``none`` takes all steps.
        relative: Whether losses are divided by the prior's mean force.
        gap: What the distance of model and prior must exceed as well,
        trust: unless the prior head is this much nearer to the prior.
    """

    kind: str
    level: str
    start: float
    floor: str
    relative: bool = False
    gap: str = "none"
    trust: float = 0.0


def level_of(losses: np.ndarray, name: str) -> float:
    """Return a statistic of the training losses of molecules."""
    logs = np.log(losses)
    if name == "max":
        return float(losses.max())
    if name == "median":
        return float(np.median(losses))
    if name == "q90":
        return float(np.quantile(losses, 0.9))
    if name == "none":
        return 0.0
    share = float(name.removeprefix("bound")) / 100
    width = stats.t.ppf(share, len(logs) - 1) * np.sqrt(1 + 1 / len(logs))
    return float(np.exp(logs.mean() + width * logs.std(ddof=1)))


def molecules(levels: pd.DataFrame, name: str, relative: bool = False) -> np.ndarray:
    """Return a value per training molecule: of held-out ones where there are any."""
    held = levels[levels["part"] == "held_out"]
    mine = held if len(held) else levels
    values = mine[name] / mine["prior_norm"] if relative else mine[name]
    return values.groupby(mine["group"]).mean().to_numpy()


def apply(rule: Rule, curves: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """Return where the rule leaves every unit."""
    losses = molecules(levels, "loss", rule.relative)
    start = rule.start * level_of(losses, rule.level)
    stop = level_of(losses, rule.floor)
    gap = level_of(molecules(levels, "gap"), rule.gap)
    rows = []
    for (split, unit), points in curves[curves["kind"] == rule.kind].groupby(
        ["split", "unit"], sort=False
    ):
        loss = points["prior_loss"].to_numpy()
        apart = points["gap"].iloc[0]
        trusted = apart > gap or loss[0] < rule.trust * apart
        if rule.relative:
            loss = loss / points["prior_norm"].to_numpy()
        at = 0
        if loss[0] > start and trusted:
            reached = np.flatnonzero(loss <= stop)
            at = int(reached[0]) if len(reached) else len(loss) - 1
        errors = points["mae"].to_numpy()
        steps = points["step"].to_numpy()
        rows.append(
            {
                "split": split,
                "unit": unit,
                "before": errors[0],
                "after": errors[at],
                "oracle": errors.min(),
                "full": errors[-1],
                "adapted": at > 0,
                "steps": steps[at],
                "prior": points["prior_mae"].iloc[0],
            }
        )
    return pd.DataFrame(rows)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return mean errors in meV/Å and ratios by split."""
    table = found.groupby("split", sort=False).agg(
        n=("unit", "size"),
        prior=("prior", "mean"),
        before=("before", "mean"),
        after=("after", "mean"),
        oracle=("oracle", "mean"),
        full=("full", "mean"),
        adapted=("adapted", "mean"),
        steps=("steps", "mean"),
    )
    table["ratio"] = table["after"] / table["before"]
    table["upper"] = [upper(found[found["split"] == name]) for name in table.index]
    worst = found["after"] / found["before"]
    table["worst"] = worst.groupby(found["split"]).max()
    return table


def upper(rows: pd.DataFrame) -> float:
    """Return the upper end of the bootstrapped ratio over molecules."""
    rng = np.random.default_rng(0)
    picks = rng.integers(len(rows), size=(2000, len(rows)))
    before, after = rows["before"].to_numpy(), rows["after"].to_numpy()
    return float(np.quantile(after[picks].sum(1) / before[picks].sum(1), 0.975))


def rules() -> Iterator[Rule]:
    for kind in ("full", "careful"):
        yield Rule(kind, "max", 0.0, "none")
        for relative, level, start, floor, gap in itertools.product(
            (False, True),
            ("max", "bound80", "bound90", "bound95", "bound99"),
            (1.0, 1.5),
            ("median", "bound80", "bound95"),
            ("none", "median", "bound70", "bound80", "bound90", "bound95"),
        ):
            yield Rule(kind, level, start, floor, relative, gap)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", default="val")
    asked = parser.parse_args()
    curves = pd.read_csv(HERE / f"ttt_gate_curves_{asked.half}.csv")
    levels = pd.read_csv(HERE / f"ttt_gate_levels_{asked.half}.csv")
    rows = []
    for model, mine in curves.groupby("model", sort=False):
        known = levels[levels["model"] == model]
        for rule in rules():
            found = apply(rule, mine, known)
            if not len(found):
                continue
            table = summary(found)
            ood = table[[name.startswith("ood") for name in table.index]]
            if not len(ood):
                ood = table
            gain = 1 - ood["after"].mean() / ood["before"].mean()
            full = 1 - ood["full"].mean() / ood["before"].mean()
            rows.append(
                {
                    "model": model,
                    **rule.__dict__,
                    "gain": gain,
                    "full_gain": full,
                    "worst_ratio": table["ratio"].max(),
                    "worst_upper": table["upper"].max(),
                    "worst_molecule": table["worst"].max(),
                    "steps": table["steps"].mean(),
                    "adapted": table["adapted"].mean(),
                    **{f"ratio {name}": value for name, value in table["ratio"].items()},
                }
            )
    pd.DataFrame(rows).to_csv(
        HERE / f"ttt_gate_rules_{asked.half}.csv", index=False, float_format="%.4f"
    )


if __name__ == "__main__":
    main()
