"""Records of curves -> tables: error against labels, labels saved, forgetting."""

import csv
import io
from collections.abc import Sequence

from mlffbench.core.guards.plain import csv_cell
from mlffbench.core.record import Record
from mlffbench.report.tables.display_units import (
    UnitSystem,
    number,
    ratio_with_interval,
    shown_unit,
    with_interval,
)
from mlffbench.report.tables.record_tables import TextTable
from mlffbench.run.curve.curve_score import Saved

_SEEN = {
    "pool": "those that labels are drawn from",
    "tests": "those of the OOD tests",
    "both": "those that labels are drawn from and those of the OOD tests",
}


def curve_table(records: Sequence[Record], system: UnitSystem = "meV") -> TextTable:
    """Return one row per split, model, start and number of labels.

    Args:
        records: Records of curves of one suite.
        system: Units shown.
    """
    unit = shown_unit("eV/Å", system)
    rows, sections = [], set()
    for place, record in enumerate(records):
        mae = record.metrics.get("forces_mae")
        found = record.paired.get("forces_mae")
        told = record.provenance
        spread = told["spread_over_draws"].removesuffix(" eV/Å")
        rows.append(
            (
                *(record.split, record.model, told["start"], told["n_labels"]),
                f"{mae.n} ({mae.n_molecules})" if mae else "0 (0)",
                with_interval(mae, system),
                number(unit.factor * float(spread)) if spread else "–",
                ratio_with_interval(found),
                found.verdict if found else "–",
            )
        )
        last = place == len(records) - 1
        if last or records[place + 1].provenance["start"] != told["start"]:
            sections.add(place)
    first = records[0]
    return TextTable(
        title=f"{first.suite} v{first.suite_version}: fine-tuning on OOD labels",
        columns=(
            *("split", "model", "start", "labels", "n (mol.)"),
            *(f"force MAE {unit.name}", "± draws", "ratio", "verdict"),
        ),
        rows=tuple(rows),
        sections=frozenset(sections),
        notes=(
            "Intervals: 95 %, over test molecules, of the mean over draws; "
            "± draws: standard deviation over draws of the labels.",
            "ratio: on an OOD split, over the baseline start with as many labels; on an "
            "ID split, over the untouched model: above 1 is forgetting.",
            "Labels are of val-half molecules, errors of test-half molecules; ttt saw "
            f"geometries ({_SEEN[first.provenance['ttt saw']]}) and a prior's labels of "
            "them, no reference label.",
            "ttt starts are adapted without a gate: one set of weights for the whole "
            "pool, harm included.",
        ),
        n_keys=4,
    )


def saved_table(saved: Sequence[Saved], title: str) -> TextTable:
    """Return the labels saved at equal error."""
    rows = tuple(
        (
            *(one.split, one.mode, str(one.size)),
            with_interval(one.value),
            f"{one.value.n} ({one.value.n_molecules})",
            one.note or "–",
        )
        for one in saved
    )
    return TextTable(
        title=f"{title}: labels saved at equal error",
        columns=("split", "start", "baseline labels", "saved", "n (mol.)", "remark"),
        rows=rows,
        sections=frozenset(),
        notes=(
            "N labels from baseline minus the labels that this start needs for the same "
            "error, by linear interpolation; clipped to the sizes that were computed.",
        ),
    )


def saved_csv(saved: Sequence[Saved]) -> str:
    """Return the labels saved, one line each."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = "split start baseline_labels saved low high n n_molecules remark"
    writer.writerow(columns.split())
    for one in saved:
        m = one.value
        numbers = (m.value, m.low, m.high, m.n, m.n_molecules)
        row = (one.split, one.mode, one.size, *numbers, one.note)
        writer.writerow(map(csv_cell, row))
    return buffer.getvalue()
