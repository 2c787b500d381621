"""Simulations and curves on disk -> their part of a document."""

from collections.abc import Sequence

from mlffbench.core.record import Record
from mlffbench.report.curve import curve_table, saved_table
from mlffbench.report.dynamics import dynamics_table
from mlffbench.report.render import to_markdown
from mlffbench.report.tables import TextTable
from mlffbench.report.units import UnitSystem
from mlffbench.run.curve_score import score_curve
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


def further_records(folders: Sequence[RunFolder]) -> list[Record]:
    """Return the records of scored simulations and curves.

    Raises:
        StoreError: Records are missing or broken.
    """
    return [record for folder in folders for record in folder.read_records()]


def dynamics_and_data(
    simulations: Sequence[RunFolder],
    curves: Sequence[RunFolder],
    system: UnitSystem = "meV",
) -> str:
    """Return what simulations and curves say, as Markdown; empty without any.

    Raises:
        StoreError: Records or errors are missing or broken.
    """
    tables = dynamics_tables(simulations, system)
    for folder in curves:
        records, saved = score_curve(folder)
        tables.append(curve_table(records, system))
        if saved:
            tables.append(saved_table(saved, records[0].model))
    return "\n".join(to_markdown(table) for table in tables)
