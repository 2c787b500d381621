"""Runs on disk -> one document."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from mlffbench.core.errors import StoreError
from mlffbench.core.record import Record
from mlffbench.report.render import to_csv, to_json, to_markdown, worst_markdown
from mlffbench.report.simulated import dynamics_and_data, further_records
from mlffbench.report.tables import energy_table, force_table, radius_table
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
    return {key: _tell_apart(records) for key, records in tables.items()}


def _tell_apart(records: list[Record]) -> list[Record]:
    """Name what differs where a model and mode stand in a table more than once."""
    seen = Counter((r.split, r.model, r.mode) for r in records)
    return [
        r
        if seen[r.split, r.model, r.mode] == 1
        else r.model_copy(
            update={
                "model": f"{r.model} ({r.provenance.get('dtype', '')}, "
                f"{r.provenance.get('device', '')}, seed {r.seed})"
            }
        )
        for r in records
    ]


def readable_runs(
    folders: Sequence[RunFolder],
) -> tuple[list[RunFolder], list[str]]:
    """Return the runs with records, and a sentence for each of the others.

    Raises:
        StoreError: None of them has any.
    """
    found, unread = [], []
    for folder in folders:
        try:
            folder.read_records()
        except StoreError as error:
            unread.append(str(error))
        else:
            found.append(folder)
    if not found:
        raise StoreError(unread[0])
    return found, unread


def write_report(
    folders: Sequence[RunFolder],
    form: Literal["md", "csv", "json"],
    system: UnitSystem,
    *,
    simulations: Sequence[RunFolder] = (),
    curves: Sequence[RunFolder] = (),
) -> str:
    """Return what runs say, as a text.

    Args:
        folders: Run folders, scored.
        form: Format.
        system: Units of the Markdown tables; CSV and JSON keep the stored units.
        simulations: Folders of simulations, scored.
        curves: Folders of fine-tuning curves, scored.

    Raises:
        StoreError: A run is missing its records or they are broken.
    """
    tables = records_by_suite(folders)
    everything = [record for records in tables.values() for record in records]
    everything += further_records([*simulations, *curves])
    if form == "csv":
        return to_csv(everything)
    if form == "json":
        return to_json(everything)
    parts = ["# mlffbench report", ""]
    for records in tables.values():
        parts += [to_markdown(force_table(records, system))]
        if any(record.radius for record in records):
            parts += [to_markdown(radius_table(records, system))]
        parts += [
            to_markdown(energy_table(records, system)),
            worst_markdown(records, system),
        ]
    if simulations or curves:
        parts.append(dynamics_and_data(simulations, curves, system))
    return "\n".join(parts)
