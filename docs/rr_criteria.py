"""Which rule should choose a cutoff? Every criterion on one half of ``mini-ood``.

Writes rr_criteria_<half>.csv and, for val, rr_criteria.png beside this file. Minutes on
one core; prior labels are cached. Of each split ``--limit`` structures are taken, of as
many molecules as there are.

Usage: python docs/rr_criteria.py [--half val|test] [--smallest 3.0] [--limit 24]
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch

from mlffbench.core.in_turn import in_turn
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.record import MetricValue
from mlffbench.core.spectrum import Spectra, SpectralReference, spectra
from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.cutoff_errors import errors_by_cutoff
from mlffbench.metrics.intervals.share import share
from mlffbench.metrics.molecules import Molecules
from mlffbench.models.cutoffs import candidates_of, radii_of
from mlffbench.models.load import load_model
from mlffbench.refine.prior_head import PriorLabels
from mlffbench.refine.prior_level import PriorLevel, level_of
from mlffbench.refine.radius.criteria import mean_over_groups, prior_scores
from mlffbench.refine.unit_gate import START, START_GAP, UnitGate
from mlffbench.run.evaluate.execute import training_of
from mlffbench.run.suite import load_suite
from mlffbench.run.suite_splits import load_splits

SUITE, PRIOR = "mini-ood", "gfn2-xtb"
MODELS = ("mini-mace", "mini-schnet")
ENVELOPES = ("truncate", "rescale", "either")
SIMILAR = 30
"""Training graphs of the most similar size that make a reference of their own."""
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What the training graphs look like."""

    reference: SpectralReference
    spectra: Spectra

    @classmethod
    def of(cls, structures: Structures, cutoff: float) -> "Training":
        found = spectra(structures, [cutoff])
        return cls(SpectralReference.of(structures, cutoff), found)

    def of_size(self, n_atoms: int) -> np.ndarray:
        """Return the mean spectrum of the training graphs of the most similar size."""
        away = (self.spectra.sizes - n_atoms).abs()
        nearest = away.argsort(stable=True)[:SIMILAR]
        mean = self.spectra.eigenvalues[0, nearest].nan_to_num(0.0).mean(0)
        return mean.numpy()


@dataclass(frozen=True, slots=True, eq=False)
class Kit:
    """A model, what its training graphs look like, and what its gate compares with."""

    model: Any
    training: Training
    level: PriorLevel

    @classmethod
    def of(cls, name: str, splits: list[Split]) -> "Kit":
        model: Any = load_model(name, ModelOptions())
        [train] = [split for split in splits if split.role == "train"]
        level = level_of(model, training_of(SUITE, splits, 0), PriorLabels(PRIOR))
        return cls(model, Training.of(train.structures, model.cutoff), level)


def spectral_scores(found: Spectra, training: Training) -> dict[str, torch.Tensor]:
    """Return scores by criterion, shape (n_radii, n_systems); the lowest is chosen."""
    values = found.eigenvalues.nan_to_num(0.0)
    similar = torch.zeros(values.shape[:2], dtype=torch.float64)
    for place, size in enumerate(found.sizes.tolist()):
        mean = torch.from_numpy(training.of_size(size))
        width = max(len(mean), values.shape[-1])
        one, other = torch.zeros(len(values), width).double(), torch.zeros(width).double()
        one[:, : values.shape[-1]], other[: len(mean)] = values[:, place], mean
        similar[:, place] = torch.linalg.vector_norm(one - other, dim=-1)
    gap, degree = training.spectra.gap().nanmean(), training.spectra.mean_degree().mean()
    return {
        "padded-l2": training.reference.padded_l2(found),
        "quantile": training.reference.quantile(found),
        "padded-l2, similar size": similar,
        "spectral gap": (found.gap().nan_to_num(0.0) - gap).abs(),
        "mean degree": (found.mean_degree() - degree).abs(),
    }


