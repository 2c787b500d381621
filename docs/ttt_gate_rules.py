"""Judge rules for when to adapt and when to stop on the curves of docs/ttt_gate.py.

A rule sees the prior loss of a molecule after each step, its gap, how alike head and
model err, and losses and gaps of training molecules, nothing else. Prints the tables of
docs/pretrained.md.

Usage: python docs/ttt_gate_rules.py [--half val|test] [--version 1|2|priors]   (seconds:
no model is run). Version 1 is of mini's first version, by Adam, where the first rule was
chosen: it writes docs/ttt_gate_rules_<half>.csv, a row per model, rule and split, and
docs/ttt_gate.png too. ``priors`` is of version 2, and of other priors.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from scipy import stats

HERE = Path(__file__).parent
DRAWS = 2000


@dataclass(frozen=True)
class Rule:
    """Adapt above a loss of training, where the head is a guide, down to another loss.

    Attributes:
        start: Share of training molecules with a lower loss; 0 adapts everything.
        stop: Share that ends the descent; 0 takes all steps.
        gap: Share with a smaller gap, which must be exceeded too; 0 does not ask,
        trust: unless the loss is below this share of the gap.
        hot: Losses are divided by this power of the prior's mean force over training's,
            where that is above 1; ``hot_gap``: the same for gaps.
        alike: Cosine between the differences of head and model from the prior below
            which a gap is no reason; -1 does not ask. ``always``: the same below which a
            head that is nearer than the model is no guide either.
        head: Typical loss over typical gap of training above which nothing is adapted.
        prior: Typical gap over the prior's typical force there, above which nothing is.
        further: What a molecule's gap over the prior's force must be of that share too.
        kind: Which curve is followed: ``careful`` (Adam), ``full`` (the same without a
            way back), or ``curved`` (L-BFGS, only where a rule could adapt).
    """

    start: float
    stop: float
    gap: float = 0.0
    trust: float = 0.0
    hot: float = 0.7
    hot_gap: float = 0.6
    alike: float = -1.0
    always: float = -1.0
    head: float = 9.0
    prior: float = 9.0
    further: float = 0.0
    kind: str = "careful"


FIRST = Rule(start=0.95, stop=0.5, gap=0.9, trust=0.8)
CHOSEN = replace(FIRST, start=0.97, alike=0.2, head=0.5, prior=0.33, kind="curved")
NAME = "**chosen**"
OTHERS: Mapping[str, tuple[float, ...]] = {
    "hot_gap": (0.3, 0.8, 1),
    "hot": (0.5, 1),
    "start": (0.8, 0.9, 0.97, 0.98, 0.99),
    "stop": (0.3, 0.8, 0.95),
    "gap": (0.7, 0.8, 0.95),
    "trust": (0.7, 0.9),
}
"""Value of the first rule -> what else is tried."""
OTHERS_2: Mapping[str, tuple[float, ...]] = {
    "head": (0.42, 0.57, 9),
    "prior": (0.2, 0.25, 0.3, 0.4, 0.45, 9),
    "alike": (-1, 0, 0.35, 0.5),
    "always": (-0.5, 0, 0.2, 0.35, 0.5),
    "start": (0.9, 0.95, 0.96, 0.98, 0.99),
    "stop": (0.3, 0.8),
    "gap": (0.8, 0.95),
    "trust": (0.7, 0.9),
}
"""The same of the chosen one; 9 of head and prior, and an alike of -1, do not ask."""
FURTHER = (1.2, 1.5, 1.8, 2.1)
"""What ``further`` is tried instead of ``prior``."""


def varied(rule: Rule, others: Mapping[str, tuple[float, ...]]) -> dict[str, Rule]:
    """Return a rule, and what it is where one value is another."""
    return {NAME: rule} | {
        f"{name} {value}": replace(rule, **{name: value})
        for name, values in others.items()
        for value in values
    }


RULES: Mapping[str, Rule] = {
    "all steps, full rate": Rule(0, 0, kind="full"),
    "all steps": Rule(0, 0),
    "loss, down to the start": replace(FIRST, stop=0.95, gap=0, trust=0, hot=0),
    "loss": replace(FIRST, gap=0, trust=0, hot=0),
    "loss and gap": replace(FIRST, trust=0, hot=0, hot_gap=0),
    "loss, gap or trusted head": replace(FIRST, hot=0, hot_gap=0),
    "gaps never hot": replace(FIRST, hot_gap=0),
    **varied(FIRST, OTHERS),
}
RULES_2: Mapping[str, Rule] = {
    "loss": replace(CHOSEN, gap=0, trust=0, alike=-1, head=9, start=0.95),
    "the first rule": replace(FIRST, kind="curved"),
    **varied(CHOSEN, OTHERS_2),
    **{
        f"prior 9, further {value}": replace(CHOSEN, prior=9.0, further=value)
        for value in FURTHER
    },
}


def bound(values: np.ndarray, share: float) -> float:
    """Return what a share of further values stays below; 0 for a share of 0."""
    if not share:
        return 0.0
    logs = np.log(values)
    width = stats.t.ppf(share, len(logs) - 1) * np.sqrt(1 + 1 / len(logs))
    return float(np.exp(logs.mean() + width * logs.std(ddof=1)))


def molecules(levels: pd.DataFrame) -> pd.DataFrame:
    """Return a row per training molecule: of held-out ones where there are any."""
    held = levels[levels["part"] == "held_out"]
    mine = held if len(held) else levels
    return mine.groupby("group")[["loss", "gap", "prior_norm"]].mean()


def apply(rule: Rule, curves: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """Return where the rule leaves every molecule."""
    known = molecules(levels)
    typical = known["prior_norm"].median()

    def scale(force: Any, power: float) -> Any:
        ratio = force / typical
        return np.maximum(1, ratio) ** power

    losses, gaps = (
        (known[name] / scale(known["prior_norm"], power)).to_numpy()
        for name, power in (("loss", rule.hot), ("gap", rule.hot_gap))
    )
    start, stop = bound(losses, rule.start), bound(losses, rule.stop)
    gap = bound(gaps, rule.gap)
    share = bound(gaps, 0.5) / typical
    no_guide = bound(losses, 0.5) > rule.head * bound(gaps, 0.5) or share > rule.prior
    rows = []
    mine = curves[curves["kind"] == rule.kind]
    for (split, unit), points in mine.groupby(["split", "unit"], sort=False):
        loss = points["prior_loss"].to_numpy()
        apart = points["gap"].iloc[0]
        force = points["prior_norm"].to_numpy()
        near = apart <= gap * scale(force, rule.hot_gap)[0]
        alike = points["alike"].iloc[0] if "alike" in points else 1.0
        guided = loss[0] < rule.trust * apart or (not near and alike > rule.alike)
        guided &= alike > rule.always and apart >= rule.further * share * force[0]
        loss = loss / scale(force, rule.hot)
        at = 0
        if loss[0] > start and guided and not no_guide:
            reached = np.flatnonzero(loss <= stop)
            at = int(reached[0]) if len(reached) else len(loss) - 1
        errors = 1000 * points["mae"].to_numpy()
        rows.append(
            {
                "split": split,
                "unit": unit,
                "prior": 1000 * points["prior_mae"].iloc[0],
                "baseline": errors[0],
                "after": errors[at],
                "oracle": errors.min(),
                "adapted": float(at > 0),
                "steps": float(points["step"].iloc[at]),
            }
        )
    return pd.DataFrame(rows)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return mean errors in meV/Å and ratios by split."""
    table = found.drop(columns="unit").groupby("split", sort=False).mean()
    table.insert(0, "n", found.groupby("split", sort=False).size())
    table["ratio"] = table["after"] / table["baseline"]
    ends = [interval(found[found["split"] == name]) for name in table.index]
    table["low"], table["high"] = zip(*ends, strict=True)
    return table


