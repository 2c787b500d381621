"""Inventory: every run folder there is, readable or not."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mlffbench.core.errors import StoreError
from mlffbench.core.record import Record
from mlffbench.report.schema import NOT_FINISHED, ReportRun
from mlffbench.run.checksums import say_unverified, verify
from mlffbench.run.folder import RunFolder


@dataclass(frozen=True, eq=False)
class ReadRun:
    """A finished and scored run.

    Attributes:
        folder: Where it lies.
        manifest: Its ``run.json``.
        records: Its ``records.jsonl``.
    """

    folder: RunFolder
    manifest: dict[str, Any]
    records: tuple[Record, ...]

    @property
    def path(self) -> str:
        """Its folder as text."""
        return str(self.folder.path)

    @property
    def model(self) -> str:
        """The model as typed."""
        return str(self.manifest["job"]["model"])

    @property
    def mode(self) -> str:
        """The mode."""
        return str(self.manifest["mode"]["name"])

    @property
    def unit(self) -> str:
        """What its mode sees at once."""
        return str(self.manifest["mode"].get("unit", "structure"))

    @property
    def half(self) -> str:
        """Half of the suite."""
        return self.records[0].role.partition("_")[2]

    @property
    def signature(self) -> tuple[tuple[str, str, str], ...]:
        """Split, role and checksum of everything that was tested."""
        return tuple(sorted((r.split, r.role, r.split_sha256) for r in self.records))

    @property
    def limit(self) -> int | None:
        """Structures per split at most, of a trial run; None for a whole one."""
        limit = self.manifest["job"].get("limit")
        return limit if isinstance(limit, int) else None

    @property
    def n_tested(self) -> int:
        """Structures it was to predict, over all splits."""
        return sum(record.counts.total for record in self.records)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader should know of the data before any number."""
        checks = self.manifest.get("checks")
        found = checks.get("remarks") if isinstance(checks, dict) else None
        there = found if isinstance(found, list) else []
        return tuple(text for text in there if isinstance(text, str))

    def split(self, name: str, role: str) -> dict[str, Any]:
        """Return what is stored of a split; nothing of an unknown one."""
        for one in self.manifest["splits"]:
            if (one.get("name"), one.get("role")) == (name, role):
                return dict(one)
        return {}

    @cached_property
    def shifts(self) -> dict[str, float] | None:
        """Element -> energy shift behind the aligned energies; None without any."""
        try:
            text = (self.folder.path / "alignment.json").read_text(encoding="utf-8")
            found = json.loads(text)
            return dict(zip(found["elements"], found["energies_ev"], strict=True))
        except (OSError, ValueError, TypeError, KeyError):
            return None  # an older run, or one without energies: nothing to compare

    @property
    def told(self) -> ReportRun:
        """Its line in the list of runs."""
        suite = str(self.manifest["job"]["suite"])
        return ReportRun(
            path=self.path, suite=suite, model=self.model, mode=self.mode, status="read"
        )


@dataclass(frozen=True, slots=True)
class Inventory:
    """Run folders.

    Attributes:
        runs: Those that can be read, in the order they were started.
        left_out: The others, with the reason.
    """

    runs: tuple[ReadRun, ...]
    left_out: tuple[ReportRun, ...]

    @property
    def listed(self) -> tuple[ReportRun, ...]:
        """Every run folder, readable ones first."""
        return (*(run.told for run in self.runs), *self.left_out)


def take_inventory(folders: Sequence[Path], *, or_none: bool = False) -> Inventory:
    """Return every run under some folders.

    Args:
        folders: Folders of runs, or with runs below them.
        or_none: Do without any.

    Raises:
        StoreError: There is none at all.
    """
    found = sorted({path.parent for one in folders for path in one.rglob("run.json")})
    if not found and not or_none:
        names = ", ".join(str(folder) for folder in folders)
        msg = f"no run under {names}; make one with: mlffbench run --suite mini-ood"
        raise StoreError(msg)
    runs: list[ReadRun] = []
    left_out: list[ReportRun] = []
    for path in found:
        one = _read(RunFolder(path))
        if not isinstance(one, ReadRun):
            left_out.append(one)
            continue
        twin = next((run for run in runs if _is_same(run, one)), None)
        if twin is None:
            runs.append(one)
        else:
            reason = f"it is the run in {twin.path}, which is told once"
            told = {"status": "left out", "reason": reason}
            left_out.append(one.told.model_copy(update=told))
    say_unverified(run.folder.path for run in runs)
    runs.sort(key=lambda run: (str(run.manifest.get("started", "")), run.path))
    return Inventory(tuple(runs), tuple(left_out))


def _is_same(run: ReadRun, other: ReadRun) -> bool:
    """Return whether a run is a copy of another, e.g. both in an export."""
    return (
        all(
            run.manifest.get(name) == other.manifest.get(name)
            for name in ("fingerprint", "started", "job", "mode")
        )
        and run.records == other.records
    )


def _read(folder: RunFolder) -> ReadRun | ReportRun:
    manifest: dict[str, Any] = {}
    try:
        manifest = folder.read_manifest()
        records = read_scored(folder, manifest)
        if not records:
            msg = f"has no records; run: mlffbench score {folder.path}"
            raise StoreError(msg)
        run = ReadRun(folder, manifest, tuple(records))
        _ = (run.model, run.mode, run.unit, manifest["splits"], manifest["job"]["suite"])
    except StoreError as error:
        reason = str(error)
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"run.json lacks {error}; repeat the run with --overwrite"
    else:
        return run
    names = {name: _name(manifest, name) for name in ("suite", "model", "mode")}
    return ReportRun(path=str(folder.path), status="left out", reason=reason, **names)


def read_scored(folder: RunFolder, manifest: dict[str, Any]) -> list[Record]:
    """Return the records of what is complete and as it was written.

    Args:
        folder: The folder of a run, a simulation or a curve.
        manifest: What it says of itself.

    Raises:
        StoreError: It has not finished, or a file is missing, broken or altered.
    """
    if manifest.get("status") != "complete":
        raise StoreError(_unfinished(folder, manifest))
    verify(folder.path)
    return folder.read_records()


def _unfinished(folder: RunFolder, manifest: dict[str, Any]) -> str:
    """Return how far what was stopped came and the command that goes on with it."""
    n_done = len(list(folder.parts.glob("*.npz")))
    words = {0: "nothing is stored yet", 1: "1 part is stored"}
    stored = words.get(n_done, f"{n_done} parts are stored")
    command = manifest.get("command")
    return f"{NOT_FINISHED}: {stored}, repeat the command to go on: {command}"


def _name(manifest: dict[str, Any], name: str) -> str:
    """Return a name out of a ``run.json`` that may hold anything."""
    job = manifest.get("job")
    return str(job.get(name, "")) if isinstance(job, dict) else ""
