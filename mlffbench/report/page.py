"""The page: boards and their figures -> one HTML file that needs nothing else."""

import json
import math
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from mlffbench import __version__
from mlffbench.core.guards.plain import UNSEEN, escaped
from mlffbench.metrics.headlines import energy_headlines, force_headlines
from mlffbench.report import accounting
from mlffbench.report.comparable import Group, baseline_of, same_fit, same_weights
from mlffbench.report.distances import histograms, read_diagnosis, warnings_of
from mlffbench.report.page_data import MOST_SUMS, make_cells
from mlffbench.report.schema import Board, Report
from mlffbench.report.structure_errors import Measured
from mlffbench.report.tables.paper_tables import NOTES, gain_table, paper_tables
from mlffbench.report.tables.record_tables import TextTable, heading
from mlffbench.report.traces import prior_losses
from mlffbench.report.worst_structures import N_WORST, Room, find_worst

_SCRIPTS = (
    *("text", "statistics", "interval", "recompute", "figure", "scale", "scroll"),
    *("leaderboard", "modes", "shifts", "errors", "molecule", "main"),
)
_DIGITS = 6


def render(
    report: Report,
    groups: Sequence[Group],
    measured: Sequence[Sequence[Measured]],
    further: Sequence[TextTable] = (),
) -> str:
    """Return the page.

    Args:
        report: The document that the page shows.
        groups: The runs behind each board.
        measured: What each run of each board got wrong.
        further: Tables of simulations and fine-tuning curves.
    """
    room = Room()
    share = MOST_SUMS // max(1, len(groups))
    boards = [
        _board(board, group, list(them), share, room)
        for board, group, them in zip(report.boards, groups, measured, strict=True)
    ]
    payload = {"boards": boards, "n_worst": N_WORST}
    return template_of(read_asset("report", "report.html.j2")).render(
        report=report,
        version=__version__,
        accounts=[_account(group) for group in groups],
        definitions=accounting.definitions(),
        energy_columns=[one.label for one in energy_headlines()],
        force_columns=[heading(one) for one in force_headlines()[1:]],
        further=further,
        gains=gain_table(report.gains) if report.gains else None,
        paper=paper_tables(report.beside_paper) if _has_ours(report) else [],
        paper_notes=NOTES,
        payload=as_script_json(payload),
        style=Markup(read_asset("report", "report.css")),
        plotly=Markup(_plotly()),
        script=Markup("\n".join(read_asset("report", f"{name}.js") for name in _SCRIPTS)),
    )


def template_of(text: str) -> Template:
    """Return a template that escapes all it is filled with and misses nothing."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["plain"] = plain
    environment.trim_blocks = environment.lstrip_blocks = True
    return environment.from_string(text)


def plain(text: object, longest: int = 300) -> str:
    """Return a name as text that cannot reach beyond itself, cut where it is too long.

    Control characters and marks that turn the direction of writing become �.

    Example:
        >>> plain("a" * 4, 3), plain("x\u202ey")
        ('aaa… (4 characters)', 'x�y')
    """
    whole = str(text)
    shown = UNSEEN.sub("\ufffd", whole[:longest])
    return shown if len(whole) <= longest else f"{shown}… ({len(whole):,} characters)"


def as_script_json(content: Any) -> Markup:
    """Return JSON that may stand in a script element: nothing in it can end that."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, escape)
    return Markup(escaped(text))


def _board(
    board: Board, group: Group, measured: list[Measured], share: int, room: Room
) -> dict[str, Any]:
    """Return what the page draws of a board."""
    shown = board.model_dump(mode="json", exclude={"sentences"})
    for row, run, one in zip(shown["rows"], group.runs, measured, strict=True):
        base = baseline_of(run, group.runs)
        comparable = base is not None and same_weights(run, base)
        row["baseline"] = group.runs.index(base) if base and comparable else None
        row["prior_row"] = _row_of(row["prior"], group)
        row["parity"] = {n: _rounded(_sparse(p)) for n, p in one.parity.items()}
        row["breakdown"] = _rounded(_breakdown(run.records))
        row["traces"] = _rounded(prior_losses(run))
    shown["cells"] = make_cells(measured, board.splits, share)
    shown["worst"] = _rounded(find_worst(group.runs, measured, room))
    shown["shifts"] = _rounded(_shifts(group, board))
    return shown


