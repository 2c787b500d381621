"""Redraw the tables and the figure of docs/screen.md: coverage, AUROC, risk-coverage.

Usage: python docs/screen_coverage.py [MODEL ...]

Calibrated on the val halves of the suite each model comes with, looked at on its test
halves. Two minutes.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import rankdata

from mlffbench.deploy.prediction_job import suite_of
from mlffbench.diagnostics.study import errors_of
from mlffbench.screening.calibration import Calibration, fold_of
from mlffbench.screening.evidence_kit import EvidenceKit
from mlffbench.screening.risk_probe import RISK, with_risk

HERE = Path(__file__).parent
PAGE = HERE / "screen.md"
START, END = "<!-- tables -->\n", "<!-- end -->"
MODELS = ("mini-mace", "mini-schnet", "mini-gemnet", "mace-spice")
ALARMS = ("prior_gap", "embedding_knn", "open_shell")
ADDED = ("embedding_mahalanobis", "prior_force", "size", RISK)
"""Alarms of which it is told what they would add."""
RANKED = ("prior_gap", "embedding_knn", "embedding_mahalanobis", RISK)
"""Alarms that are ranked beside the expected error."""
HELD = (85.0, 95.0)
"""Per cent of structures that a 90 % interval is to hold, split by split."""
RISK_AT = (0.5, 0.75, 0.9)


def measured(model: str) -> pd.DataFrame:
    """Return one row per labelled structure of both halves: alarms and true error."""
    kit = EvidenceKit.of([model], suite_of(model))
    halves = [(half, *one) for half in ("val", "test") for one in kit.samples_of(half)]
    _, *found = kit.alarms_of([sample for _, _, sample in halves])
    n_val = sum(half == "val" for half, *_ in halves)
    val, test = found[:n_val], found[n_val:]
    errors = [errors_of(one.sample, one.sample.prediction) for one in val]
    val, test = with_risk(val, errors, test)
    found = [*val, *test]
    frames = []
    for (half, split, _), one in zip(halves, found, strict=True):
        frames.append(
            pd.DataFrame(
                {
                    "half": half,
                    "split": split.name,
                    "role": split.role,
                    "molecule": list(one.sample.structures.group),
                    "error": errors_of(one.sample, one.sample.prediction),
                    **{name: one.alarms[name] for name in (*ALARMS, *ADDED)},
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def alarms_of(rows: pd.DataFrame, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: rows[name].to_numpy() for name in names}


def calibrated(known: pd.DataFrame, names: Sequence[str] = ALARMS) -> Calibration:
    error, molecules = known["error"].to_numpy(), list(known["molecule"])
    return Calibration.of(alarms_of(known, names), error, molecules)


def unexplained(known: pd.DataFrame, names: Sequence[str]) -> float:
    """Return the rms of log error on held-out molecules, every molecule counted once."""
    squares = []
    for _, out in known.groupby(known["molecule"].map(fold_of)):
        expected = calibrated(known.drop(out.index), names).expect(alarms_of(out, names))
        squares.append(np.log(out["error"] / expected.middle) ** 2)
    of_molecules = pd.concat(squares).groupby(known["molecule"]).mean()
    return float(np.sqrt(of_molecules.mean()))


def covered(calibration: Calibration, rows: pd.DataFrame) -> np.ndarray:
    expected = calibration.expect(alarms_of(rows, ALARMS))
    error = rows["error"].to_numpy()
    return (error >= expected.low) & (error <= expected.high)


def coverage_rows(data: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return coverage by split, calibrated on everything and without that very shift."""
    val, test = data[data["half"] == "val"], data[data["half"] == "test"]
    whole = calibrated(val)
    rows = []
    for split, mine in test.groupby("split", sort=False):
        without = calibrated(val[val["split"] != split])
        rows.append(
            (
                str(split),
                f"{mine['molecule'].nunique()} / {len(mine)}",
                f"{100 * covered(whole, mine).mean():.0f}",
                f"{100 * covered(without, mine).mean():.0f}"
                if without.has_interval
                else "too few",
            )
        )
    inside = 100 * covered(whole, test).mean()
    n = f"{test['molecule'].nunique()} / {len(test)}"
    return [*rows, ("all", n, f"{inside:.0f}", "")]


