"""Simulations on disk -> their part of a document."""

from collections.abc import Sequence

from mlffbench.core.record import Record
from mlffbench.report.dynamics import dynamics_table
from mlffbench.report.render import to_csv, to_json, to_markdown
from mlffbench.report.tables import TextTable
from mlffbench.report.units import UnitSystem
from mlffbench.run.store import RunFolder


def dynamics_tables(
    folders: Sequence[RunFolder], system: UnitSystem = "meV"
) -> list[TextTable]:
    """Return one table per suite and protocol; what may not be compared stands apart.

    Args:
        folders: Folders of scored simulations.
        system: Units shown.

    Raises:
        StoreError: Records are missing or broken.
    """
    tables: dict[tuple[str, ...], list[Record]] = {}
    for folder in folders:
        for record in folder.read_records():
            told = record.provenance
            key = (
                *(record.suite, str(record.suite_version), record.split_sha256),
                *(told["preset"], told["temperature"], told["time_step"]),
                *(told["duration"], told["engine"], told["friction"], str(record.seed)),
            )
            tables.setdefault(key, []).append(record)
    return [dynamics_table(records, system) for records in tables.values()]


def write_dynamics_report(
    folders: Sequence[RunFolder], form: str, system: UnitSystem = "meV"
) -> str:
    """Return what simulations say, as Markdown, CSV or JSON.

    Args:
        folders: Folders of scored simulations.
        form: ``md``, ``csv`` or ``json``.
        system: Units of the Markdown tables; CSV and JSON keep the stored units.

    Raises:
        StoreError: Records are missing or broken.
    """
    if form == "md":
        return "\n".join(to_markdown(table) for table in dynamics_tables(folders, system))
    records = [record for folder in folders for record in folder.read_records()]
    return to_csv(records) if form == "csv" else to_json(records)