def interval(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the bootstrapped 95 % interval of the ratio over molecules."""
    picks = np.random.default_rng(0).integers(len(rows), size=(DRAWS, len(rows)))
    before, after = rows["baseline"].to_numpy(), rows["after"].to_numpy()
    ratios = after[picks].sum(1) / before[picks].sum(1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def judge(
    curves: pd.DataFrame, levels: pd.DataFrame, rules: Mapping[str, Rule]
) -> pd.DataFrame:
    """Return a row per model, rule and split."""
    tables = []
    for model, mine in curves.groupby("model", sort=False):
        known = levels[levels["model"] == model]
        for name, rule in rules.items():
            found = apply(rule, mine, known)
            if len(found):
                table = summary(found).reset_index()
                table.insert(0, "rule", name)
                table.insert(0, "model", model)
                tables.append(table)
    return pd.concat(tables, ignore_index=True)


def like_training(splits: Any) -> Any:
    """Return which splits are of molecules like those of training."""
    return splits.str.startswith(("id", "held_out"))


def gain_of(rows: pd.DataFrame) -> float:
    """Return by which share the mean error over splits falls."""
    return float(1 - rows["after"].mean() / rows["baseline"].mean())


def overview(table: pd.DataFrame) -> str:
    """Return gain and harm of each rule and model, as a table."""
    models = list(table["model"].unique())
    lines = ["| rule | " + " | ".join(models) + " |", "|---" * (len(models) + 1) + "|"]
    for name in table["rule"].unique():
        cells = []
        for model in models:
            mine = table[(table["model"] == model) & (table["rule"] == name)]
            if not len(mine):
                cells.append("–")
                continue
            near = like_training(mine["split"])
            rest = mine[near]
            worst = mine.loc[mine["ratio"].idxmax()]
            cell = f"{-100 * gain_of(mine[~near]):+.0f} %"
            if len(rest):
                cell += f", ID ×{rest['after'].mean() / rest['baseline'].mean():.2f}"
            cells.append(f"{cell}, worst ×{worst['ratio']:.2f} ({worst['split']})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def by_split(table: pd.DataFrame, name: str) -> str:
    """Return every split under one rule, as a table."""
    lines = [
        "| model | split | n | prior | baseline | ttt | ratio | oracle | adapted | "
        "steps |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {r.model} | {r.split} | {r.n} | {r.prior:.0f} | {r.baseline:.1f} | "
        f"{r.after:.1f} | ×{r.ratio:.3f} [{r.low:.2f}, {r.high:.2f}] | {r.oracle:.1f} | "
        f"{100 * r.adapted:.0f} % | {r.steps:.0f} |"
        for r in table[table["rule"] == name].itertuples()
    ]
    return "\n".join(lines)


def draw(curves: pd.DataFrame, levels: pd.DataFrame) -> None:
    """Draw the error of every molecule against its prior loss, start at the right."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    models = list(curves["model"].unique())
    figure, axes = plt.subplots(
        1, len(models), figsize=(3.2 * len(models), 3.4), squeeze=False, sharey=True
    )
    for axis, model in zip(axes[0], models, strict=True):
        mine = curves[(curves["model"] == model) & (curves["kind"] == FIRST.kind)]
        for (split, _), points in mine.groupby(["split", "unit"], sort=False):
            known = not str(split).startswith("ood") and model != "mace-spice"
            axis.plot(
                points["prior_loss"],
                points["mae"] / points["mae"].iloc[0],
                color="tab:blue" if known else "tab:orange",
                linewidth=0.8,
            )
        losses = molecules(levels[levels["model"] == model])["loss"].to_numpy()
        for share in (FIRST.start, FIRST.stop):
            axis.axvline(bound(losses, share), color="black", linestyle=":")
        axis.axhline(1, color="grey", linewidth=0.5)
        axis.set(title=model, xscale="log", ylim=(0, 1.8))
    figure.supxlabel(
        "prior loss, eV/Å (dotted: where adapting starts, and where it stops)"
    )
    axes[0][0].set_ylabel("force error / baseline's")
    figure.tight_layout()
    figure.savefig(HERE / "ttt_gate.png", dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("val", "test"), default="val")
    parser.add_argument("--version", choices=("1", "2", "priors"), default="2")
    asked = parser.parse_args()
    end = asked.half if asked.version == "1" else f"{asked.half}_{asked.version}"
    curves = pd.read_csv(HERE / f"ttt_gate_curves_{end}.csv")
    levels = pd.read_csv(HERE / f"ttt_gate_levels_{end}.csv")
    table = judge(curves, levels, RULES if asked.version == "1" else RULES_2)
    print(overview(table), by_split(table, NAME), sep="\n\n")
    if asked.version == "1":
        path = HERE / f"ttt_gate_rules_{asked.half}.csv"
        table.to_csv(path, index=False, float_format="%.4g")
        if asked.half == "val":
            draw(curves, levels)


if __name__ == "__main__":
    main()
