"""Diagnoses -> tables of text: how far test structures are, and what warns of error."""

from mlffbench.core.record import MetricValue
from mlffbench.diagnostics.diagnosis import (
    Contrast,
    Diagnosis,
    DiagnosticResult,
    effect_size,
    separation,
)
from mlffbench.report.tables.display_units import number, with_interval
from mlffbench.report.tables.record_tables import TextTable

_DASH = "–"


def pair_table(diagnosis: Diagnosis) -> TextTable:
    """Return one row per diagnostic of two samples, the largest difference first.

    Kinds of shift come before alarms, which react to several kinds at once.
    """
    train, test = diagnosis.samples[0], diagnosis.samples[1]
    there = [one for one in diagnosis.diagnostics if one.samples]
    there.sort(key=lambda one: (one.kind is None, -effect_size(one, test.name)))
    last = sum(one.kind is not None for one in there) - 1
    knows_errors = bool(diagnosis.ranking)
    columns = (
        *("shift", "diagnostic", "unit"),
        *("train median", "test median", "W1", "effect", "overlap", "AUROC"),
        *(("ρ with error",) if knows_errors else ()),
        "missing",
    )
    rows = tuple(
        _pair_row(one, train.name, test.name, knows_errors=knows_errors) for one in there
    )
    notes = (
        "W1: Wasserstein-1 distance between test and training, in the unit of the row.",
        "effect: W1 over the root mean square of the two standard deviations.",
        "overlap: of the two histograms; AUROC: a test value above a training value.",
        *_no_intervals(diagnosis),
        *_notes(diagnosis),
    )
    title = f"{_structures(test.n, 'test ')} against {train.n} for training"
    return TextTable(title, columns, rows, frozenset({last}), notes)


def shift_table(diagnosis: Diagnosis) -> TextTable:
    """Return one row per diagnostic, one column per test sample: effect and AUROC."""
    tests = diagnosis.samples[1:]
    rows = tuple(
        (
            one.name,
            one.kind.replace("_", " ") if one.kind else "alarm",
            one.unit,
            *(_cell(one, test.name) for test in tests),
        )
        for one in diagnosis.diagnostics
        if one.samples
    )
    notes = (
        "First number: Wasserstein-1 distance to training over the root mean square of "
        "the two standard deviations; second: AUROC against the ID control (ID: against "
        "training). Intervals are in diagnostics.json.",
        *_notes(diagnosis),
    )
    columns = ("diagnostic", "shift", "unit", *(test.name for test in tests))
    title = f"{_who(diagnosis)}: distance from training"
    return TextTable(title, columns, rows, frozenset(), notes)


def ranking_table(diagnosis: Diagnosis) -> TextTable:
    """Return one row per diagnostic, the best predictor of error first."""
    kinds = {one.name: one for one in diagnosis.diagnostics}
    rows = tuple(
        (
            row.name,
            kinds[row.name].needs,
            row.use,
            str(row.n),
            *map(with_interval, (row.spearman, row.auroc_worst, row.auroc_beyond_id)),
        )
        for row in diagnosis.ranking
    )
    worst, beyond = diagnosis.worst_error, diagnosis.id_error
    notes = (
        "ρ: Spearman's correlation with the force MAE of each structure, ID and OOD "
        "together; below 0, low values warn. A distance is ranked by ρ, others by its "
        "size.",
        f"AUROC worst tenth: errors above {_mev(worst)}; beyond ID: "
        + (
            "there is no ID split."
            if beyond is None
            else f"above {_mev(beyond)}, 95 % of ID."
        ),
        "explains: reads reference labels, so it cannot warn where there are none; "
        "misleads: a distance that is smaller where errors are larger; no evidence: the "
        "interval of ρ contains 0; unknown: ρ has no interval with a width.",
        "Intervals: 95 %, over molecules.",
    )
    columns = (
        *("diagnostic", "needs", "use", "n"),
        *("ρ with error", "AUROC worst tenth", "AUROC beyond ID"),
    )
    title = f"{_who(diagnosis)}: which diagnostic predicts the error"
    return TextTable(title, columns, rows, frozenset(), notes)


