"""Boards: runs that may be compared -> rows of numbers and who leads."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np

from mlffbench.core.record import MetricValue, Record
from mlffbench.metrics.catalog import METRICS
from mlffbench.metrics.intervals.estimates import paired
from mlffbench.metrics.intervals.holm import adjust
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.metrics.molecules import Molecules
from mlffbench.metrics.samples import Samples
from mlffbench.models.catalog import prior_rows
from mlffbench.report.accounting import FLOOR
from mlffbench.report.comparable import Group, baseline_of, same_weights
from mlffbench.report.run_inventory import ReadRun
from mlffbench.report.schema import (
    Board,
    BoardRow,
    BoardSplit,
    Cell,
    Extreme,
    RowKind,
)
from mlffbench.report.structure_errors import Measured

METRIC = "forces_mae"
RELATIVE = "energy_mae_relative"


def make_board(
    group: Group, measured: Sequence[Measured], sentences: Sequence[str] = ()
) -> Board:
    """Return the board of a group.

    Args:
        group: Runs that may be compared.
        measured: What each run got wrong, in the same order.
        sentences: What the board says, in words.
    """
    first = group.runs[0]
    splits = _splits(first)
    labels = _labels(group.runs)
    priors = {*prior_rows(), *_priors_used(group.runs)}
    leading = leaders(measured, [split.name for split in splits])
    rows = tuple(
        _row(run, group, label=label, priors=priors, leading=led)
        for run, label, led in zip(group.runs, labels, leading, strict=True)
    )
    rows, n_verdicts = _adjusted(rows)
    return Board(
        name=group.name,
        suite=first.records[0].suite,
        suite_version=first.records[0].suite_version,
        half=first.half,
        summary=str((first.manifest.get("suite") or {}).get("summary", "")),
        sentences=tuple(sentences),
        n_verdicts=n_verdicts,
        splits=splits,
        rows=rows,
    )


def leaders(measured: Sequence[Measured], splits: Iterable[str]) -> list[dict[str, bool]]:
    """Return, per run, split -> whether it leads there.

    The best run has the least error among those that evaluated the most structures. A run
    leads with it unless it is shown to be worse on the structures both evaluated.
    """
    found: list[dict[str, bool]] = [{} for _ in measured]
    if not measured:
        return found
    tested = measured[0].tested
    card = cast("MetricCard", METRICS.entry(METRIC).card)
    for split in splits:
        positions = tested.splits.get(split)
        if positions is None:
            continue
        molecules = Molecules.of(tested.table["molecule"].to_numpy()[positions].tolist())
        weight = 3.0 * tested.table["n_atoms"].to_numpy()[positions]
        samples = []
        for one in measured:
            error = one.error[positions]
            there = np.isfinite(error)
            samples.append(Samples.of(error, weight=weight, evaluated=there))
        counts = [int(one.evaluated.sum()) for one in samples]
        if not max(counts):
            continue
        full = [place for place, count in enumerate(counts) if count == max(counts)]
        best = min(full, key=lambda place: _mean(samples[place]))
        for place, count in enumerate(counts):
            if not count:
                continue
            compared = paired(samples[place], samples[best], molecules, card=card)
            ahead = compared is not None and compared.verdict != "worse"
            found[place][split] = place == best or ahead
    return found


def in_order(records: Sequence[Record]) -> list[Record]:
    """Return the records of a run, ID splits first."""
    return sorted(records, key=lambda record: not record.role.startswith("id"))


def _mean(samples: Samples) -> float:
    return float(np.nansum(samples.value * samples.weight) / samples.weight.sum())


def _splits(run: ReadRun) -> tuple[BoardSplit, ...]:
    manifest = {(one["name"], one["role"]): one for one in run.manifest["splits"]}
    made = []
    for record in in_order(run.records):
        one: Mapping[str, object] = manifest.get((record.split, record.role), {})
        made.append(
            BoardSplit(
                name=record.split,
                role=record.role,
                shift=record.shift,
                shift_rule=str(one.get("shift_rule") or ""),
                rule=str(one.get("rule") or ""),
                control=record.control,
                n=record.counts.total,
                sha256=record.split_sha256,
                level_of_theory=str(one.get("level_of_theory") or ""),
            )
        )
    return tuple(made)


def _labels(runs: Sequence[ReadRun]) -> list[str]:
    """Return names that tell runs apart: the model, and more where it stands twice."""
    plain = [run.model for run in runs]
    seen = Counter(zip(plain, (run.mode for run in runs), strict=True))
    longer = [
        name
        if seen[name, run.mode] == 1
        else f"{name} ({run.manifest.get('dtype', '')}, "
        f"{run.manifest['job'].get('device')}, seed {run.records[0].seed})"
        for name, run in zip(plain, runs, strict=True)
    ]
    again = Counter(zip(longer, (run.mode for run in runs), strict=True))
    return [
        name if again[name, run.mode] == 1 else f"{name} [{run.path}]"
        for name, run in zip(longer, runs, strict=True)
    ]


def _priors_used(runs: Sequence[ReadRun]) -> set[str]:
    settings = (run.manifest["mode"].get("settings") or {} for run in runs)
    return {str(one["prior"]) for one in settings if one.get("prior")}


def _row(
    run: ReadRun,
    group: Group,
    *,
    label: str,
    priors: set[str],
    leading: Mapping[str, bool],
) -> BoardRow:
    baseline = baseline_of(run, group.runs)
    comparable = baseline is None or same_weights(run, baseline)
    cells = {
        record.split: _cell(record, leading.get(record.split), comparable=comparable)
        for record in in_order(run.records)
    }
    kind: RowKind = "model"
    if run.model == FLOOR:
        kind = "floor"
    elif run.model in priors:
        kind = "prior"
    steps = run.manifest.get("gradient_steps") or {}
    return BoardRow(
        run=run.path,
        label=label,
        model=run.model,
        mode=run.mode,
        unit=run.unit,
        prior=next((record.prior for record in run.records), ""),
        kind=kind,
        cells=cells,
        largest_gap=_largest({name: cell.gap for name, cell in cells.items()}),
        largest_ratio=_largest({name: cell.ratio for name, cell in cells.items()}),
        worst=_worst(cells),
        seconds_per_structure=_seconds(run.records),
        gradient_steps=int(sum(steps.values())),
    )


def _cell(record: Record, leading: bool | None, *, comparable: bool) -> Cell:
    gap = record.gap.get(METRIC)
    compared = record.paired.get(METRIC) if comparable else None
    worst = record.worst_group
    prior = record.against_prior.get(METRIC)
    zero = record.against_zero.get(METRIC)
    energy = record.paired.get(RELATIVE) if comparable else None
    return Cell(
        total=record.counts.total,
        evaluated=record.counts.evaluated,
        skipped=record.counts.skipped,
        failed=record.counts.failed,
        error=record.metrics.get(METRIC),
        gap=gap.difference if gap else None,
        ratio=gap.ratio if gap else None,
        gap_verdict=gap.verdict if gap else "",
        gap_reason=gap.reason if gap else "",
        difference=compared.difference if compared else None,
        to_baseline=compared.ratio if compared else None,
        verdict=compared.verdict if compared else "",
        reason=compared.reason if compared else "",
        p_value=compared.p_value if compared else None,
        to_prior=prior.ratio if prior else None,
        prior_verdict=prior.verdict if prior else "",
        prior_reason=prior.reason if prior else "",
        prior_p_value=prior.p_value if prior else None,
        to_zero=zero.ratio if zero else None,
        zero_verdict=zero.verdict if zero else "",
        outlier=record.outlier,
        relative_energy_verdict=energy.verdict if energy else "",
        leading=leading,
        worst_molecule=worst[0] if worst else "",
        worst_error=worst[1] if worst else None,
        seconds_per_structure=record.wall_s_per_structure,
        radius=record.radius,
    )


def _adjusted(rows: tuple[BoardRow, ...]) -> tuple[tuple[BoardRow, ...], int]:
    """Return the rows with Holm's p values, and how many verdicts they hold."""
    places = [(row, name) for row in range(len(rows)) for name in rows[row].cells]
    cells = [rows[row].cells[name] for row, name in places]
    against = [cell.p_value for cell in cells]
    found = adjust([*against, *(cell.prior_p_value for cell in cells)])
    changed: list[dict[str, Cell]] = [{} for _ in rows]
    for number, (row, name) in enumerate(places):
        both = {
            "adjusted_p": found[number],
            "prior_adjusted_p": found[number + len(cells)],
        }
        changed[row][name] = cells[number].model_copy(update=both)
    n_verdicts = sum(bool(c.verdict) + bool(c.prior_verdict) for c in cells)
    made = [
        row.model_copy(update={"cells": mine})
        for row, mine in zip(rows, changed, strict=True)
    ]
    return tuple(made), n_verdicts


def _largest(values: Mapping[str, MetricValue | None]) -> Extreme | None:
    there = {name: value for name, value in values.items() if value is not None}
    if not there:
        return None
    name = max(there, key=lambda key: there[key].value)
    found = there[name]
    return Extreme(split=name, value=found.value, low=found.low, high=found.high)


def _worst(cells: Mapping[str, Cell]) -> Extreme | None:
    there = {n: c.worst_error for n, c in cells.items() if c.worst_error is not None}
    if not there:
        return None
    name = max(there, key=lambda key: there[key])
    return Extreme(split=name, value=there[name], molecule=cells[name].worst_molecule)


def _seconds(records: Sequence[Record]) -> float | None:
    """Return the wall clock over all splits per structure that was tried."""
    timed = [
        (r.wall_s_per_structure, r.counts.evaluated + r.counts.failed)
        for r in records
        if r.wall_s_per_structure is not None
    ]
    tried = sum(count for _, count in timed)
    return sum(seconds * count for seconds, count in timed) / tried if tried else None
