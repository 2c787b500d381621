"""Records -> tables of text: what a person reads and what a spreadsheet takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlffbench.core.record import Record
from mlffbench.report.units import (
    UnitSystem,
    number,
    ratio_with_interval,
    shown_unit,
    with_interval,
)


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of text.

    Attributes:
        title: What it shows.
        columns: Headings.
        rows: One tuple of cells per row.
        sections: Numbers of the rows after which a rule is drawn.
        notes: What a reader must know, one sentence each.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sections: frozenset[int]
    notes: tuple[str, ...]


def comparison_table(records: Sequence[Record], system: UnitSystem = "meV") -> TextTable:
    """Return one row per split, model and mode: errors, gaps, intervals, denominators.

    Args:
        records: Records of one suite.
        system: Units shown.
    """
    splits = list(dict.fromkeys((r.role, r.split) for r in records))
    splits.sort(key=lambda key: not key[0].startswith("id"))
    models = list(dict.fromkeys(r.model for r in records))
    modes = list(dict.fromkeys(r.mode for r in records))
    ordered = sorted(
        records,
        key=lambda r: (
            splits.index((r.role, r.split)),
            models.index(r.model),
            modes.index(r.mode),
        ),
    )
    show_paired = any(record.paired for record in records)
    force, energy = shown_unit("eV/Å", system).name, shown_unit("eV/atom", system).name
    columns = (
        *("split", "model", "mode", "n (mol.)", f"force MAE {force}", "to ID"),
        *(("to baseline",) if show_paired else ()),
        *("cosine", f"E raw {energy}", "E aligned", "E relative"),
        *("skipped", "failed", "s/str."),
    )
    rows, sections = [], set()
    for place, record in enumerate(ordered):
        rows.append(_row(record, system, show_paired=show_paired))
        following = ordered[place + 1] if place + 1 < len(ordered) else None
        if following is None or following.split != record.split:
            sections.add(place)
    first = records[0]
    title = f"{first.suite} v{first.suite_version}, {first.role.partition('_')[2]} half"
    return TextTable(title, columns, tuple(rows), frozenset(sections), _notes(ordered))


def _row(record: Record, system: UnitSystem, *, show_paired: bool) -> tuple[str, ...]:
    counts, metrics = record.counts, record.metrics
    n_molecules = metrics["forces_mae"].n_molecules if "forces_mae" in metrics else 0
    paired = record.paired.get("forces_mae")
    verdict = f"{ratio_with_interval(paired)} {paired.verdict}" if paired else "–"
    seconds = record.wall_s_per_structure
    energies = ("energy_mae_raw", "energy_mae_aligned", "energy_mae_relative")
    return (
        record.split,
        record.model,
        record.mode,
        f"{counts.evaluated} ({n_molecules})",
        with_interval(metrics.get("forces_mae"), system),
        ratio_with_interval(record.gap.get("forces_mae")),
        *((verdict,) if show_paired else ()),
        *(_bare(record, name, system) for name in ("forces_cosine", *energies)),
        str(counts.skipped),
        str(counts.failed),
        "–" if seconds is None else f"{seconds:.2g}",
    )


def _bare(record: Record, name: str, system: UnitSystem) -> str:
    metric = record.metrics.get(name)
    if metric is None:
        return "–"
    return number(metric.value * shown_unit(metric.unit, system).factor)


def _notes(records: Sequence[Record]) -> tuple[str, ...]:
    notes = [
        "Intervals: 95 %, bootstrap over molecules. n: structures evaluated (molecules). "
        "to ID: error over the error on the split's ID control. Energies per atom: raw; "
        "aligned by per-element shifts fitted on train; relative within a molecule."
    ]
    for record in records:
        where = f"{record.split}, {record.model} {record.mode}"
        notes += [
            f"{where}: {count} of {record.counts.total} structures – {reason}"
            for reason, count in record.counts.reasons.items()
        ]
        notes += [f"{where}: {note}" for note in record.notes]
    return tuple(dict.fromkeys(notes))
