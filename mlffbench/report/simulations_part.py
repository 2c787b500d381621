"""Simulations and fine-tuning curves on disk -> their part of a document."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlffbench.core.errors import StoreError
from mlffbench.core.record import Record
from mlffbench.report.run_inventory import read_scored
from mlffbench.report.schema import ReportRun
from mlffbench.report.tables.curve_tables import curve_table, saved_table
from mlffbench.report.tables.display_units import UnitSystem
from mlffbench.report.tables.record_tables import TextTable
from mlffbench.report.tables.survival_tables import dynamics_table
from mlffbench.run.curve.curve_score import read_curve, score_curve
from mlffbench.run.folder import CURVE, SIMULATION, RunFolder, find_others

_TOLD = frozenset(
    {
        *("preset", "temperature", "time_step", "duration", "engine", "friction"),
        *("thermostat", "criterion", "record_every", "hydrogen_mass", "repartition"),
        "seeds",
    }
)
"""What the records of a simulation tell of its protocol."""


@dataclass(frozen=True, slots=True)
class Further:
    """What a report shows beside runs.

    Attributes:
        simulations: Folders of scored simulations.
        curves: Folders of scored fine-tuning curves.
        left_out: Those that cannot be read, with the reason.
    """

    simulations: tuple[RunFolder, ...]
    curves: tuple[RunFolder, ...]
    left_out: tuple[ReportRun, ...]

    @property
    def folders(self) -> tuple[RunFolder, ...]:
        """Every folder that can be read."""
        return (*self.simulations, *self.curves)

    def records(self) -> tuple[Record, ...]:
        """Return the records of all of them."""
        return tuple(one for folder in self.folders for one in folder.read_records())

    def tables(self, system: UnitSystem = "meV") -> list[TextTable]:
        """Return what they say; simulations of different protocols stand apart."""
        tables = dynamics_tables(self.simulations, system)
        for folder in self.curves:
            records, saved = score_curve(folder)
            tables.append(curve_table(records, system))
            if saved:
                tables.append(saved_table(saved, records[0].model))
        return tables


def find_further(folders: Sequence[Path]) -> Further:
    """Return every simulation and curve under some folders."""
    left_out: list[ReportRun] = []
    simulations = _readable(find_others(folders, SIMULATION), left_out)
    curves = _readable(find_others(folders, CURVE), left_out)
    return Further(simulations, curves, tuple(left_out))


def _readable(
    folders: Sequence[RunFolder], left_out: list[ReportRun]
) -> tuple[RunFolder, ...]:
    """Return the folders with records; the others join those left out."""
    found: dict[tuple[str, ...], RunFolder] = {}
    for folder in folders:
        try:
            manifest = folder.read_manifest()
            records = read_scored(folder, manifest)
            if folder.manifest_name == CURVE:
                read_curve(folder)
            elif any(not record.provenance.keys() >= _TOLD for record in records):
                msg = "its records do not tell its protocol; repeat its command"
                raise StoreError(msg)
        except StoreError as error:
            told = ReportRun(path=str(folder.path), status="left out", reason=str(error))
            left_out.append(told)
            continue
        # a copy of another, e.g. both in an export
        who = (str(manifest.get("fingerprint")), str(manifest.get("started")))
        twin = found.setdefault((*who, *map(str, records)), folder)
        if twin is not folder:
            reason = f"it is that in {twin.path}, which is told once"
            told = ReportRun(path=str(folder.path), status="left out", reason=reason)
            left_out.append(told)
    return tuple(found.values())


def dynamics_tables(folders: Sequence[RunFolder], system: UnitSystem) -> list[TextTable]:
    """Return one table per suite and protocol."""
    tables: dict[tuple[str, ...], list[Record]] = {}
    for folder in folders:
        for record in folder.read_records():
            told = record.provenance
            key = (
                *(record.suite, str(record.suite_version), record.split_sha256),
                *(told["preset"], told["temperature"], told["time_step"]),
                *(told["duration"], told["engine"], told["friction"], str(record.seed)),
                *(told["thermostat"], told["criterion"], told["record_every"]),
                *(told["hydrogen_mass"], told["repartition"], told["seeds"]),
                told.get("limit", ""),
            )
            tables.setdefault(key, []).append(record)
    return [dynamics_table(records, system) for records in tables.values()]
