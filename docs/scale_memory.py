"""The picture of docs/scale.md from docs/scale_memory.csv.

The rows of ``now`` are what `python benchmarks/scale.py memory` printed; the others are
of earlier versions, on the same machine. Usage: python docs/scale_memory.py
"""

from pathlib import Path

import matplotlib as mpl
import pandas as pd

mpl.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
LINES = {
    ("before", "score_gb"): ("everything held", "#b0b0b0", "o"),
    ("regions", "score_gb"): ("scored as a whole", "#d08a2e", "s"),
    ("now", "run_gb"): ("now: run", "#1f5fa8", "o"),
    ("now", "score_gb"): ("now: score", "#1f5fa8", "^"),
}


def main() -> None:
    told = pd.read_csv(HERE / "scale_memory.csv")
    figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for (version, column), (label, colour, marker) in LINES.items():
        rows = told[told["version"] == version]
        axes.plot(rows["structures"], rows[column], color=colour, marker=marker)
        end = rows.iloc[-1]
        axes.annotate(
            label,
            (end["structures"], end[column]),
            xytext=(8, -3),
            textcoords="offset points",
            color=colour,
        )
    axes.axhline(0.39, color="#999999", linestyle=":", linewidth=1)
    axes.text(1.05e4, 0.4, "imports", color="#777777", va="bottom")
    axes.set(xscale="log", xlim=(9e3, 3e6), ylim=(0, 1.2))
    axes.set(xlabel="structures of 14 atoms", ylabel="peak memory, GB")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "scale_memory.png", dpi=150)


if __name__ == "__main__":
    main()
