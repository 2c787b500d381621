"""Score: a finished run -> records. Needs no model; same files, same numbers."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.labels import Labels
from mlffbench.core.plugins.user_file import told_in_one_sentence
from mlffbench.core.record import Comparison, Counts, MetricValue, Outlier, Record
from mlffbench.core.split import NO_CONTROL, NO_TRAIN
from mlffbench.core.structures import Structures
from mlffbench.metrics.alignment import ElementShifts
from mlffbench.metrics.catalog import METRICS
from mlffbench.metrics.intervals.estimates import (
    decisive_group,
    estimate,
    gap,
    paired,
    worst_group,
)
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.metrics.molecules import Molecules
from mlffbench.metrics.pairs import blank
from mlffbench.metrics.samples import Metric, Samples, checked
from mlffbench.run.evaluate.beside import ZERO, Beside
from mlffbench.run.evaluate.chosen_radii import radius_summary
from mlffbench.run.evaluate.pieces import measured
from mlffbench.run.evaluate.stored import StoredRun, StoredSplit
from mlffbench.run.folder import RunFolder

_WORST = "forces_mae"


class Scored(NamedTuple):
    """The records of a run and the energy shifts behind its aligned column."""

    records: list[Record]
    shifts: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Row:
    """A metric of the catalogue, imported."""

    name: str
    function: Metric
    card: MetricCard
    is_outside: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """A split with its energies aligned and its molecules found."""

    split: StoredSplit
    aligned: Labels | None
    molecules: Molecules

    def measure(self, row: _Row, prediction: Labels | None = None) -> dict[str, Samples]:
        """Return the samples of a metric, empty when its energies cannot be aligned."""
        if prediction is None:
            wants = row.card.energies == "aligned"
            prediction = self.aligned if wants else self.split.prediction
        if prediction is None:
            return {}
        who = f"metric {row.name!r}"
        with told_in_one_sentence(who) if row.is_outside else nullcontext():
            split = self.split
            found = measured(row.function, prediction, split.reference, split.structures)
            return checked(found, split.structures)


class _Others(NamedTuple):
    """What a split is compared with; None where there is none.

    Attributes:
        control: The ID split of the same run.
        baseline: The same split without refinement.
        prior: The same split under the prior alone.
    """

    control: _Judged | None
    baseline: _Judged | None
    prior: _Judged | None


def score_run(folder: RunFolder) -> Scored:
    """Return the records of a finished run, one per split other than train.

    Beside a run of another mode its baseline and its prior are compared on the same
    structures, when the folders next to it hold runs that saw the same structures.

    Raises:
        StoreError: The run has not finished, or a file of it is missing or broken.
    """
    run = StoredRun.read(folder)
    rows = _metric_rows()
    shifts = fit_shifts(run)
    judged = [_judge(split, shifts) for split in run.splits]
    tested = [item for item in judged if item.split.manifest["role"] != "train"]
    beside = Beside.find(run)
    prior_shifts = fit_shifts(beside.prior_run) if beside.prior_run else None
    baseline = _by_sha256(beside.baseline, shifts)
    prior = _by_sha256(beside.prior_run, prior_shifts)
    records = []
    for item in tested:
        sha256 = str(item.split.manifest["sha256"])
        others = _Others(
            _control_of(item, tested), baseline.get(sha256), prior.get(sha256)
        )
        record = _record(run, item, others, rows=rows, shifts=shifts)
        records.append(record.model_copy(update={"prior": beside.prior}))
    return Scored(records, shifts.to_json() if shifts else None)


def compare_runs(
    folder: RunFolder, other: RunFolder
) -> list[tuple[dict[str, Any], dict[str, Comparison]]]:
    """Return, for every split both runs saw, its manifest and metric -> comparison.

    Paired on the structures both evaluated; aligned energies use each run's own shifts.

    Raises:
        StoreError: A run has not finished, or a file of it is missing or broken.
        DataError: The runs saw no split of the same structures.
    """
    runs = [StoredRun.read(one) for one in (folder, other)]
    ours, theirs = (_tested(run, fit_shifts(run)) for run in runs)
    if not ours.keys() & theirs.keys():
        msg = f"{folder.path} and {other.path} saw no split of the same structures; "
        raise DataError(msg + "compare runs of one suite, with the same limit and seed")
    rows, found = _metric_rows(), []
    for sha256 in (key for key in ours if key in theirs):
        pairs = {
            row.name: compared
            for row in rows
            if (compared := _paired(row, ours[sha256], theirs[sha256]))
        }
        found.append((ours[sha256].split.manifest, pairs))
    return found


def _tested(run: StoredRun, shifts: ElementShifts | None) -> dict[str, _Judged]:
    """Return the splits of a run by their sha256, without train."""
    return {
        str(split.manifest["sha256"]): _judge(split, shifts)
        for split in run.splits
        if split.manifest["role"] != "train"
    }


def fit_shifts(run: StoredRun) -> ElementShifts | None:
    """Return the per-element shifts fitted on the run's training split.

    The training split is predicted without refinement in every mode, so that all modes of
    a model share one fit. None when there is no such split, or the model has no energy
    for any of it.
    """
    train = _train_of(run)
    if train is None:
        return None
    try:
        return ElementShifts.fit(
            train.prediction.energy, train.reference.energy, train.structures
        )
    except DataError:
        return None  # nothing was predicted there; the records say so


def _train_of(run: StoredRun) -> StoredSplit | None:
    trained = (split for split in run.splits if split.manifest["role"] == "train")
    return next(trained, None)


def _metric_rows() -> list[_Row]:
    return [
        _Row(
            name,
            METRICS.load(name),
            cast("MetricCard", entry.card),
            is_outside=bool(entry.package),
        )
        for name, entry in METRICS.rows().items()
    ]


def _judge(split: StoredSplit, shifts: ElementShifts | None) -> _Judged:
    aligned = shifts.apply(split.prediction, split.structures) if shifts else None
    return _Judged(split, aligned, Molecules.of(split.structures.group))


def _control_of(item: _Judged, tested: list[_Judged]) -> _Judged | None:
    """Return the ID split an OOD split is measured against."""
    if not item.split.manifest["role"].startswith("ood"):
        return None
    named = item.split.manifest["control"]
    controls = [one for one in tested if one.split.manifest["role"].startswith("id")]
    if named:
        controls = [one for one in controls if one.split.manifest["name"] == named]
    return controls[0] if controls else None


def _by_sha256(run: StoredRun | None, shifts: ElementShifts | None) -> dict[str, _Judged]:
    """Return the splits of a run by their sha256; empty when there is no run."""
    splits = run.splits if run else ()
    return {str(split.manifest["sha256"]): _judge(split, shifts) for split in splits}


def _record(
    run: StoredRun,
    item: _Judged,
    others: _Others,
    *,
    rows: list[_Row],
    shifts: ElementShifts | None,
) -> Record:
    seed = int(run.manifest["job"]["seed"])
    split = item.split
    metrics: dict[str, MetricValue] = {}
    gaps: dict[str, Comparison] = {}
    pairs: dict[str, Comparison] = {}
    priors: dict[str, Comparison] = {}
    worst, decisive = None, None
    for row in rows:
        samples = item.measure(row)
        for label, part in samples.items():
            value = estimate(part, item.molecules, card=row.card)
            if value is not None:
                metrics[f"{row.name}[{label}]" if label else row.name] = value
        if "" not in samples:
            continue
        if others.control is not None:
            compared = _gap(row, samples[""], item, others.control)
            gaps |= {row.name: compared} if compared else {}
        if others.baseline is not None:
            compared = _paired(row, item, others.baseline)
            pairs |= {row.name: compared} if compared else {}
        if others.prior is not None:
            compared = _paired(row, item, others.prior)
            priors |= {row.name: compared} if compared else {}
        if row.name == _WORST:
            worst = worst_group(samples[""], item.molecules, card=row.card)
            decisive = decisive_group(samples[""], item.molecules)
    counts = _count(split)
    return Record(
        suite=run.manifest["job"]["suite"],
        suite_version=run.manifest["job"]["suite_version"],
        split=split.manifest["name"],
        role=split.manifest["role"],
        shift=split.manifest["shift"],
        control=others.control.split.manifest["name"] if others.control else "",
        model=run.manifest["job"]["model"],
        mode=run.manifest["mode"]["name"],
        seed=seed,
        split_sha256=split.manifest["sha256"],
        status=_status(counts),
        counts=counts,
        metrics=metrics,
        gap=gaps,
        paired=pairs,
        against_prior=priors,
        against_zero=_against_zero(run, item, rows),
        worst_group=(worst.group, worst.value) if worst else None,
        outlier=Outlier(molecule=decisive.group, share=decisive.share)
        if decisive
        else None,
        wall_s_per_structure=_seconds(run.manifest, split, counts),
        radius=radius_summary(
            run, split, others.baseline.split if others.baseline else None
        ),
        provenance=run.provenance_of(split),
        notes=_notes(run, item, others, shifts),
    )


def _gap(
    row: _Row, samples: Samples, item: _Judged, control: _Judged
) -> Comparison | None:
    reference = control.measure(row).get("")
    if reference is None:
        return None
    return gap(samples, item.molecules, reference, control.molecules, card=row.card)


def _paired(row: _Row, item: _Judged, other: _Judged) -> Comparison | None:
    """Compare on the structures both evaluated, which some metrics couple."""
    wants = row.card.energies == "aligned"
    ours, theirs = (
        one.aligned if wants else one.split.prediction for one in (item, other)
    )
    if ours is None or theirs is None:
        return None
    keep = _is_ok(item.split) & _is_ok(other.split)
    structures = item.split.structures
    a = item.measure(row, blank(ours, structures, keep=keep)).get("")
    b = item.measure(row, blank(theirs, structures, keep=keep)).get("")
    if a is None or b is None:
        return None
    return paired(a, b, item.molecules, card=row.card)


def _against_zero(
    run: StoredRun, item: _Judged, rows: list[_Row]
) -> dict[str, Comparison]:
    """Compare the force error with that of no forces at all; empty for that model."""
    if run.manifest["job"]["model"] == ZERO:
        return {}
    row = next(row for row in rows if row.name == _WORST)
    still = item.split.prediction
    nothing = replace(still, forces=torch.zeros_like(still.forces))
    mine, zero = item.measure(row)[""], item.measure(row, nothing)[""]
    compared = paired(mine, zero, item.molecules, card=row.card)
    return {row.name: compared} if compared else {}


def _count(split: StoredSplit) -> Counts:
    status = split.table["status"].value_counts()
    bad = split.table[split.table["status"] != "ok"]
    reasons = dict((bad["status"] + ": " + bad["reason"]).value_counts())
    reference = split.reference
    no_forces = torch.zeros(len(split.table), dtype=torch.int64)
    broken = ~torch.isfinite(reference.forces).all(dim=1)
    no_forces[split.structures.system[broken]] = 1
    no_energy = ~torch.isfinite(reference.energy)
    for what, missing in (("forces", no_forces > 0), ("energy", no_energy)):
        count = int((missing.numpy() & _is_ok(split)).sum())
        reasons |= {f"evaluated, but without reference {what}": count} if count else {}
    return Counts(
        total=len(split.table),
        evaluated=int(status.get("ok", 0)),
        skipped=int(status.get("skipped", 0)),
        failed=int(status.get("failed", 0)),
        reasons={str(reason): int(count) for reason, count in reasons.items()},
    )


def _status(counts: Counts) -> Literal["ok", "skipped", "failed"]:
    if counts.evaluated:
        return "ok"
    return "skipped" if counts.failed == 0 else "failed"


def _seconds(
    manifest: Mapping[str, Any], split: StoredSplit, counts: Counts
) -> float | None:
    tried = counts.evaluated + counts.failed
    wall_s = manifest["wall_s"].get(f"{split.manifest['name']}/{split.manifest['role']}")
    return float(wall_s) / tried if wall_s is not None and tried else None


def _notes(
    run: StoredRun, item: _Judged, others: _Others, shifts: ElementShifts | None
) -> tuple[str, ...]:
    if _count(item.split).evaluated == 0:
        return ()
    notes = []
    if item.split.manifest["role"].startswith("ood") and others.control is None:
        notes.append(f"no gap to ID: {NO_CONTROL}")
    if shifts is None:
        why = "the model has none for the training split"
        why = NO_TRAIN if _train_of(run) is None else why
        return (*notes, f"no aligned energies: {why}")
    unseen = shifts.unseen(_evaluated(item.split))
    if unseen:
        notes.append(
            f"no aligned energies for elements absent from train: {' '.join(unseen)}"
        )
    open_ones = int(
        (shifts.undetermined(item.split.structures) & _is_ok(item.split)).sum()
    )
    if open_ones:
        notes.append(
            f"aligned energies of {open_ones} structures rest on a guess: no combination "
            "of training compositions makes theirs"
        )
    if shifts.rank_deficient:
        notes.append(
            f"aligned energies rest on {shifts.rank} independent compositions for "
            f"{len(shifts.elements)} elements: shifts absorb part of the mean error"
        )
    return tuple(notes)


def _evaluated(split: StoredSplit) -> Structures:
    return split.structures.select(np.flatnonzero(_is_ok(split)).tolist())


def _is_ok(split: StoredSplit) -> NDArray[np.bool_]:
    return np.asarray(split.table["status"] == "ok", dtype=np.bool_)
