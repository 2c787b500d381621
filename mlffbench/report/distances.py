"""Distances: what ``diagnostics.json`` holds of a run, cut to what its figures show."""

from typing import Any

from mlffbench.core.errors import StoreError
from mlffbench.core.record import MetricValue
from mlffbench.diagnostics.diagnosis import Diagnosis, DiagnosticResult
from mlffbench.report.run_inventory import ReadRun

FILE = "diagnostics.json"


def read_diagnosis(run: ReadRun) -> Diagnosis | str:
    """Return the diagnosis of a run, or a sentence that says why there is none."""
    path = run.folder.path / FILE
    if not path.exists():
        return (
            f"{run.model} {run.mode} has no {FILE}; repeat its command to have one "
            "written beside the finished run."
        )
    try:
        found = Diagnosis.read(path)
    except StoreError as error:
        return f"{error}."
    if found.fingerprint != str(run.manifest.get("fingerprint", "")):
        return f"{path} belongs to an earlier run; repeat the run."
    return found


def histograms(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return what does not depend on the mode: histograms on shared bins, and labels."""
    return {
        "samples": [
            {
                "name": one.name,
                "role": one.role,
                "n": one.n,
                "labels": one.shift_labels,
                "unshifted": one.unshifted,
                "reason": one.shift_reason,
            }
            for one in diagnosis.samples
        ],
        "rules": diagnosis.shift_rules,
        "diagnostics": [
            {
                "name": one.name,
                "label": one.label,
                "unit": one.unit,
                "kind": one.kind or "alarm",
                "reason": one.reason,
                "edges": one.edges,
                "samples": _samples(one),
            }
            for one in diagnosis.diagnostics
        ],
    }


def warnings_of(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return what is of one mode: the error against the shift, and the ranking."""
    return {
        "curves": {
            one.name: [
                [b.low, b.high, b.error.value, b.error.low, b.error.high, b.error.n]
                for b in one.curve
            ]
            for one in diagnosis.diagnostics
            if one.curve
        },
        "ranking": [
            {
                "name": one.name,
                "use": one.use,
                "n": one.n,
                "spearman": _interval(one.spearman),
                "worst": _interval(one.auroc_worst),
                "beyond": _interval(one.auroc_beyond_id),
            }
            for one in diagnosis.ranking
        ],
        "worst_error": diagnosis.worst_error,
        "id_error": diagnosis.id_error,
    }


def _samples(one: DiagnosticResult) -> dict[str, Any]:
    found = {}
    for name, sample in one.samples.items():
        to_control = sample.to_control
        found[name] = {
            "counts": sample.counts,
            "n": sample.summary.n,
            "median": sample.summary.median,
            "effect": sample.to_train.effect if sample.to_train else None,
            "auroc": _interval(to_control.auroc if to_control else None),
        }
    return found


def _interval(metric: MetricValue | None) -> list[float | None] | None:
    return None if metric is None else [metric.value, metric.low, metric.high]
