"""Verification: every number of an export computed again, and what cannot be checked."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlffbench import __version__
from mlffbench.core.errors import StoreError
from mlffbench.core.guards.plain import counted
from mlffbench.core.guards.sizes import read_text
from mlffbench.core.record import Comparison, MetricValue, Record
from mlffbench.metrics.catalog import METRICS
from mlffbench.metrics.intervals.verdict import ROUNDING
from mlffbench.publish.export_folder import (
    README,
    REPORT,
    Export,
    ExportedRun,
    open_export,
)
from mlffbench.publish.further_verification import check_numbers
from mlffbench.publish.readme import readme_of
from mlffbench.publish.received_run import as_received, damaged
from mlffbench.publish.reference_check import check_references
from mlffbench.publish.run_shape import read_strictly
from mlffbench.publish.same_numbers import count_numbers, difference_of
from mlffbench.report.document import compose
from mlffbench.run.evaluate.beside import folders_beside
from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.evaluate.stored import StoredRun
from mlffbench.run.folder import RunFolder

_TIES = 1e-6
_STATUS = frozenset({"ok", "skipped", "failed"})
_ODD = (KeyError, TypeError, AttributeError, ValueError, IndexError, RuntimeError)
"""What code raises that meets what no run holds."""


@dataclass(slots=True)
class Verification:
    """What was verified of an export, and what was not.

    Attributes:
        export: The export.
        verified: A sentence each.
        open: A sentence for each thing that nothing here can verify.
    """

    export: Export
    verified: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


def verify_export(path: Path) -> Verification:
    """Return what can be said of an export after all of it was computed again.

    Raises:
        StoreError: A file is damaged, altered, missing or hostile, a number is not what
            the predictions give, or a reference is not that of the data.
    """
    export = open_export(path)
    try:
        return _verify(export)
    except StoreError as error:
        raise as_received(error) from error
    except _ODD as error:
        msg = f"{path} holds what no run does ({type(error).__name__}: {error})"
        raise damaged(msg) from error


def _verify(export: Export) -> Verification:
    found = Verification(export)
    found.verified.append(
        f"{counted(export.n_files, 'file')} are what was written, by their checksums"
    )
    counts: Counter[str] = Counter()
    runs = list(zip(export.manifest.runs, export.folders, strict=True))
    told = [_read_strictly(folder) for folder in export.folders]
    for (run, folder), records in zip(runs, told, strict=True):
        _check_entry(run, folder, records)
    for (run, folder), records in zip(runs, told, strict=True):
        if run.kind != "run":
            counts.update(check_numbers(folder, records, _altered(export)))
        elif run.predictions:
            counts.update(_check_predicted(StoredRun.read(folder), records, found))
        else:
            counts["consistent"] += _check_consistent(folder, records)
    _tell(found, counts)
    _check_texts(export, [record for records in told for record in records], found)
    return found


def _check_predicted(
    run: StoredRun, records: list[Record], found: Verification
) -> Counter[str]:
    """Check a run with its predictions; return how much of it agrees.

    Raises:
        StoreError: Something is not what the predictions or the data set give.
    """
    n_numbers = _recompute(run, records, found)
    why_not = check_references(run)
    if why_not:
        found.open.append(f"references of {run.manifest['job']['suite']}: {why_not}")
    return Counter(recomputed=n_numbers, references=not why_not)


def _check_texts(export: Export, records: Sequence[Record], found: Verification) -> None:
    """Check that what people read says what the records say.

    Raises:
        StoreError: It does not.
    """
    report = compose([export.path], "md").text
    texts = {README: readme_of(export.manifest), REPORT: report}
    names = {name.partition("[")[0] for record in records for name in record.metrics}
    rows = METRICS.rows()
    ours = names <= rows.keys() and not any(row.package for row in rows.values())
    wrong = [n for n, text in texts.items() if read_text(export.path / n) != text]
    if not wrong:
        found.verified.append(f"{README} and {REPORT} say what the records say")
    elif ours and export.manifest.mlffbench == __version__:
        msg = f"{export.path / wrong[0]} does not say what the records say, so it was "
        raise StoreError(msg + "altered; ask for it or fetch it again")
    else:
        why = "another mlffbench, or one with other metrics, wrote it"
        found.open += [f"{name}: {why}" for name in wrong]


def _tell(found: Verification, counts: Mapping[str, int]) -> None:
    """Put what was verified in words."""
    if counts.get("recomputed"):
        found.verified.append(
            f"{counts['recomputed']:,} numbers are what the stored predictions and "
            "references give"
        )
    if counts.get("references"):
        found.verified.append(
            f"references and structures of {counted(counts['references'], 'run')} are "
            "those of the data set on this machine"
        )
    if counts.get("further"):
        found.verified.append(
            f"{counts['further']:,} numbers are what stored trajectories' times, "
            "temperatures, drifts and distances, and stored errors of fine-tuned models, "
            "give"
        )
        found.open.append(
            "simulations and fine-tuning curves: what was read off a trajectory or a "
            "fine-tuned model is as told, since neither is in an export"
        )
    if counts.get("tested"):
        found.verified.append(
            f"structures of {counted(counts['tested'], 'fine-tuning curve')} are those "
            "of the data set on this machine"
        )
    if counts.get("untested"):
        found.open.append(
            f"structures of {counted(counts['untested'], 'fine-tuning curve')}: not "
            "compared, their data are not on this machine or of another version"
        )
    if counts.get("consistent"):
        found.verified.append(
            f"{counts['consistent']:,} numbers of records without predictions agree with "
            "one another"
        )
        found.open.append(
            "records without predictions: their numbers are as told, nothing here can "
            "compute them again"
        )
    found.open.append(
        "that the named model made the predictions, times, versions, licences and "
        "commands: as told"
    )
    found.open = list(dict.fromkeys(found.open))


def _read_strictly(folder: RunFolder) -> list[Record]:
    """Return the records of a run; no number in them is other than finite.

    Raises:
        StoreError: One is, or they are broken.
    """
    path = folder.path / "records.jsonl"
    for line in read_text(path).splitlines():
        try:
            read_strictly(line)
        except ValueError as error:
            msg = f"{path} is not what mlffbench writes ({error}), so it was altered"
            raise StoreError(msg) from error
    return folder.read_records()


def _check_entry(run: ExportedRun, folder: RunFolder, records: list[Record]) -> None:
    """Check that the manifest, ``run.json`` and the records are of one run.

    Raises:
        StoreError: They are not.
    """
    manifest = folder.read_manifest()
    job, mode = manifest.get("job") or {}, manifest.get("mode") or {}
    told = (run.suite, run.suite_version, run.model, run.mode)
    same = told == (*map(job.get, ("suite", "suite_version", "model")), mode.get("name"))
    same &= (run.half, run.limit) == (job.get("half", "test"), job.get("limit"))
    of = {(r.suite, r.suite_version, r.model, r.mode) for r in records}
    if run.kind == "curve":  # its records name the start and the labels
        of = {(*one[:3], run.mode) for one in of}
    if not same or of != {told}:
        msg = f"{folder.path} is not the run that export.json names, so it was altered"
        raise StoreError(msg)


def _recompute(run: StoredRun, records: list[Record], found: Verification) -> int:
    """Compare records with what the predictions give; return how many numbers there are.

    Raises:
        StoreError: They differ.
    """
    _check_predictions(run)
    scored = score_run(run.folder)
    told = [record.model_dump(mode="json") for record in records]
    again = [record.model_dump(mode="json") for record in scored.records]
    absent = _absent(run, found.export)
    for mine, theirs in zip(told, again, strict=False):
        _leave_out_unknown(mine, theirs, found)
        _leave_out_beside(mine, theirs, absent, found)
    folder = run.folder.path
    shifts = read_strictly(read_text(folder / "alignment.json"))
    for name, one, other in (
        ("records.jsonl", told, again),
        ("alignment.json", shifts, scored.shifts),
    ):
        different = difference_of(one, other)
        if different:
            msg = f"{folder / name} is not what the predictions beside it "
            msg += f"give, so it was {_altered(found.export)}: {different}"
            raise StoreError(msg)
    return sum(map(count_numbers, told))


def _altered(export: Export) -> str:
    """Return what happened to a number; another version may compute another one."""
    theirs = export.manifest.mlffbench
    if theirs == __version__:
        return "altered"
    return f"altered, or computed otherwise by mlffbench {theirs} (this is {__version__})"


def _absent(run: StoredRun, export: Export) -> frozenset[str]:
    """Return which comparisons of a run have no other side in an export."""
    others = folders_beside(run.folder, run.manifest["mode"])
    there = {one.path for one in export.folders}
    return frozenset(part for part, one in others.items() if one.path not in there)


def _check_predictions(run: StoredRun) -> None:
    """Check that what counts as evaluated has forces, and what does not has none.

    Raises:
        StoreError: It is otherwise.
    """
    for split in run.splits:
        if not set(split.table["status"]) <= _STATUS:
            msg = f"{run.folder.path} holds a status that no structure has, so it was "
            raise StoreError(msg + "altered; ask for it or fetch it again")
        finite = np.isfinite(split.prediction.forces.numpy()).all(axis=1)
        n_bad = np.bincount(split.structures.system, weights=~finite)
        evaluated = (split.table["status"] == "ok").to_numpy()
        if (n_bad[: len(evaluated)][evaluated] > 0).any():
            msg = f"{run.folder.path} counts structures of {split.manifest['name']!r} as "
            raise StoreError(msg + "evaluated whose forces are not finite; altered")


def _leave_out_unknown(
    mine: dict[str, Any], theirs: dict[str, Any], found: Verification
) -> None:
    """Leave metrics of other packages out of a comparison."""
    known = set(METRICS.names())
    for part in ("metrics", "gap", "paired", "against_prior"):
        for name in list(mine[part]):
            if name.partition("[")[0] not in known:
                del mine[part][name]
                found.open.append(
                    f"metric {name.partition('[')[0]}: this mlffbench has none"
                )
        for name in list(theirs[part]):
            first = name.partition("[")[0]
            if name in mine[part]:
                continue
            if METRICS.rows()[first].package:
                del theirs[part][name]
            elif found.export.manifest.mlffbench != __version__:
                del theirs[part][name]
                found.open.append(f"metric {first}: it is not in the export")


def _leave_out_beside(
    mine: dict[str, Any],
    theirs: dict[str, Any],
    absent: Collection[str],
    found: Verification,
) -> None:
    """Leave comparisons out whose other side is not in the export."""
    for part in absent:
        if mine[part] and not theirs[part]:
            mine[part] = theirs[part]
            who = f"{part} of {mine['model']} {mine['mode']}"
            found.open.append(
                f"{who}: the run that it is compared with is not in the export"
            )


def _check_consistent(folder: RunFolder, records: list[Record]) -> int:
    """Check records against themselves and one another; return how many numbers agree.

    Raises:
        StoreError: Numbers exclude each other.
    """
    by_split = {record.split: record for record in records}
    for record in records:
        where = f"{folder.path / 'records.jsonl'}, {record.split}"
        counts = record.counts
        if counts.total != counts.evaluated + counts.skipped + counts.failed:
            raise _at_odds(where, "its counts do not add up")
        pairs = [*record.gap.items(), *record.paired.items()]
        for name, value in record.metrics.items():
            _check_value(value, counts.evaluated, f"{where}, {name}")
        for name, compared in [*pairs, *record.against_prior.items()]:
            _check_comparison(compared, record.metrics.get(name), f"{where}, {name}")
        control = by_split.get(record.control)
        if control is not None:
            for name, compared in record.gap.items():
                _check_gap(record, control, name, compared, where)
    return sum(count_numbers(record.model_dump(mode="json")) for record in records)


def _check_value(value: MetricValue, most: int, where: str) -> None:
    ends = [(value.low, value.high), (value.lowest, value.highest)]
    inside = all(
        low <= value.value + _TIES and value.value - _TIES <= high
        for low, high in ends
        if low is not None and high is not None
    )
    if not inside or not 0 < value.n_molecules <= value.n <= most:
        raise _at_odds(where, "value, interval and counts exclude each other")


def _check_comparison(
    compared: Comparison, value: MetricValue | None, where: str
) -> None:
    low, high = compared.difference.low, compared.difference.high
    if low is None or high is None:
        told = compared.verdict == "cannot be judged"
    elif value and max(-low, high) <= ROUNDING * abs(value.value):
        told = True  # what rounds away may be called no difference
    elif low <= 0 <= high:
        told = compared.verdict in {"no difference", "cannot be judged"}
    else:
        told = compared.verdict != "no difference"
    if not told:
        why = f"its interval does not say {compared.verdict!r}"
        raise _at_odds(where, why)


def _check_gap(
    record: Record, control: Record, name: str, compared: Comparison, where: str
) -> None:
    ours, theirs = record.metrics.get(name), control.metrics.get(name)
    if ours is None or theirs is None:
        return
    different = difference_of(compared.difference.value, ours.value - theirs.value)
    if different:
        told = f"gap of {name}: {different}"
        raise _at_odds(where, told)


def _at_odds(where: str, why: str) -> StoreError:
    return StoreError(f"{where}: {why}, so it was altered; ask for it again")
