"""Frames: records and stored predictions -> pandas frames, in eV and Å."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from mlffbench.core.record import Comparison, MetricValue, Record
from mlffbench.metrics.catalog import METRICS
from mlffbench.metrics.samples import Metric
from mlffbench.report.run_inventory import ReadRun
from mlffbench.run.evaluate.stored import StoredRun, StoredSplit

_KEY = ["suite", "suite_version", "split", "role", "shift", "model", "mode", "seed"]
_NUMBER = ["value", "low", "high", "standard_error", "lowest", "highest"]
_COMPARED = ["difference", "difference_low", "difference_high", "unit"]
_COMPARED += ["ratio", "ratio_low", "ratio_high", "n", "n_molecules", "verdict"]
_COUNTS = ["status", "total", "evaluated", "skipped", "failed", "reasons"]
_WHOLE = {"suite_version", "seed", "n", "n_molecules"}
_WHOLE |= {"total", "evaluated", "skipped", "failed"}
_NO_NUMBERS: tuple[float | None, ...] = (None, None, None)
METRIC_COLUMNS = [*_KEY, "metric", *_NUMBER, "unit", "n", "n_molecules", "run"]
COMPARISON_COLUMNS = [*_KEY, "against", "metric", *_COMPARED, "run"]
COUNT_COLUMNS = [*_KEY, *_COUNTS, "wall_s_per_structure", "run"]
_SPLIT = ["suite", "split", "role", "shift", "model", "mode"]
_LABELS = ["energy_reference", "forces_mae", "run"]
STRUCTURE_COLUMNS = [*_SPLIT, "id", "molecule", "n_atoms", "charge", "status", "reason"]
STRUCTURE_COLUMNS += ["energy", *_LABELS]


def metric_frame(runs: Iterable[ReadRun]) -> pd.DataFrame:
    """Return one row per record and metric."""
    rows = [
        (
            *_key(record),
            name,
            *(value.value, value.low, value.high, value.standard_error),
            *(value.lowest, value.highest),
            *(value.unit, value.n, value.n_molecules, run.path),
        )
        for run in runs
        for record in run.records
        for name, value in record.metrics.items()
    ]
    return _frame(rows, METRIC_COLUMNS, _NUMBER)


def count_frame(runs: Iterable[ReadRun]) -> pd.DataFrame:
    """Return one row per record: its denominators."""
    rows = [
        (
            *_key(record),
            record.status,
            record.counts.total,
            record.counts.evaluated,
            record.counts.skipped,
            record.counts.failed,
            "; ".join(f"{n} × {why}" for why, n in record.counts.reasons.items()),
            record.wall_s_per_structure,
            run.path,
        )
        for run in runs
        for record in run.records
    ]
    return _frame(rows, COUNT_COLUMNS, ["wall_s_per_structure"])


def baseline_frame(runs: Iterable[ReadRun]) -> pd.DataFrame:
    """Return one row per record and metric: this mode against baseline, paired."""
    rows = [
        row
        for run in runs
        for record in run.records
        for row in comparison_rows(_key(record), "baseline", record.paired, run.path)
    ]
    return comparison_frame(rows)


def gap_frame(runs: Iterable[ReadRun]) -> pd.DataFrame:
    """Return one row per OOD record and metric: the split against its ID control."""
    rows = [
        row
        for run in runs
        for record in run.records
        for row in comparison_rows(_key(record), record.control, record.gap, run.path)
    ]
    return comparison_frame(rows)


def comparison_frame(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    """Return the frame of some `comparison_rows`."""
    numbers = [name for name in _COMPARED if name.startswith(("difference", "ratio"))]
    return _frame(rows, COMPARISON_COLUMNS, numbers)


def comparison_rows(
    key: tuple[object, ...], against: str, compared: Mapping[str, Comparison], run: str
) -> list[tuple[object, ...]]:
    """Return a row per metric.

    Args:
        key: The first columns.
        against: What it is compared with.
        compared: Metric -> comparison.
        run: Path of the run.
    """
    return [
        (
            *key,
            against,
            name,
            *_numbers(one.difference),
            one.difference.unit,
            *_numbers(one.ratio),
            *(one.difference.n, one.difference.n_molecules, one.verdict, run),
        )
        for name, one in compared.items()
    ]


def structure_frame(runs: Iterable[ReadRun]) -> pd.DataFrame:
    """Return one row per tested structure and run, with what its mode chose for it.

    Raises:
        StoreError: A file of a run is missing or broken.
    """
    frames = [
        _structures_of(split, run)
        for run in runs
        for split in StoredRun.read(run.folder).splits
        if split.manifest["role"] != "train"
    ]
    if not frames:
        return pd.DataFrame(columns=STRUCTURE_COLUMNS)
    whole = pd.concat(frames, ignore_index=True)
    chosen = [name for name in whole.columns if name not in STRUCTURE_COLUMNS]
    return whole[[*STRUCTURE_COLUMNS, *chosen]]


def _structures_of(split: StoredSplit, run: ReadRun) -> pd.DataFrame:
    forces_mae: Metric = METRICS.load("forces_mae")
    samples = forces_mae(split.prediction, split.reference, split.structures)[""]
    return split.table.assign(
        suite=run.manifest["job"]["suite"],
        shift=split.manifest["shift"],
        model=run.model,
        mode=run.mode,
        energy_reference=split.reference.energy.numpy(),
        forces_mae=samples.value,
        run=run.path,
    )


def _key(record: Record) -> tuple[object, ...]:
    return tuple(getattr(record, name) for name in _KEY)


def _numbers(value: MetricValue | None) -> tuple[float | None, ...]:
    return _NO_NUMBERS if value is None else (value.value, value.low, value.high)


def _frame(
    rows: Sequence[tuple[object, ...]], columns: list[str], numbers: list[str]
) -> pd.DataFrame:
    """Return rows as a frame; a missing number is NaN.

    Without rows, its columns are of the types that they have with some.
    """
    content = rows or [tuple(0 if name in _WHOLE else "" for name in columns)]
    numeric = dict.fromkeys(numbers, "float64")
    made = pd.DataFrame(content, columns=columns)
    if not rows:
        made = made.iloc[:0]
    return made.astype(numeric)
