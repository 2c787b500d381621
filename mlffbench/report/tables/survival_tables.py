"""Records of simulations -> the survival table."""

from collections.abc import Iterator, Sequence

from mlffbench.core.record import Comparison, MetricValue, Record
from mlffbench.report.tables.display_units import (
    UnitSystem,
    number,
    shown_unit,
    with_interval,
)
from mlffbench.report.tables.record_tables import TextTable
from mlffbench.report.tables.table_notes import left_out, where


def dynamics_table(records: Sequence[Record], system: UnitSystem = "meV") -> TextTable:
    """Return one row per split, model and mode: who lives, for how long, and why not.

    Args:
        records: Records of simulations of one suite under one preset.
        system: Units shown.
    """
    ordered = _in_order(records)
    conserved = any("energy_drift" in record.metrics for record in ordered)
    compared = any(record.paired for record in ordered)
    distances = any("distance_distribution_error" in r.metrics for r in ordered)
    unit = shown_unit("eV/atom/ps", system).name
    columns = (
        *(
            "split",
            "model",
            "mode",
            "n (mol.)",
            "survive %",
            "stable ps",
            "to failure ps",
        ),
        *(("Δ stable ps", "verdict") if compared else ()),
        "mean K",
        *((f"|drift| {unit}", "drift ratio") if conserved else ()),
        *(("Δ drift", "verdict of drift") if conserved and compared else ()),
        *(("h(r) error",) if distances else ()),
        *("skipped", "failed"),
    )
    rows = tuple(
        _row(record, system, conserved=conserved, compared=compared, distances=distances)
        for record in ordered
    )
    last = len(ordered) - 1
    sections = frozenset(
        n for n, r in enumerate(ordered) if n == last or ordered[n + 1].split != r.split
    )
    return TextTable(_title(ordered), columns, rows, sections, _notes(ordered))


def _row(
    record: Record,
    system: UnitSystem,
    *,
    conserved: bool,
    compared: bool,
    distances: bool,
) -> tuple[str, ...]:
    metrics, counts = record.metrics, record.counts
    stable = metrics.get("stable_time")
    drift = record.paired.get("energy_drift")
    verdict = "–" if drift is None else drift.verdict
    return (
        *(record.split, record.model, record.mode),
        f"{stable.n} ({stable.n_molecules})" if stable else "0 (0)",
        _whole(metrics.get("survival"), 100),
        _stable(stable, record),
        with_interval(metrics.get("time_to_failure")),
        *(_difference(record.paired.get("stable_time"), system) if compared else ()),
        _whole(metrics.get("temperature")),
        *(
            (
                with_interval(metrics.get("energy_drift"), system),
                with_interval(metrics.get("energy_drift_ratio")),
            )
            if conserved
            else ()
        ),
        *((_difference(drift, system)[0], verdict) if conserved and compared else ()),
        *(
            (with_interval(metrics.get("distance_distribution_error")),)
            if distances
            else ()
        ),
        *(str(counts.skipped), str(counts.failed)),
    )


def _stable(metric: MetricValue | None, record: Record) -> str:
    """Return the stable time; a lower bound where every trajectory lived."""
    survival = record.metrics.get("survival")
    if metric is None or survival is None or survival.value < 1:
        return with_interval(metric)
    return f"≥ {number(metric.value)}"


def _difference(
    compared: Comparison | None, system: UnitSystem = "meV"
) -> tuple[str, str]:
    if compared is None:
        return "–", "–"
    return with_interval(compared.difference, system), compared.verdict


def _whole(metric: MetricValue | None, scale: float = 1.0) -> str:
    if metric is None:
        return "–"
    text = f"{scale * metric.value:.0f}"
    if metric.low is None or metric.high is None:
        return text
    return f"{text} [{scale * metric.low:.0f}, {scale * metric.high:.0f}]"


def _in_order(records: Sequence[Record]) -> list[Record]:
    splits = list(dict.fromkeys(r.split for r in records))
    models = list(dict.fromkeys(r.model for r in records))
    modes = sorted({r.mode for r in records}, key=lambda m: (m != "baseline", m))
    return sorted(
        records,
        key=lambda r: (
            splits.index(r.split),
            models.index(r.model),
            modes.index(r.mode),
        ),
    )


def _title(ordered: Sequence[Record]) -> str:
    first = ordered[0]
    told = first.provenance
    mass = told["hydrogen_mass"]
    hydrogens = "" if mass == "None" else f", hydrogens of {mass} amu"
    limit = told.get("limit")
    trial = f", {limit} {'molecule' if limit == '1' else 'molecules'} per split"
    trial = trial if limit else ""
    bath = "Langevin" if told["thermostat"] == "True" else "no thermostat"
    return (
        f"{first.suite} v{first.suite_version}: dynamics, {told['preset']}, {bath}, "
        f"{told['temperature']} K, {told['time_step']} fs, {told['duration']} ps, "
        f"{told['engine']} engine{hydrogens}{trial}"
    )


def _notes(ordered: Sequence[Record]) -> tuple[str, ...]:
    horizon = float(ordered[0].provenance["duration"])
    return (
        "Intervals: 95 %, over molecules (Clopper-Pearson where all live or "
        "none does); survival.csv has the Kaplan-Meier curve and its own intervals.",
        "n: trajectories (molecules) that were simulated.",
        f"stable ps: mean time in order, at most {number(horizon)}; to failure: of those "
        "that failed. ≥: all lived to the end, so that it is a lower bound.",
        *left_out(ordered, "trajectories"),
        *_told(ordered),
    )


def _told(ordered: Sequence[Record]) -> Iterator[str]:
    """Yield every note with who it is about, unless it is about all."""
    about: dict[str, list[str]] = {}
    for record in ordered:
        for note in record.notes:
            about.setdefault(note, []).append(where(record))
    for note, names in about.items():
        yield note if len(names) == len(ordered) else f"{'; '.join(names)}: {note}"
