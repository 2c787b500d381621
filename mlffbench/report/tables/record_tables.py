"""Records -> tables of text: what a person reads and what a spreadsheet takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlffbench.core.record import RadiusSummary, Record
from mlffbench.metrics.headlines import Headline, energy_headlines, force_headlines
from mlffbench.report.tables.display_units import (
    UnitSystem,
    cosine_with_interval,
    number,
    percent_with_interval,
    ratio_with_interval,
    shown_unit,
    with_interval,
)
from mlffbench.report.tables.table_notes import gathered, left_out, warnings


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of text.

    Attributes:
        title: What it shows.
        columns: Headings.
        rows: One tuple of cells per row.
        sections: Numbers of the rows after which a rule is drawn.
        notes: What a reader must know, one sentence each.
        n_keys: Leading columns that say which row it is.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sections: frozenset[int]
    notes: tuple[str, ...]
    n_keys: int = 3


def force_table(records: Sequence[Record], system: UnitSystem = "meV") -> TextTable:
    """Return one row per split, model and mode: force errors, gaps, denominators, cost.

    Args:
        records: Records of one suite.
        system: Units shown.
    """
    ordered = in_order(records)
    paired = any(record.paired for record in ordered)
    prior = any(record.against_prior for record in ordered)
    radii = any(record.radius for record in ordered)
    first, *others = force_headlines()
    columns = (
        *("split", "model", "mode", "n (mol.)"),
        heading(first, system),
        "to ID",
        *(("to baseline", "verdict") if paired else ()),
        *(("to prior", "verdict of prior") if prior else ()),
        *(("radius Å", "graph changed") if radii else ()),
        *(heading(one, system) for one in others),
        *("skipped", "failed", "ms/str."),
    )
    names = [one.name for one in others]
    rows = tuple(
        _force_row(record, system, names, paired=paired, prior=prior, radii=radii)
        for record in ordered
    )
    return TextTable(
        f"{title_of(ordered)}: forces", columns, rows, _sections(ordered), _notes(ordered)
    )


def energy_table(records: Sequence[Record], system: UnitSystem = "meV") -> TextTable:
    """Return one row per split, model and mode: the energy errors per atom.

    Args:
        records: Records of one suite.
        system: Units shown.
    """
    ordered = in_order(records)
    heads = energy_headlines()
    names = [one.name for one in heads]
    rows = tuple(
        (
            *(record.split, record.model, record.mode),
            " / ".join(str(_n(record, name)) for name in names),
            *(with_interval(record.metrics.get(name), system) for name in names),
        )
        for record in ordered
    )
    units = [None, *(one.card.unit for one in heads)]  # said once for neighbours
    headings = [
        one.label if one.card.unit == before else heading(one, system)
        for one, before in zip(heads, units, strict=False)
    ]
    columns = ("split", "model", "mode", "n", *headings)
    notes = (
        "n: structures behind each column. Energies per atom: raw; aligned by "
        "per-element shifts fitted on train, the same for every mode; relative within a "
        "molecule.",
        *gathered((record, note) for record in ordered for note in record.notes),
    )
    title = f"{title_of(ordered)}: energies"
    return TextTable(title, columns, rows, _sections(ordered), notes)


def radius_table(records: Sequence[Record], system: UnitSystem = "meV") -> TextTable:
    """Return one row per split, model and mode with radii: what was chosen and gained.

    Args:
        records: Records of one suite.
        system: Units shown.
    """
    ordered = [record for record in in_order(records) if record.radius is not None]
    columns = (
        *("split", "model", "mode", "n", "radius Å", "refined", "graph changed"),
        f"change {shown_unit('eV/Å', system).name}",
        *("headroom %", "captured %"),
    )
    rows = tuple(
        _radius_row(record, record.radius, system) for record in ordered if record.radius
    )
    notes = (
        "refined: structures predicted at another cutoff or envelope than the trained; "
        "graph changed: those whose graph is another.",
        "headroom: share of the force MAE that the best choice by the true error would "
        "remove; captured: what RR removed of that. Only mlffbench diagnose --oracle, "
        "which reads the labels, knows them.",
    )
    title = f"{title_of(ordered)}: radii" if ordered else "radii"
    return TextTable(title, columns, rows, _sections(ordered), notes)


def _radius_row(
    record: Record, radius: RadiusSummary, system: UnitSystem
) -> tuple[str, ...]:
    compared = record.paired.get("forces_mae")
    return (
        *(record.split, record.model, record.mode, str(radius.n), _span(radius)),
        *(_percent(radius.n_refined, radius.n), _percent(radius.n_changed, radius.n)),
        with_interval(compared.difference if compared else None, system),
        percent_with_interval(radius.headroom),
        percent_with_interval(radius.captured),
    )


def _radius_cells(radius: RadiusSummary | None) -> tuple[str, str]:
    if radius is None:
        return ("–", "–")
    return _span(radius), _percent(radius.n_changed, radius.n)


def _span(radius: RadiusSummary) -> str:
    ends = f"{radius.smallest:.2f}", f"{radius.largest:.2f}"
    return ends[0] if ends[0] == ends[1] else "–".join(ends)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "–"


def _n(record: Record, name: str) -> int:
    metric = record.metrics.get(name)
    return metric.n if metric else 0


def heading(one: Headline, system: UnitSystem = "meV") -> str:
    """Return the heading of a metric's column, with its unit if it has one."""
    if one.card.unit == "1":
        return one.label
    return f"{one.label} {shown_unit(one.card.unit, system).name}"


