"""Score: a finished run -> records. Needs no model; same files, same numbers.

Every split is read a piece at a time; of its structures, what their molecules add up to
is kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError
from mlffbench.core.record import Comparison, Counts, MetricValue, Outlier, Record
from mlffbench.core.split import NO_CONTROL, NO_TRAIN
from mlffbench.metrics.alignment import ElementShifts
from mlffbench.metrics.intervals.of_totals import (
    decisive_of,
    gap_of,
    mean_of,
    pair_of,
    worst_of,
)
from mlffbench.metrics.totals_spool import totals_spool
from mlffbench.run.evaluate.beside import Beside
from mlffbench.run.evaluate.open_run import OpenRun, OpenSplit
from mlffbench.run.evaluate.pieces import WORST, MetricRow, metric_rows
from mlffbench.run.evaluate.split_sums import Side, SplitSums
from mlffbench.run.folder import RunFolder


class Scored(NamedTuple):
    """The records of a run and the energy shifts behind its aligned column."""

    records: list[Record]
    shifts: dict[str, Any] | None


def score_run(folder: RunFolder) -> Scored:
    """Return the records of a finished run, one per split other than train.

    Beside a run of another mode its baseline and its prior are compared on the same
    structures, when the folders next to it hold runs that saw the same structures.

    Raises:
        StoreError: The run has not finished, or a file of it is missing or broken.
    """
    run = OpenRun.open(folder)
    rows = metric_rows()
    shifts = fit_shifts(run)
    beside = Beside.find(run)
    prior_shifts = fit_shifts(beside.prior_run) if beside.prior_run else None
    sides = {
        "baseline": _by_sha256(beside.baseline, shifts),
        "prior": _by_sha256(beside.prior_run, prior_shifts),
    }
    with totals_spool() as spool:
        tested = [
            SplitSums.gather(side, _same(sides, sha256), rows, spool)
            for sha256, side in _tested(run, shifts)
        ]
        records = [_record(item, _control_of(item, tested), rows) for item in tested]
    found = [one.model_copy(update={"prior": beside.prior}) for one in records]
    return Scored(found, shifts.to_json() if shifts else None)


def compare_runs(
    folder: RunFolder, other: RunFolder
) -> list[tuple[dict[str, Any], dict[str, Comparison]]]:
    """Return, for every split both runs saw, its manifest and metric -> comparison.

    Paired on the structures both evaluated; aligned energies use each run's own shifts.

    Raises:
        StoreError: A run has not finished, or a file of it is missing or broken.
        DataError: The runs saw no split of the same structures.
    """
    runs = [OpenRun.open(one) for one in (folder, other)]
    ours, theirs = (dict(_tested(run, fit_shifts(run))) for run in runs)
    if not ours.keys() & theirs.keys():
        msg = f"{folder.path} and {other.path} saw no split of the same structures; "
        raise DataError(msg + "compare runs of one suite, with the same limit and seed")
    rows, found = metric_rows(), []
    with totals_spool() as spool:
        for sha256 in (key for key in ours if key in theirs):
            others = {"run": theirs[sha256]}
            sums = SplitSums.gather(ours[sha256], others, rows, spool)
            found.append((ours[sha256].split.manifest, _pairs(sums, "run", rows)))
    return found


def fit_shifts(run: OpenRun) -> ElementShifts | None:
    """Return the per-element shifts fitted on the run's training split.

    The training split is predicted without refinement in every mode, so that all modes of
    a model share one fit. None when there is no such split, or the model has no energy
    for any of it.
    """
    split = _train_of(run)
    if split is None:
        return None
    train = run.whole(split)
    try:
        return ElementShifts.fit(
            train.prediction.energy, train.reference.energy, train.structures
        )
    except DataError:
        return None  # nothing was predicted there; the records say so


def _train_of(run: OpenRun) -> OpenSplit | None:
    trained = (split for split in run.splits if split.manifest["role"] == "train")
    return next(trained, None)


def _tested(run: OpenRun, shifts: ElementShifts | None) -> list[tuple[str, Side]]:
    """Return the splits of a run with their sha256, without train."""
    return [
        (str(split.manifest["sha256"]), Side(run, split, shifts))
        for split in run.splits
        if split.manifest["role"] != "train"
    ]


def _by_sha256(run: OpenRun | None, shifts: ElementShifts | None) -> dict[str, Side]:
    """Return the splits of a run by their sha256; empty when there is no run."""
    splits = run.splits if run else ()
    return {str(one.manifest["sha256"]): Side(run, one, shifts) for one in splits if run}


def _same(sides: Mapping[str, Mapping[str, Side]], sha256: str) -> dict[str, Side]:
    """Return the splits of the same structures, by what their run is."""
    return {what: found[sha256] for what, found in sides.items() if sha256 in found}


def _control_of(item: SplitSums, tested: Sequence[SplitSums]) -> SplitSums | None:
    """Return the ID split an OOD split is measured against."""
    own = item.side.split.manifest
    if not own["role"].startswith("ood"):
        return None
    named = own["control"]
    for one in tested:
        other = one.side.split.manifest
        if other["role"].startswith("id") and (not named or other["name"] == named):
            return one
    return None


def _record(
    item: SplitSums, control: SplitSums | None, rows: Sequence[MetricRow]
) -> Record:
    run, split = item.side.run, item.side.split
    manifest, job = split.manifest, run.manifest["job"]
    row = next(row for row in rows if row.name == WORST)
    totals = item.totals(WORST)
    worst, decisive = worst_of(totals, card=row.card), decisive_of(totals)
    counts = item.status.counts
    return Record(
        suite=job["suite"],
        suite_version=job["suite_version"],
        split=manifest["name"],
        role=manifest["role"],
        shift=manifest["shift"],
        control=control.side.split.manifest["name"] if control else "",
        model=job["model"],
        mode=run.manifest["mode"]["name"],
        seed=int(job["seed"]),
        split_sha256=manifest["sha256"],
        status=_status(counts),
        counts=counts,
        metrics=_metrics(item, rows),
        gap=_gaps(item, control, rows) if control else {},
        paired=_pairs(item, "baseline", rows),
        against_prior=_pairs(item, "prior", rows),
        against_zero=_pairs(item, "zero", [row]),
        worst_group=(worst.group, worst.value) if worst else None,
        outlier=Outlier(molecule=decisive.group, share=decisive.share)
        if decisive
        else None,
        wall_s_per_structure=_seconds(run.manifest, manifest, counts),
        radius=item.radius.summary(split.molecules),
        provenance=run.provenance_of(split),
        notes=_notes(item, control, counts),
    )


def _metrics(item: SplitSums, rows: Sequence[MetricRow]) -> dict[str, MetricValue]:
    found = {}
    for row in rows:
        for label in item.labels(row.name):
            value = mean_of(item.totals(row.name, label), card=row.card)
            if value is not None:
                found[f"{row.name}[{label}]" if label else row.name] = value
    return found


def _gaps(
    item: SplitSums, control: SplitSums, rows: Sequence[MetricRow]
) -> dict[str, Comparison]:
    compared = {
        row.name: gap_of(item.totals(row.name), control.totals(row.name), card=row.card)
        for row in rows
    }
    return {name: one for name, one in compared.items() if one is not None}


def _pairs(
    item: SplitSums, what: str, rows: Sequence[MetricRow]
) -> dict[str, Comparison]:
    """Compare with another run on the structures both evaluated."""
    compared = {
        row.name: pair_of(*item.pair(what, row.name), card=row.card) for row in rows
    }
    return {name: one for name, one in compared.items() if one is not None}


def _status(counts: Counts) -> Literal["ok", "skipped", "failed"]:
    if counts.evaluated:
        return "ok"
    return "skipped" if counts.failed == 0 else "failed"


def _seconds(
    manifest: Mapping[str, Any], split: Mapping[str, Any], counts: Counts
) -> float | None:
    tried = counts.evaluated + counts.failed
    wall_s = manifest["wall_s"].get(f"{split['name']}/{split['role']}")
    return float(wall_s) / tried if wall_s is not None and tried else None


def _notes(item: SplitSums, control: SplitSums | None, counts: Counts) -> tuple[str, ...]:
    if counts.evaluated == 0:
        return ()
    notes = []
    shifts = item.side.shifts
    if item.side.split.manifest["role"].startswith("ood") and control is None:
        notes.append(f"no gap to ID: {NO_CONTROL}")
    if shifts is None:
        why = "the model has none for the training split"
        why = NO_TRAIN if _train_of(item.side.run) is None else why
        return (*notes, f"no aligned energies: {why}")
    if item.unseen:
        symbols = " ".join(SYMBOLS[number] for number in sorted(item.unseen))
        notes.append(f"no aligned energies for elements absent from train: {symbols}")
    if item.n_open:
        notes.append(
            f"aligned energies of {item.n_open} structures rest on a guess: no "
            "combination of training compositions makes theirs"
        )
    if shifts.rank_deficient:
        notes.append(
            f"aligned energies rest on {shifts.rank} independent compositions for "
            f"{len(shifts.elements)} elements: shifts absorb part of the mean error"
        )
    return tuple(notes)
