"""Accounting: where every number comes from, and everything that may not be trusted."""

import inspect
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlffbench.core.record import Record
from mlffbench.metrics.catalog import METRICS
from mlffbench.metrics.headlines import Headline
from mlffbench.report.run_inventory import ReadRun
from mlffbench.report.tables.display_units import number, with_interval

FLOOR = "zero"
"""The model without forces."""
_HASH = 12


@dataclass(frozen=True, slots=True)
class Level:
    """The level of theory of a run's model beside that of its data.

    Attributes:
        run: Model and mode.
        model: Level of theory of the model, as its card says.
        data: Level of theory of the reference labels.
        verdict: ``same``, ``differs`` or ``not stated``.
        words: What that means for the reader.
    """

    run: str
    model: str
    data: str
    verdict: str
    words: str


def levels(runs: Sequence[ReadRun]) -> list[Level]:
    """Return one line per model: does it speak of the same reference as the data?"""
    found: dict[str, Level] = {}
    for run in runs:
        if run.model == FLOOR:
            continue  # it follows no method
        card = (run.manifest.get("model") or {}).get("card") or {}
        ours = str(card.get("level of theory", "not stated"))
        theirs = sorted(
            {
                str(s.get("level_of_theory") or "not stated")
                for s in run.manifest["splits"]
            }
        )
        data = ", ".join(theirs)
        found.setdefault(run.model, _level(run.model, ours, data))
    return list(found.values())


def _level(who: str, ours: str, data: str) -> Level:
    if "not stated" in (ours, data):
        words = "cannot be judged; a constant offset of energies may be part of the error"
        return Level(who, ours, data, "not stated", words)
    if _plain(ours) == _plain(data):
        return Level(who, ours, data, "same", "errors are errors of the model alone")
    words = (
        "its errors hold the difference between the two methods as well, and its raw "
        "energies have another zero"
    )
    return Level(who, ours, data, "differs", words)


def _plain(level: str) -> str:
    """Return a level of theory without the spellings that mean nothing."""
    return re.sub(r"[\s_]+", "", level.lower().replace("ω", "w"))


def counts(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return one row per model, mode and split with the denominators and reasons."""
    return [
        {
            "model": r.model,
            "mode": r.mode,
            "split": r.split,
            "total": r.counts.total,
            "evaluated": r.counts.evaluated,
            "skipped": r.counts.skipped,
            "failed": r.counts.failed,
            "reasons": [f"{n} × {why}" for why, n in r.counts.reasons.items()],
        }
        for r in records
    ]


def numbers(
    runs: Sequence[ReadRun], refused: Sequence[str], heads: Sequence[Headline]
) -> list[dict[str, str | list[str]]]:
    """Return one row per model, mode and split with some metrics as text.

    Args:
        runs: Runs of a board.
        refused: Paths of runs whose aligned energies rest on another fit.
        heads: The metrics.
    """
    rows: list[dict[str, str | list[str]]] = []
    for run in runs:
        for r in run.records:
            cells = [
                "refused: another E0 fit"
                if run.path in refused and one.card.energies == "aligned"
                else with_interval(r.metrics.get(one.name))
                for one in heads
            ]
            row: dict[str, str | list[str]] = {"split": r.split, "model": r.model}
            rows.append({**row, "mode": r.mode, "cells": cells, "notes": list(r.notes)})
    return rows


def provenance(run: ReadRun) -> list[tuple[str, str]]:
    """Return what made a run's numbers as (fact, value) pairs."""
    manifest = run.manifest
    model, git = manifest.get("model") or {}, manifest.get("git") or {}
    hardware, mode = manifest.get("hardware") or {}, manifest["mode"]
    versions = manifest.get("versions") or {}
    settings = mode.get("settings") or {}
    sources = {str(s.get("source_sha256", ""))[:_HASH] for s in manifest["splits"]}
    memory = manifest.get("peak_memory_mb")
    pairs = [
        ("command", str(manifest.get("command", ""))),
        ("started, finished", f"{manifest.get('started')}, {manifest.get('finished')}"),
        ("device, dtype", f"{hardware.get('device')}, {manifest.get('dtype')}"),
        ("platform", str(hardware.get("platform", ""))),
        ("seed", str(manifest["job"].get("seed"))),
        ("sees", str(mode.get("sees", ""))),
        ("settings", ", ".join(f"{k} = {v}" for k, v in settings.items()) or "none"),
        ("weights sha256", str(model.get("weights_sha256", "")) or "none"),
        ("data sha256", ", ".join(sorted(sources))),
        ("git", _commit(git)),
        ("peak memory", f"{number(float(memory))} MB" if memory else "not measured"),
        ("versions", ", ".join(f"{k} {v}" for k, v in versions.items())),
    ]
    return [(name, value) for name, value in pairs if value]


def _commit(git: dict[str, Any]) -> str:
    if not git.get("commit"):
        return "not a git checkout"
    changed = " with uncommitted changes" if git.get("dirty") else ""
    return f"{str(git['commit'])[:_HASH]}{changed}"


def what_modes_saw(runs: Sequence[ReadRun]) -> list[tuple[str, str, str]]:
    """Return mode, unit and what it saw, once for each that differs."""
    seen = Counter(
        (run.mode, run.unit, str(run.manifest["mode"].get("sees", ""))) for run in runs
    )
    return list(seen)


def commands(runs: Sequence[ReadRun]) -> list[str]:
    """Return the commands that made the runs, each once, in order.

    One that made other runs as well names only the models of these.
    """
    made: dict[str, list[ReadRun]] = {}
    for run in runs:
        made.setdefault(str(run.manifest.get("command", "")), []).append(run)
    return list(dict.fromkeys(_only(command, them) for command, them in made.items()))


def _only(command: str, runs: Sequence[ReadRun]) -> str:
    """Return a command with no other models than those of some runs."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command  # nothing that a shell would run
    shown = list(dict.fromkeys(run.model for run in runs))
    kept, named, place = [], [], None
    rest = iter(words)
    for word in rest:
        option, is_joined, value = word.partition("=")
        if option not in {"--model", "-m"}:
            kept.append(word)
            continue
        named += (value if is_joined else next(rest, "")).split(",")
        place = len(kept) if place is None else place
    if place is None:
        suite = runs[0].manifest.get("suite")
        named = list((suite or {}).get("models") or ()) or shown
        place = len(kept)
    if {name.strip() for name in named} <= {*shown}:
        return command
    return shlex.join([*kept[:place], "--model", ",".join(shown), *kept[place:]])


def definitions() -> list[tuple[str, str, str]]:
    """Return name, unit and definition of every metric, from the catalogue."""
    rows = []
    for name, entry in METRICS.rows().items():
        unit = getattr(entry.card, "unit", "1")
        known = None if entry.fault else inspect.getdoc(METRICS.load(name))
        text = known or entry.summary
        rows.append((name, "none" if unit == "1" else unit, text))
    return rows
