"""Runs on disk -> one document."""

from collections.abc import Sequence
from typing import Literal

from mlffbench.core.record import Record
from mlffbench.report.render import to_csv, to_json, to_markdown, worst_markdown
from mlffbench.report.tables import energy_table, force_table
from mlffbench.report.units import UnitSystem
from mlffbench.run.store import RunFolder


def records_by_suite(
    folders: Sequence[RunFolder],
) -> dict[tuple[str, int, str, str], list[Record]]:
    """Return the records of some runs, apart where they may not stand in one table.

    Runs share a table when they are of one suite, version and half and saw the same
    structures.
    """
    tables: dict[tuple[str, int, str, str], list[Record]] = {}
    for folder in folders:
        records = folder.read_records()
        if not records:
            continue
        first = records[0]
        seen = "".join(sorted({record.split_sha256 for record in records}))
        key = (first.suite, first.suite_version, first.role.partition("_")[2], seen)
        tables.setdefault(key, []).extend(records)
    return tables


def write_report(
    folders: Sequence[RunFolder],
    form: Literal["md", "csv", "json"],
    system: UnitSystem,
) -> str:
    """Return what runs say, as a text.

    Args:
        folders: Run folders, scored.
        form: Format.
        system: Units of the Markdown tables; CSV and JSON keep the stored units.

    Raises:
        StoreError: A run is missing its records or they are broken.
    """
    tables = records_by_suite(folders)
    everything = [record for records in tables.values() for record in records]
    if form == "csv":
        return to_csv(everything)
    if form == "json":
        return to_json(everything)
    parts = ["# mlffbench report", ""]
    for records in tables.values():
        parts += [to_markdown(force_table(records, system))]
        parts += [to_markdown(energy_table(records, system)), worst_markdown(records)]
    return "\n".join(parts)
