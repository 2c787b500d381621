"""Runs on disk -> one document: HTML, Markdown, CSV or JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlffbench import __version__
from mlffbench.core.errors import StoreError
from mlffbench.core.files import make_folder, write_atomic
from mlffbench.core.guards.plain import json_text, markdown_cell
from mlffbench.core.record import Record
from mlffbench.report.comparable import Group, separate
from mlffbench.report.paper.beside_paper import beside_paper
from mlffbench.report.run_inventory import ReadRun, take_inventory
from mlffbench.report.schema import WARNING, Board, GainSpread, Report, ReportRun
from mlffbench.report.simulations_part import Further, find_further
from mlffbench.report.tables.display_units import UnitSystem
from mlffbench.report.tables.record_tables import energy_table, force_table, radius_table
from mlffbench.report.tables.render import to_csv, to_markdown, worst_markdown
from mlffbench.run.folder import RunFolder

if TYPE_CHECKING:
    from mlffbench.report.structure_errors import Measured

Form = Literal["html", "md", "csv", "json"]


@dataclass(frozen=True, slots=True)
class Written:
    """A document.

    Attributes:
        text: All of it.
        boards: What it says of runs that may be compared; only HTML and JSON have them.
        left_out: Runs that are listed without a number.
    """

    text: str
    boards: tuple[Board, ...]
    left_out: tuple[ReportRun, ...]


def compose(folders: Sequence[Path], form: Form, system: UnitSystem = "meV") -> Written:
    """Return what every run under some folders says.

    Args:
        folders: Folders of runs, or with runs below them.
        form: Format.
        system: Units of the Markdown tables; the page shows meV, CSV and JSON keep the
            stored units.

    Raises:
        StoreError: There is no run, or none that can be read in a text format.
    """
    further = find_further(folders)
    inventory = take_inventory(folders, or_none=bool(further.folders))
    left_out = (*inventory.left_out, *further.left_out)
    if form in {"md", "csv"}:
        if not inventory.runs and not further.folders:
            msg = f"{left_out[0].path}: {left_out[0].reason}"
            raise StoreError(msg)
        return Written(_tables(inventory.runs, further, form, system), (), left_out)
    from mlffbench.report.leaderboard import make_board
    from mlffbench.report.paper.gain_spread import gain_spreads
    from mlffbench.report.summary import summarise

    usable, unusable, everything = [], list(left_out), []
    gains: list[GainSpread] = []
    separated = separate(inventory.runs)
    boards: list[Board] = []
    for group in separated.groups:
        kept, measured = _measure_all(group, unusable)
        if not kept.runs:
            continue
        board = make_board(kept, measured)
        told = (*_warnings(kept), *summarise(board))
        boards.append(board.model_copy(update={"sentences": told}))
        gains += gain_spreads(board, kept, measured)
        usable.append(kept)
        everything.append(measured)
    runs = dict.fromkeys(run.told for group in usable for run in group.runs)
    records = {id(r): r for group in usable for run in group.runs for r in run.records}
    report = Report(
        mlffbench=__version__,
        runs=(*runs, *unusable),
        separated=separated.sentences,
        boards=tuple(boards),
        records=tuple(records.values()),
        further=further.records(),
        beside_paper=beside_paper(tuple(records.values()), further.records()),
        gains=tuple(gains),
    )
    if form == "json":
        text = json_text(report.model_dump(mode="json"), indent=2)
        return Written(text + "\n", report.boards, tuple(unusable))
    from mlffbench.report.page import render

    page = render(report, usable, everything, further.tables())
    return Written(page, report.boards, tuple(unusable))


def write_report(
    folders: Sequence[Path], out: Path, form: Form = "html", system: UnitSystem = "meV"
) -> Written:
    """Write a document; the file is whole or not there.

    Raises:
        StoreError: There is no run, or the file cannot be written.
    """
    made = compose(folders, form, system)
    make_folder(out.parent)
    # a lone surrogate, which no encoding knows, can only come from a hostile name
    write_atomic(out, made.text.encode("utf-8", errors="replace"))
    return made


def records_by_suite(
    folders: Sequence[RunFolder],
) -> dict[tuple[str, int, str, str, str], list[Record]]:
    """Return the records of some runs, apart where they may not stand in one table.

    Runs share a table when they are of one suite, version and half and saw the same
    structures; a trial never shares one with a whole run.
    """
    tables: dict[tuple[str, int, str, str, str], list[Record]] = {}
    for folder in folders:
        records = folder.read_records()
        if not records:
            continue
        first = records[0]
        seen = "".join(sorted({record.split_sha256 for record in records}))
        half, limit = first.role.partition("_")[2], first.provenance.get("limit", "")
        key = (first.suite, first.suite_version, half, limit, seen)
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


def _tables(
    runs: Sequence[ReadRun], further: Further, form: Form, system: UnitSystem
) -> str:
    """Return the records as Markdown or CSV."""
    tables = records_by_suite([run.folder for run in runs])
    if form == "csv":
        everything = [record for records in tables.values() for record in records]
        return to_csv([*everything, *further.records()])
    parts = ["# mlffbench report", ""]
    parts += [f"- {markdown_cell(sentence)}" for sentence in separate(runs).sentences]
    for records in tables.values():
        parts += [to_markdown(force_table(records, system))]
        if any(record.radius for record in records):
            parts += [to_markdown(radius_table(records, system))]
        parts += [
            to_markdown(energy_table(records, system)),
            worst_markdown(records, system),
        ]
    parts += [to_markdown(table) for table in further.tables(system)]
    return "\n".join(parts)


def _warnings(group: Group) -> list[str]:
    """Return what was remarked on the data and the checks of some runs, each once."""
    remarks = [text for run in group.runs for text in run.remarks]
    return [f"{WARNING}{text.rstrip('.')}." for text in dict.fromkeys(remarks)]


def _measure_all(
    group: Group, unusable: list[ReportRun]
) -> "tuple[Group, list[Measured]]":
    """Measure the runs of a group; one with broken files joins the unusable."""
    from mlffbench.report.structure_errors import measure

    runs = list(group.runs)
    while runs:
        measured: list[Measured] = []
        try:
            for one in measure(tuple(runs)):
                measured.append(one)
        except StoreError as error:
            broken = runs.pop(len(measured))
            told = broken.told.model_copy(
                update={"status": "left out", "reason": str(error)}
            )
            if told not in unusable:
                unusable.append(told)
        else:
            return Group(tuple(runs), group.aside), measured
    return Group((), group.aside), []