def _has_ours(report: Report) -> bool:
    return any(row.ours for row in report.beside_paper)


def _row_of(prior: str, group: Group) -> int | None:
    """Return the row of a prior's own run; None where it has none on the board."""
    for place, run in enumerate(group.runs):
        if run.model == prior and run.mode == "baseline":
            return place
    return None


def _shifts(group: Group, board: Board) -> dict[str, Any]:
    """Return histograms once per model, curves and rankings once per run."""
    models: dict[str, Any] = {}
    runs: list[dict[str, Any] | None] = []
    missing: list[str] = []
    for run, row in zip(group.runs, board.rows, strict=True):
        found = read_diagnosis(run)
        if isinstance(found, str):
            missing.append(found)
            runs.append(None)
            continue
        if row.label not in models:
            models[row.label] = histograms(found)
        runs.append(warnings_of(found))
    return {"models": models, "runs": runs, "missing": missing}


def _breakdown(records: Sequence[Any]) -> dict[str, Any]:
    """Return the errors by element and by |F|: split -> kind -> part -> numbers."""
    found: dict[str, Any] = {}
    for record in records:
        kinds: dict[str, Any] = {"element": {}, "norm": {}}
        for name, metric in record.metrics.items():
            start, _, part = name.partition("[")
            kind = start.removeprefix("forces_mae_by_")
            if kind in kinds and part:
                ends = [metric.value, metric.low, metric.high, metric.n]
                kinds[kind][part.rstrip("]")] = ends
        found[record.split] = kinds
    return found


def _sparse(parity: Any) -> dict[str, Any]:
    """Return a parity plot as its reach and the bins that hold anything."""
    flat = parity.counts.ravel()
    there = np.flatnonzero(flat)
    pairs = np.stack([there, flat[there]], axis=1).ravel()
    return {"reach": float(parity.edges[-1]), "bins": pairs.tolist()}


def _account(group: Group) -> dict[str, Any]:
    """Return everything that stands behind a board's numbers."""
    refused = [
        run.path
        for run in group.runs
        if (base := baseline_of(run, group.runs)) and not same_fit(run, base)
    ]
    counts = accounting.counts([r for run in group.runs for r in run.records])
    return {
        "counts": counts,
        "incomplete": [row for row in counts if row["skipped"] or row["failed"]],
        "energies": accounting.numbers(group.runs, refused, energy_headlines()),
        "forces": accounting.numbers(group.runs, (), force_headlines()[1:]),
        "levels": accounting.levels(group.runs),
        "saw": accounting.what_modes_saw(group.runs),
        "commands": accounting.commands(group.runs),
        "provenance": [
            (f"{run.model} {run.mode}", run.path, accounting.provenance(run))
            for run in group.runs
        ],
    }


def _plotly() -> str:
    """Return plotly.js as the package plotly ships it."""
    found = files("plotly").joinpath("package_data", "plotly.min.js")
    return found.read_text(encoding="utf-8").replace("</script", "<\\/script")


def read_asset(package: str, name: str) -> str:
    """Return a file of the folder ``page`` of one of our packages."""
    found = files(f"mlffbench.{package}").joinpath("page", name)
    return found.read_text(encoding="utf-8")


def _rounded(content: Any) -> Any:
    """Return content with floats of six digits; what is not finite becomes None."""
    if isinstance(content, float):
        return float(f"{content:.{_DIGITS}g}") if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_rounded(value) for value in content]
    return content