def sentences(diagnosis: Diagnosis) -> list[str]:
    """Return, per test sample, its largest shift, its loudest alarm and its labels."""
    lines = []
    for sample in diagnosis.samples[1:]:
        parts = []
        within = sample.n > 0 and sample.unshifted == sample.n and not sample.shift_reason
        shift = "no structure is shifted; most unlike training" if within else ""
        for alarms, what in ((False, shift or "largest shift"), (True, "loudest alarm")):
            found = diagnosis.largest(sample.name, alarms=alarms)
            if found is not None:
                parts.append(f"{what}: {_in_words(found, diagnosis, sample.name)}")
        lines.append(f"{sample.name}: {'; '.join(parts) or 'no shift was found'}.")
        if sample.shift_reason:
            lines.append(f"{sample.name}: no shift labels, {sample.shift_reason}.")
            continue
        counts = ", ".join(f"{kind} {n}" for kind, n in sample.shift_labels.items())
        lines.append(
            f"{sample.name}, shift labels of {_structures(sample.n)}: {counts}; "
            f"not shifted {sample.unshifted}."
        )
        lines += [f"{sample.name}: {note}." for note in sample.shift_notes]
    return lines


def _pair_row(
    one: DiagnosticResult, train: str, test: str, *, knows_errors: bool
) -> tuple[str, ...]:
    of_train, of_test = one.samples[train].summary, one.samples[test]
    against = of_test.to_train
    kind = one.kind.replace("_", " ") if one.kind else "alarm"
    correlation = (with_interval(of_test.error_correlation),) if knows_errors else ()
    return (
        *(kind, one.name, one.unit),
        *(_number(of_train.median), _number(of_test.summary.median)),
        _DASH if against is None else number(against.wasserstein),
        _effect(against),
        _DASH if against is None else f"{against.overlap:.2f}",
        _auroc(separation(one, test)),
        *correlation,
        str(of_test.summary.n_missing),
    )


def _cell(one: DiagnosticResult, test: str) -> str:
    found = one.samples.get(test)
    if found is None or found.to_train is None:
        return _DASH
    return f"{_effect(found.to_train)} / {_auroc(separation(one, test), 0)}"


def _in_words(one: DiagnosticResult, diagnosis: Diagnosis, test: str) -> str:
    medians = [
        _number(one.samples[name].summary.median)
        for name in (diagnosis.samples[0].name, test)
    ]
    kind = f"{one.kind.replace('_', ' ')}, " if one.kind and one.kind != one.name else ""
    unit = "" if one.unit == "1" else f" {one.unit}"
    said = [
        f"median {medians[0]} → {medians[1]}{unit}",
        f"effect {_effect(one.samples[test].to_train)}",
    ]
    against = one.samples[test].to_control
    if against is not None and against.auroc is not None:
        said.append(f"AUROC {_auroc(against.auroc)} against {against.other}")
    return f"{kind}{one.name} ({', '.join(said)})"


def _notes(diagnosis: Diagnosis) -> list[str]:
    """Return what the values cannot say themselves, and what could not be computed."""
    told: dict[str, list[str]] = {}
    for one in diagnosis.diagnostics:
        for name, found in one.samples.items():
            for note in found.summary.notes:
                told.setdefault(f"{name}: {note}", []).append(one.name)
        if one.reason:
            told.setdefault(f"not computed: {one.reason}", []).append(one.name)
    return [f"{', '.join(names)}, {note}" for note, names in told.items()]


def _no_intervals(diagnosis: Diagnosis) -> list[str]:
    """Return why there are no intervals, where one of two samples allows none."""
    single = [one.name for one in diagnosis.samples if one.n_molecules == 1]
    if not single:
        return []
    what = " and ".join(single)
    return [
        f"no interval of an AUROC: {what} of one molecule, and molecules are resampled"
    ]


def _who(diagnosis: Diagnosis) -> str:
    return f"{diagnosis.model} {diagnosis.mode}".strip() or "without a model"


def _auroc(value: MetricValue | None, ends: int = 1) -> str:
    if value is None:
        return _DASH
    text = f"{value.value:.2f}"
    if not ends or value.low is None or value.high is None:
        return text
    return f"{text} [{value.low:.2f}, {value.high:.2f}]"


def _effect(found: Contrast | None) -> str:
    if found is None:
        return _DASH
    return "∞" if found.effect is None else f"{found.effect:.2f}"


def _structures(n: int, what: str = "") -> str:
    return f"{n} {what}structure{'' if n == 1 else 's'}"


def _number(value: float | None) -> str:
    return _DASH if value is None else number(value)


def _mev(value: float | None) -> str:
    return "an unknown error" if value is None else f"{number(1000 * value)} meV/Å"
