"""Choose the heat of gaps without one model, and judge it on that model.

The power by which gaps may be larger where the prior's forces are (``hot_gap`` of
docs/ttt_gate_rules.py) is the one with the most gain on the val halves of all other
models among those that make no split of them worse than 1.03; of equal ones the middle.
First the powers that training geometries themselves show are printed.

Usage: python docs/ttt_gate_left_out.py [careful]        (seconds: no model is run)
"""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
from ttt_gate_rules import FIRST, HERE, apply, gain_of, like_training, summary

POWERS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
MOST = 1.03


def slopes(levels: pd.DataFrame) -> pd.Series:
    """Return the slope of the log gap over the log of the prior's force, by model."""
    logs = np.log(levels[["gap", "prior_norm"]]).assign(model=levels["model"])
    return logs.groupby("model", sort=False).apply(
        lambda rows: np.polyfit(rows["prior_norm"], rows["gap"], 1)[0],
        include_groups=False,
    )


def outcomes(curves: pd.DataFrame, levels: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return gain on shifted splits and the worst ratio, by model and power."""
    rows = []
    for model, mine in curves[curves["kind"] == kind].groupby("model", sort=False):
        known = levels[levels["model"] == model]
        for power in POWERS:
            table = summary(apply(replace(FIRST, hot_gap=power, kind=kind), mine, known))
            gain = gain_of(table[~like_training(table.index)])
            rows.append((model, power, gain, table["ratio"].max()))
    return pd.DataFrame(rows, columns=["model", "power", "gain", "worst"])


def chosen(found: pd.DataFrame) -> float:
    """Return the power of some models."""
    means = found.groupby("power").agg(gain=("gain", "mean"), worst=("worst", "max"))
    kept = means[means["worst"] <= MOST]
    best = kept[kept["gain"] >= kept["gain"].max() - 1e-3].index
    return float(best[len(best) // 2])


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) > 1 else FIRST.kind
    curves, levels = (
        pd.read_csv(HERE / f"ttt_gate_{name}_val.csv") for name in ("curves", "levels")
    )
    print("slope of gaps on training geometries:")
    print(slopes(levels).round(2).to_string())
    found = outcomes(curves, levels, kind)
    for values in ("gain", "worst"):
        table = found.pivot_table(index="power", columns="model", values=values)
        print(table.round(3).to_string())
    for model in found["model"].unique():
        power = chosen(found[found["model"] != model])
        mine = found[(found["model"] == model) & (found["power"] == power)].iloc[0]
        print(
            f"chosen without {model}: {power:g}; there {-100 * mine['gain']:+.1f} % on "
            f"shifted splits, worst split x{mine['worst']:.3f}"
        )


if __name__ == "__main__":
    main()