def study(
    split: Split, places: list[int], kit: "Kit", smallest: float
) -> Iterator[dict[str, object]]:
    """Yield a row per criterion and envelope; every candidate is asked once."""
    model, training = kit.model, kit.training
    radii = radii_of(model.cutoff, smallest=smallest, n_radii=N_RADII[smallest], given="")
    structures = split.structures.select(places)
    pieces = torch.split(split.reference.forces, split.structures.sizes.tolist())
    reference = Labels(
        energy=split.reference.energy[places],
        forces=torch.cat([pieces[place] for place in places]),
        source="reference",
    )
    labels = PriorLabels(PRIOR).of(structures)
    found = spectra(structures, radii)
    molecules = Molecules.of(structures.group)
    weight = structures.sizes.numpy().astype(np.float64)
    everything = candidates_of(model, radii, "either")
    edges = found.n_edges[[radii.index(one.cutoff) for one in everything]]
    all_guided = prior_scores(everything, structures, labels, edges)
    all_errors = errors_by_cutoff(everything, structures, reference)
    alone = left_alone(kit, structures, labels)
    for envelope in ENVELOPES:
        mine = [
            number
            for number, one in enumerate(everything)
            if envelope == "either" or one.envelope in ("trained", envelope)
        ]
        rows = [radii.index(everything[number].cutoff) for number in mine]
        guided, errors = all_guided[mine], all_errors[mine]
        scores = {
            "prior-guided": guided,
            "prior-guided, per group": mean_over_groups(guided, structures.group),
        }
        gated = guided.clone()
        gated[0, alone] = -1.0
        scores["prior-guided, gated"] = gated
        if envelope != "either":
            scores |= spectral_scores(found, training)
        best = errors.min(axis=0)
        for name, score in scores.items():
            chosen = score.nan_to_num(torch.inf).argmin(0).numpy()
            after = errors[chosen, np.arange(structures.n_systems)]
            gain, most = (errors[0] - after) * weight, (errors[0] - best) * weight
            base = errors[0] * weight
            yield {
                "model": model.name,
                "split": split.name,
                "role": split.role,
                "envelope": envelope,
                "criterion": name,
                "n": structures.n_systems,
                "molecules": len(molecules.keys),
                "baseline": 1000 * base.sum() / weight.sum(),
                "refined": 1000 * (after * weight).sum() / weight.sum(),
                "oracle": 1000 * (best * weight).sum() / weight.sum(),
                **_interval("headroom", share(most, base, molecules)),
                **_interval("gain", share(gain, base, molecules)),
                **_interval("captured", share(gain, most, molecules)),
                "changed": _changed([rows[pick] for pick in chosen], found),
            }


def left_alone(kit: "Kit", structures: Structures, labels: Labels) -> list[int]:
    """Return the structures that the gate leaves at the trained cutoff."""
    gate = UnitGate.of(
        kit.model, structures, labels.forces, kit.level, start=START, start_gap=START_GAP
    )
    known = (i for i in range(structures.n_systems) if i not in labels.failures)
    return [place for place in known if gate.why_not([place])]


def _interval(name: str, value: MetricValue | None) -> dict[str, float | None]:
    if value is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def _changed(picked: list[int], found: Spectra) -> float:
    """Return the share of structures whose graph is another at their radius."""
    edges = found.n_edges[picked, range(len(picked))]
    return float((edges != found.n_edges[0]).double().mean())


N_RADII = {3.0: 10, 2.5: 13, 2.0: 16}
"""Sizes of the grids, all with the same step of 1/6 Å below 4.5 Å."""


def draw(table: pd.DataFrame) -> None:
    """Draw the force error of each criterion against baseline and oracle."""
    import matplotlib.pyplot as plt

    splits = [name for name in table["split"].unique() if name.startswith("ood")]
    criteria = list(table["criterion"].unique())
    figure, axes = plt.subplots(
        len(MODELS), 3, figsize=(11, 6.2), sharey="row", constrained_layout=True
    )
    for row, model in zip(axes, MODELS, strict=True):
        for axis, envelope in zip(row, ENVELOPES, strict=True):
            mine = table[(table["model"] == model) & (table["envelope"] == envelope)]
            for number, split in enumerate(splits):
                part = mine[mine["split"] == split].set_index("criterion")
                names = [name for name in criteria if name in part.index]
                axis.plot(
                    [names.index(n) for n in names],
                    100 * part.loc[names, "gain"].clip(lower=-0.5),
                    "o",
                    label=split.removeprefix("ood_"),
                    color=f"C{number}",
                )
                axis.axhline(100 * part["headroom"].iloc[0], color=f"C{number}", ls=":")
            axis.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=7)
            axis.axhline(0, color="black", lw=0.8)
            axis.set_title(f"{model}, {envelope}", fontsize=9)
        row[0].set_ylabel("force MAE removed (%)\ndotted: oracle")
    axes[0, 0].legend(fontsize=7)
    figure.savefig(HERE / "rr_criteria.png", dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("val", "test"), default="val")
    parser.add_argument("--smallest", type=float, choices=sorted(N_RADII), default=3.0)
    parser.add_argument("--limit", type=int)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    splits = load_splits(*load_suite(SUITE))
    rows: list[dict[str, object]] = []
    for name in MODELS:
        kit = Kit.of(name, splits)
        for split in splits:
            if not split.role.endswith(f"_{wanted.half}"):
                continue
            names = split.structures.group, split.structures.ids
            places = sorted(in_turn(*names)[: wanted.limit])
            rows += study(split, places, kit, wanted.smallest)
            print(f"{name} {split.name} {split.role}", flush=True)
    table = pd.DataFrame(rows)
    name = f"rr_criteria_{wanted.half}"
    if wanted.smallest != 3.0:
        name += f"_{wanted.smallest:g}"
    table.to_csv(HERE / f"{name}.csv", index=False, float_format="%.4g")
    if name == "rr_criteria_val":
        draw(table)


if __name__ == "__main__":
    main()