def _other_cell(record: Record, name: str, system: UnitSystem) -> str:
    value = record.metrics.get(name)
    if name == "forces_cosine":
        return cosine_with_interval(value)
    return with_interval(value, system)


def _force_row(
    record: Record,
    system: UnitSystem,
    others: Sequence[str],
    *,
    paired: bool,
    prior: bool,
    radii: bool,
) -> tuple[str, ...]:
    counts, metrics = record.counts, record.metrics
    mae = metrics.get("forces_mae")
    compared = record.paired.get("forces_mae")
    verdict = compared.verdict if compared else "–"
    its_prior = record.against_prior.get("forces_mae")
    prior_verdict = its_prior.verdict if its_prior else "–"
    seconds = record.wall_s_per_structure
    return (
        *(record.split, record.model, record.mode),
        f"{mae.n} ({mae.n_molecules})" if mae else "0 (0)",
        with_interval(metrics.get("forces_mae"), system),
        ratio_with_interval(record.gap.get("forces_mae")),
        *((ratio_with_interval(compared), verdict) if paired else ()),
        *((ratio_with_interval(its_prior), prior_verdict) if prior else ()),
        *(_radius_cells(record.radius) if radii else ()),
        *(_other_cell(record, name, system) for name in others),
        *(str(counts.skipped), str(counts.failed)),
        "–" if seconds is None else number(1000 * seconds),
    )


def in_order(records: Sequence[Record]) -> list[Record]:
    """Return the records by split, ID first, then model and mode as they came."""
    splits = list(dict.fromkeys((r.role, r.split) for r in records))
    splits.sort(key=lambda key: not key[0].startswith("id"))
    models = list(dict.fromkeys(r.model for r in records))
    modes = list(dict.fromkeys(r.mode for r in records))
    return sorted(
        records,
        key=lambda r: (
            splits.index((r.role, r.split)),
            models.index(r.model),
            modes.index(r.mode),
        ),
    )


def _sections(ordered: Sequence[Record]) -> frozenset[int]:
    last = len(ordered) - 1
    return frozenset(
        n for n, r in enumerate(ordered) if n == last or ordered[n + 1].split != r.split
    )


def title_of(ordered: Sequence[Record]) -> str:
    """Return the suite, its version and half, and how many structures it is cut to."""
    first = ordered[0]
    half = first.role.partition("_")[2]
    limit = first.provenance.get("limit")
    trial = f", {limit} per split" if limit else ""
    return f"{first.suite} v{first.suite_version}, {half} half{trial}"


def _notes(records: Sequence[Record]) -> tuple[str, ...]:
    return (
        "Intervals: 95 %, over molecules; (a to b): the range of the molecules, where "
        "they are too few for one.",
        *warnings(records),
        "n: structures (molecules) behind the force MAE.",
        "to ID: the error over the error on the split's ID control.",
        *left_out(records, "structures"),
    )
