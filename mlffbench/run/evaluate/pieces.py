"""Pieces: which metrics may be shown a split a piece at a time, and what they say."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray

from mlffbench.core.labels import Labels
from mlffbench.core.plugins.user_file import told_in_one_sentence
from mlffbench.core.structures import Structures
from mlffbench.metrics import breakdown, energy, forces, published
from mlffbench.metrics.alignment import ElementShifts
from mlffbench.metrics.catalog import METRICS
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.metrics.pairs import blank
from mlffbench.metrics.samples import Metric, Samples, checked
from mlffbench.run.evaluate.stored import StoredSplit

ONE_BY_ONE: frozenset[Metric] = frozenset(
    {
        forces.forces_mae,
        forces.forces_mae_structure,
        forces.forces_rmse,
        forces.forces_cosine,
        forces.forces_magnitude,
        breakdown.forces_mae_by_element,
        breakdown.forces_mae_by_norm,
        energy.energy_mae_raw,
        energy.energy_mae_aligned,
        published.forces_good_share,
        published.forces_mae_by_connectivity,
        published.forces_mae_by_mean_norm,
        published.forces_mae_structure_by_connectivity,
        published.forces_mae_structure_by_mean_norm,
    }
)
"""Metrics whose samples of a structure depend on nothing but that structure."""
BY_MOLECULE: frozenset[Metric] = frozenset({energy.energy_mae_relative})
"""Metrics of energies whose samples of a structure depend on those of its molecule."""
WORST = "forces_mae"
"""The metric by which molecules, and the model that predicts nothing, are judged."""
Take = Callable[[tuple[str, ...], Samples], None]


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A metric of the catalogue, imported."""

    name: str
    function: Metric
    card: MetricCard
    is_outside: bool

    def measure(
        self, prediction: Labels | None, split: StoredSplit
    ) -> dict[str, Samples]:
        """Return its samples of a split, empty where there is no prediction.

        Raises:
            BenchError: It is another package's and fails.
        """
        if prediction is None:
            return {}
        who = f"metric {self.name!r}"
        with told_in_one_sentence(who) if self.is_outside else nullcontext():
            found = self.function(prediction, split.reference, split.structures)
            return checked(found, split.structures)


def metric_rows() -> list[MetricRow]:
    """Return every metric there is."""
    return [
        MetricRow(
            name,
            METRICS.load(name),
            cast("MetricCard", entry.card),
            is_outside=bool(entry.package),
        )
        for name, entry in METRICS.rows().items()
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A piece of a split with its energies aligned.

    Attributes:
        split: The piece.
        aligned: Its predictions on the reference's zero of energy; None without shifts.
        is_ok: Shape (n_systems,), bool: the structures that were evaluated.
    """

    split: StoredSplit
    aligned: Labels | None
    is_ok: NDArray[np.bool_]

    @classmethod
    def of(cls, split: StoredSplit, shifts: ElementShifts | None) -> Self:
        """Return a piece with its energies aligned."""
        aligned = shifts.apply(split.prediction, split.structures) if shifts else None
        return cls(split, aligned, split.is_ok)

    def prediction(self, row: MetricRow) -> Labels | None:
        """Return what a metric judges."""
        return self.aligned if row.card.energies == "aligned" else self.split.prediction

    def energies_of(self, rows: NDArray[np.int64]) -> "Judged":
        """Return some structures without what metrics of energies do not look at."""
        chosen = self.split.structures.select(rows.tolist())

        def labels(whole: Labels) -> Labels:
            return _energies(whole, whole.energy[rows], chosen.n_atoms)

        cut = replace(
            self.split,
            table=self.split.table.iloc[:0],
            structures=replace(
                chosen,
                positions=torch.zeros((chosen.n_atoms, 3), dtype=torch.float16),
                cell=chosen.cell.to(torch.float16),
                smiles=("",) * chosen.n_systems,
            ),
            prediction=labels(self.split.prediction),
            reference=labels(self.split.reference),
        )
        aligned = self.aligned and labels(self.aligned)
        return Judged(cut, aligned, self.is_ok[rows])

    @classmethod
    def joined(cls, parts: Sequence["Judged"]) -> "Judged":
        """Return what `energies_of` returned several times as one."""
        shown = Structures.concatenate([one.split.structures for one in parts])

        def labels(of: Callable[[Judged], Any]) -> Any:
            held = [of(one) for one in parts]
            return held[0] and _energies(
                held[0], torch.cat([x.energy for x in held]), shown.n_atoms
            )

        split = replace(
            parts[0].split,
            structures=shown,
            prediction=labels(lambda one: one.split.prediction),
            reference=labels(lambda one: one.split.reference),
        )
        is_ok = np.concatenate([one.is_ok for one in parts])
        return cls(split, labels(lambda one: one.aligned), is_ok)


def gauge(
    rows: Sequence[MetricRow],
    own: Judged,
    others: Mapping[str, Judged],
    take: Take,
    *,
    is_zero: bool,
) -> None:
    """Measure a piece, and what it is compared with on the structures both evaluated.

    Args:
        rows: The metrics.
        own: The piece.
        others: The same piece of other runs, by what it is to this one.
        take: Told of every column of samples: ``own``, metric and part; or what it is
            compared with, metric and ``this`` or ``other``.
        is_zero: Whether the model is the one that predicts nothing.
    """
    for row in rows:
        found = row.measure(own.prediction(row), own.split)
        for label, samples in found.items():
            take(("own", row.name, label), samples)
        if "" not in found:
            continue
        for what, other in others.items():
            pair = _paired(row, own, other, found[""])
            if pair is not None:
                take((what, row.name, "this"), pair[0].where(pair[1].evaluated))
                take((what, row.name, "other"), pair[1].where(pair[0].evaluated))
        if row.name == WORST and not is_zero:
            still = own.split.prediction
            nothing = replace(still, forces=torch.zeros_like(still.forces))
            zero = row.measure(nothing, own.split)[""]
            take(("zero", row.name, "this"), found[""].where(zero.evaluated))
            take(("zero", row.name, "other"), zero.where(found[""].evaluated))


def _paired(
    row: MetricRow, own: Judged, other: Judged, samples: Samples
) -> tuple[Samples, Samples] | None:
    """Return samples of both on the structures both evaluated; None without energies."""
    ours, theirs = own.prediction(row), other.prediction(row)
    if ours is None or theirs is None:
        return None
    keep = own.is_ok & other.is_ok
    if row.function in ONE_BY_ONE:
        return samples.where(keep), row.measure(theirs, own.split)[""].where(keep)
    both = [
        row.measure(blank(labels, own.split.structures, keep=keep), own.split).get("")
        for labels in (ours, theirs)
    ]
    return None if both[0] is None or both[1] is None else (both[0], both[1])


def _energies(like: Labels, energies: torch.Tensor, n_atoms: int) -> Labels:
    """Return labels that are energies alone; their forces take no memory."""
    nothing = torch.zeros(1, 3).expand(n_atoms, 3)
    return replace(like, energy=energies, forces=nothing, failures={})
