"""Redraw the tables of the scans in docs/diagnostics.md: whom they warn, and of what.

What they say of models whose dynamics are known to drift, the molecules and cutoffs of
rr_nve.csv, and of a GemNet-dT, whose forces have no energy. And whether they foretell
errors, ranked as every diagnostic is, on some structures of each test split of mini-ood.

Usage: python docs/diagnostics_scans.py        (some 5 minutes on one core)
"""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch

from mlffbench.core.forcefield import ForceField
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.catalog import DIAGNOSTICS
from mlffbench.diagnostics.diagnosis import Rank
from mlffbench.diagnostics.diagnostic import Sample
from mlffbench.diagnostics.study import diagnose
from mlffbench.models.load import load_model
from mlffbench.models.twoheaded.architecture import Architecture
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.refine.prior_head import PriorLabels
from mlffbench.run.diagnose.diagnosis_job import study_of_splits
from mlffbench.run.diagnose.instruments import Instruments
from mlffbench.run.evaluate.evaluation_job import splits_of
from mlffbench.run.suite import load_suite
from mlffbench.run.suite_splits import load_splits

HERE = Path(__file__).parent
PAGE = HERE / "diagnostics.md"
START, END = "<!-- scans -->\n", "<!-- end of scans -->"
MODELS = ("mini-mace", "mini-schnet", "mini-gemnet")
SCANS = ("bond_scan", "jacobian_asymmetry", "diatomic_hole")
BESIDE = ("prior_gap", "embedding_knn", "open_shell")
PER_SPLIT = 16


def ranked(name: str) -> dict[str, Rank]:
    """Return how well each diagnostic foretells the errors of a model."""
    splits = splits_of(load_splits(*load_suite("mini-ood")), "test")
    prior = PriorLabels("gfn2-xtb").of
    model = load_model(name, ModelOptions())
    kit = Instruments.of(model, prior=prior, scans=True)
    found = study_of_splits(splits, kit, limit=PER_SPLIT, seed=0)
    predictions = [probe.sample.prediction for probe in found.tests]
    return {one.name: one for one in diagnose(found, predictions).ranking}


def cell(one: Rank | None) -> tuple[str, str]:
    if one is None or one.spearman is None:
        return "the same for all", "–"
    rho, worst = one.spearman, one.auroc_worst
    told = f"{rho.value:.2f} [{rho.low:.2f}, {rho.high:.2f}]"
    if worst is None:
        return told, "–"
    return told, f"{worst.value:.2f} [{worst.low:.2f}, {worst.high:.2f}]"


def ranking() -> list[str]:
    found = {name: ranked(name) for name in MODELS}
    heads = [f"{what}, {name}" for name in MODELS for what in ("ρ", "AUROC worst")]
    rows = [
        (row, *(text for name in MODELS for text in cell(found[name].get(row))))
        for row in (*BESIDE, *SCANS)
    ]
    return table(["diagnostic", *heads], rows)


def scanned(model: ForceField, structures: Structures) -> list[float]:
    kit = Instruments.of(model, dtype="float64", scans=True)
    sample = kit.examine([Sample(name="", structures=structures)])[0]
    return [
        float(DIAGNOSTICS.load(row)(sample).measure(sample).values[0]) for row in SCANS
    ]


def direct() -> TwoHeaded:
    """Return a GemNet-dT with random weights."""
    architecture = Architecture.model_validate(
        {
            "network": "gemnet",
            "elements": (1, 6, 7, 8),
            "cutoff": 4.5,
            "gemnet": {"direct_forces": True, "atom": 32, "edge": 32, "triplet": 16},
        }
    )
    one = {"prior": 1.0, "ref": 1.0}
    none: dict[str, dict[int, float]] = {"prior": {}, "ref": {}}
    return TwoHeaded.build(
        architecture, atomic_energies=none, scale=one, seed=0, dtype="float64"
    )


def dynamics() -> list[str]:
    """Return what scans say of models beside the drift of free trajectories of them."""
    known = pd.read_csv(HERE / "rr_nve.csv")
    structures = {
        split.name: split.source.structures(split.rows[:1])
        for split in load_splits(*load_suite("mini-ood"))
        if split.role.endswith("_val") and split.name in set(known["split"])
    }
    rows, drifts, scans = [], [], []
    for row in known.itertuples():
        model = load_model(row.model, ModelOptions(dtype="float64"))
        words = row.cutoff.split(",")[0]
        if words != "trained":
            scope = {"truncate": "graph", "rescale": "graph+envelope"}[words]
            model = model.with_cutoff(3.5, scope)
        values = scanned(model, structures[row.split])
        drifts.append(abs(row.drift_mev_per_atom_per_ps))
        scans.append(values[0])
        rows.append((row.model, row.cutoff, row.molecule, *told(values),
                     f"{row.drift_mev_per_atom_per_ps:.2f}"))  # fmt: skip
    values = scanned(direct(), structures["id_molecules"])
    rows.append(("GemNet-dT, random weights", "trained, 4.5 Å",
                 known["molecule"][0], *told(values), "–"))  # fmt: skip
    rho = pd.Series(scans).corr(pd.Series(drifts), method="spearman")
    heads = ["model", "cutoff", "molecule", "bond_scan (meV)", "jacobian_asymmetry",
             "diatomic_hole (eV)", "drift (meV/atom/ps)"]  # fmt: skip
    note = f"\nSpearman's ρ of bond_scan and |drift|: {rho:.2f} ({len(drifts)} rows).\n"
    return [*table(heads, rows), note]


def told(values: list[float]) -> tuple[str, str, str]:
    return f"{1000 * values[0]:.2f}", f"{values[1]:.2g}", f"{values[2]:.2g}"


def table(columns: list[str], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def main() -> None:
    torch.set_num_threads(1)
    np.seterr(all="ignore")
    text = "\n".join([*dynamics(), *ranking()])
    print(text)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    PAGE.write_text(f"{before}{START}\n{text}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