def coverage_table(found: dict[str, pd.DataFrame]) -> str:
    """Return the coverage of models on one suite, and which shifts break it."""
    beside = [coverage_rows(data) for data in found.values()]
    heads = [
        f"{what}, {m}" for m in found for what in ("calibrated", "without this shift")
    ]
    rows = [
        (*lines[0][:2], *(cell for line in lines for cell in line[2:]))
        for lines in zip(*beside, strict=True)
    ]
    said = []
    for model, lines in zip(found, beside, strict=True):
        shares = {name: float(share) for name, _, share, _ in lines[:-1]}
        low = [f"{n} ({s:.0f})" for n, s in shares.items() if s < HELD[0]]
        high = [f"{n} ({s:.0f})" for n, s in shares.items() if s > HELD[1]]
        said.append(
            f"- {model}: less than {HELD[0]:.0f} % on {', '.join(low) or 'no split'}; "
            f"more than {HELD[1]:.0f} % on {', '.join(high) or 'no split'}."
        )
    told = "\n".join(said)
    return f"{table(['split', 'molecules / structures', *heads], rows)}\n{told}\n"


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    ranks, n = rankdata(scores), int(positive.sum())
    others = len(scores) - n
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * others))


def risk(scores: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the mean error of the k least alarming structures, for every k."""
    order = np.argsort(scores, kind="stable")
    return np.cumsum(errors[order]) / np.arange(1, len(errors) + 1)


def ranking_rows(data: pd.DataFrame, model: str) -> list[tuple[str, ...]]:
    val, test = data[data["half"] == "val"], data[data["half"] == "test"]
    errors = test["error"].to_numpy()
    usual = np.quantile(val.loc[val["role"] == "id_val", "error"], 0.95)
    best, chance = risk(errors, errors).mean(), errors.mean()
    rows = []
    for name, scores in scores_of(data).items():
        curve = risk(scores, errors)
        kept = [curve[int(share * len(errors)) - 1] for share in RISK_AT]
        worst = errors >= np.quantile(errors, 0.9)
        rows.append(
            (
                model,
                name,
                f"{auroc(scores, errors > usual):.3f}",
                f"{auroc(scores, worst):.3f}",
                *(f"{1000 * value:.0f}" for value in kept),
                f"{(curve.mean() - best) / (chance - best):.3f}",
            )
        )
    return rows


def scores_of(data: pd.DataFrame) -> dict[str, np.ndarray]:
    test = data[data["half"] == "test"]
    calibration = calibrated(data[data["half"] == "val"])
    alarms = alarms_of(test, ALARMS)
    expected = calibration.expect(alarms).middle
    return {"expected error": expected, **alarms_of(test, RANKED)}


def draw(found: dict[str, pd.DataFrame]) -> None:
    figure, axes = plt.subplots(
        1, len(found), figsize=(4.4 * len(found), 3.4), squeeze=False
    )
    for axis, (model, data) in zip(axes[0], found.items(), strict=True):
        errors = data.loc[data["half"] == "test", "error"].to_numpy()
        share = np.arange(1, len(errors) + 1) / len(errors)
        for name, scores in {**scores_of(data), "oracle": errors}.items():
            style = "k:" if name == "oracle" else "-"
            axis.plot(share, 1000 * risk(scores, errors), style, label=name)
        axis.axhline(1000 * errors.mean(), color="0.7", lw=1, label="no alarm")
        axis.set(title=model, xlabel="share of structures kept", ylim=(0, None))
    axes[0][0].set_ylabel("mean force MAE of the kept (meV/Å)")
    axes[0][0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(HERE / "screen_risk_coverage.png", dpi=110)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main() -> None:
    models = sys.argv[1:] or MODELS
    found = {model: measured(model) for model in models}
    text = []
    for suite in dict.fromkeys(map(suite_of, models)):
        mine = {model: found[model] for model in models if suite_of(model) == suite}
        text.append(f"### {suite}: coverage of the 90 % interval on test halves, in %\n")
        text.append(coverage_table(mine))
    text.append("### Which score finds the bad ones\n")
    kept = [f"MAE, {share:.0%} kept" for share in RISK_AT]
    heads = [
        "model",
        "score",
        "AUROC, beyond usual",
        "AUROC, worst tenth",
        *kept,
        "excess",
    ]
    rows = [row for model, data in found.items() for row in ranking_rows(data, model)]
    text.append(table(heads, rows))
    facts = []
    tried = (
        ALARMS,
        ("prior_gap", "embedding_knn"),
        ("prior_gap",),
        ("embedding_knn",),
        (RISK,),
        *((*ALARMS, more) for more in ADDED),
    )
    for model, data in found.items():
        val = data[data["half"] == "val"]
        one = calibrated(val)
        width = np.exp(one.above - one.below)
        facts.append(
            f"{model}: {one.n_structures} structures of {one.n_molecules} molecules; the "
            f"upper end is {width:.1f} times the lower."
        )
        left = (f"{unexplained(val, ns):.2f} by {' + '.join(ns)}" for ns in tried)
        facts.append(f"{model}, rms of log error left on val halves: {', '.join(left)}.")
    text.append("\n".join(f"- {fact}" for fact in facts) + "\n")
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    PAGE.write_text(
        f"{before}{START}\n" + "\n".join(text) + f"\n{END}{rest.partition(END)[2]}"
    )
    draw(found)
    print("\n".join(text))


if __name__ == "__main__":
    main()
