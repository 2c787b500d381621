"""Their settings against our defaults: the tables of docs/paper.md, and who gains.

After `mlffbench run --suite mini-ood --mode baseline,rr-paper,rr,ttt-paper,ttt`. Force
MAE of the test halves in meV/Å, pooled; the mark is the verdict against baseline.

Usage: python docs/paper_settings.py RUNS
"""

import sys
from typing import Any

import pandas as pd

import mlffbench

MODES = ("baseline", "rr-paper", "rr", "ttt-paper", "ttt")
MARKS = {"better": "↓", "worse": "↑", "no difference": "=", "cannot be judged": "?"}
MEV = 1000.0
SAME = 0.1
"""In per cent: less is the rounding of other batches, and neither falls nor rises."""


def rows_of(frame: pd.DataFrame, model: str, **values: str) -> pd.DataFrame:
    """Return the rows of a model where columns have these values."""
    for column, value in {"model": model, **values}.items():
        frame = frame[frame[column] == value]
    return frame


def errors(found: Any, model: str) -> list[list[str]]:
    """Return one row a split: force MAE of every mode, with the verdict's mark."""
    chosen = rows_of(found.metrics, model, metric="forces_mae")
    value = chosen.pivot_table(index="split", columns="mode", values="value", sort=False)
    against = rows_of(found.comparisons, model, metric="forces_mae", against="baseline")
    verdict = against.set_index(["split", "mode"])["verdict"].to_dict()
    modes = [mode for mode in MODES if mode in value]
    rows = [["split", *modes]]
    for split, of in value.iterrows():
        cells = [
            f"{MEV * of[mode]:,.4g} {MARKS.get(verdict.get((split, mode), ''), '')}"
            for mode in modes
        ]
        rows.append([str(split), *(cell.strip() for cell in cells)])
    counts = rows_of(found.counts, model)
    seconds = (counts["wall_s_per_structure"] * counts["total"]).groupby(counts["mode"])
    wall = MEV * seconds.sum() / counts["total"].groupby(counts["mode"]).sum()
    rows.append(["wall ms per structure", *(f"{wall[mode]:,.2f}" for mode in modes)])
    return rows


def gains(found: Any, model: str) -> list[list[str]]:
    """Return one row a mode: whose error on shifted splits falls, rises, and how far."""
    of = rows_of(found.structures, model, role="ood_test")
    table = of.pivot_table(index=["split", "id"], columns="mode", values="forces_mae")
    rows = [["mode", "n", "fall", "rise", "median gain", "10 to 90 %", "top tenth"]]
    for mode in [mode for mode in MODES[1:] if mode in table]:
        pair = table[["baseline", mode]].dropna()
        before, after = pair["baseline"], pair[mode]
        gain = 100 * (1 - after / before)
        low, middle, high = gain.quantile([0.1, 0.5, 0.9])
        worst = before >= before.quantile(0.9)
        tenth = f"{MEV * before[worst].mean():,.0f} → {MEV * after[worst].mean():,.0f}"
        counted = [len(pair), int((gain > SAME).sum()), int((gain < -SAME).sum())]
        spread = f"{round(low)} to {round(high)} %"
        rows.append([mode, *map(str, counted), f"{middle:.0f} %", spread, tenth])
    return rows


def radii(found: Any, model: str) -> str:
    """Return how often the published rule leaves the trained cutoff, as a sentence."""
    runs = rows_of(found.metrics, model, mode="rr-paper")["run"].unique()
    if not len(runs):
        return "rr-paper was not run"
    table = pd.read_parquet(f"{runs[0]}/predictions.parquet")
    table = table[table["role"] != "train"]
    inert = table["radius_of_grid"] > table["radius"]
    below = table["radius"] < table["radius"].max()
    return (
        f"rr-paper, {len(table)} structures: {int(inert.sum())} choose a radius beyond "
        f"the trained cutoff, {int((~inert & below).sum())} a smaller one; the graph of "
        f"{int(table['graph_changed'].astype(bool).sum())} changes"
    )


def markdown(rows: list[list[str]]) -> str:
    lines = [rows[0], ["---", *["--:"] * (len(rows[0]) - 1)], *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    found = mlffbench.read_results(sys.argv[1])
    modes = found.metrics.groupby("model", sort=False)["mode"].unique()
    for model in [str(model) for model, run in modes.items() if len(run) > 1]:
        print(f"{model}\n\n{markdown(errors(found, model))}\n")
        print(f"{markdown(gains(found, model))}\n\n{radii(found, model)}\n")


if __name__ == "__main__":
    main()
