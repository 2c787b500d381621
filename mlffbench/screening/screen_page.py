"""The page of a screen: one HTML file in the report's style that needs nothing else."""

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from mlffbench import __version__
from mlffbench.core.card import SYMBOLS
from mlffbench.report.page import read_asset, template_of
from mlffbench.screening.judgement import Verdict, times_usual
from mlffbench.screening.molecule_svg import draw_atoms
from mlffbench.screening.screening_job import EXCHANGEABLE, Screening

MOST_DRAWN, MOST_ROWS = 60, 2_000
"""Structures that are drawn, and listed, the most alarming first."""
_SIZE, _MARGIN = (460, 320), 46


def render_screen(found: Screening) -> str:
    """Return the page of a screen."""
    template = template_of(read_asset("screening", "screen.html.j2"))
    order = order_of(found.table)
    return template.render(
        facts=found.facts,
        version=__version__,
        remarks=found.remarks,
        counts=[(str(v), int((found.table["verdict"] == v).sum())) for v in Verdict],
        usual=in_milli(found.facts["usual_error"]),
        rows=[_row(found.table.iloc[place]) for place in order[:MOST_ROWS]],
        n_left=max(0, len(order) - MOST_ROWS),
        cards=[_card(found, place) for place in order[:MOST_DRAWN]],
        has_errors=found.calibration is not None,
        exchangeable=EXCHANGEABLE,
        figure=_calibration_figure(found),
        style=Markup(read_asset("report", "report.css")),
        own_style=Markup(read_asset("screening", "screen.css")),
    )


def order_of(table: pd.DataFrame) -> list[int]:
    """Return the rows, the most alarming first."""
    steps = {str(one): place for place, one in enumerate(Verdict)}
    step = table["verdict"].map(steps)
    size = table.get("expected_error", table["rank"]).fillna(np.inf)
    order = np.lexsort((-size.to_numpy(), -step.to_numpy()))
    return [int(place) for place in order]


def tally_of(table: pd.DataFrame) -> str:
    """Return how many structures got each verdict, the most frequent first."""
    counts = table["verdict"].value_counts()
    return ", ".join(f"{n} {word}" for word, n in counts.items())


def in_milli(value: float) -> str:
    """Return an error in meV/Å as it is printed."""
    return "–" if not np.isfinite(value) else f"{1000 * value:.0f}"


def interval_of(row: Any) -> str:
    """Return the ends of an interval in meV/Å as they are printed; empty without."""
    low, high = row.get("error_low", np.nan), row.get("error_high", np.nan)
    return f"{in_milli(low)}–{in_milli(high)}" if np.isfinite(low) else ""


def _row(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "n_atoms": int(row["n_atoms"]),
        "verdict": row["verdict"],
        "expected": in_milli(row.get("expected_error", np.nan)),
        "interval": interval_of(row),
        "why": row["why"],
        "refine": row["refine"],
        "rank": f"{row['rank']:.1f}" if np.isfinite(row["rank"]) else "–",
    }


def _card(found: Screening, place: int) -> dict[str, Any]:
    """Return a structure with its picture."""
    structures = found.mine.sample.structures
    here = structures.system.numpy() == place
    numbers = structures.numbers.numpy()[here]
    gap = found.mine.atom_gap[here]
    scores = times_usual(found.mine, found.familiar, place)
    by_prior = not np.isfinite(scores).any()
    if by_prior:  # the model has no features: its forces are compared with the prior's
        scores = gap / (3 * found.familiar.alarms.get("prior_gap", np.nan))
    about = [
        _about_atom(atom, z, scores[atom], gap[atom], by_prior=by_prior)
        for atom, z in enumerate(numbers.tolist())
    ]
    positions = structures.positions.numpy()[here]
    picture = draw_atoms(numbers, positions, scores, about)
    by_prior = by_prior and bool(np.isfinite(scores).any())
    return {
        **_row(found.table.iloc[place]),
        "picture": picture,
        "coloured_by": "the gap to the prior's forces" if by_prior else "",
    }


def _about_atom(atom: int, z: int, score: float, gap: float, *, by_prior: bool) -> str:
    """Return what is told of an atom where it is pointed at."""
    who = f"atom {atom}, {SYMBOLS[z]}: "
    told = f"{in_milli(gap)} meV/Å from the prior"
    if not np.isfinite(score):
        return who + (told if np.isfinite(gap) else "nothing could be measured")
    if by_prior:
        return f"{who}{told}, {score:.1f} times what is usual"
    return f"{who}{score:.1f} times the usual distance from training, {told}"


def _calibration_figure(found: Screening) -> Markup:
    """Return true against expected error of the calibration structures."""
    known = found.known
    if found.calibration is None or known.empty:
        return Markup()
    known = known[np.isfinite(known["expected"]) & np.isfinite(known["error"])]
    x, y = np.log10(known["expected"]), np.log10(known["error"].clip(lower=1e-4))
    mine = found.table["expected_error"].dropna()
    everything = np.concatenate([x, y, np.log10(mine)])
    low = float(np.floor(everything.min() * 2) / 2)
    high = float(np.ceil(everything.max() * 2) / 2)
    width, height = _SIZE

    def across(value: float) -> float:
        return _MARGIN + (value - low) / (high - low) * (width - _MARGIN - 10)

    def up(value: float) -> float:
        return height - _MARGIN - (value - low) / (high - low) * (height - _MARGIN - 10)

    ends = np.log10(np.exp([found.calibration.below, found.calibration.above]))
    corners = [(low, low + ends[0]), (high, high + ends[0])]
    corners += [(high, high + ends[1]), (low, low + ends[1])]
    band = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in corners)
    room = width - _MARGIN - 10, height - _MARGIN - 10
    parts = [
        f'<clipPath id="frame"><rect x="{_MARGIN}" y="10" width="{room[0]}" '
        f'height="{room[1]}"/></clipPath>',
        f'<polygon class="band" clip-path="url(#frame)" points="{band}"/>',
    ]
    for exponent in np.arange(np.ceil(low), high + 0.01):
        told = f"{1000 * 10**exponent:.0f}"
        a, b = across(exponent), up(exponent)
        parts.append(
            f'<line class="grid" x1="{a:.1f}" y1="10" x2="{a:.1f}" '
            f'y2="{height - _MARGIN}"/><text x="{a:.1f}" y="{height - _MARGIN + 16}">'
            f'{told}</text><line class="grid" x1="{_MARGIN}" y1="{b:.1f}" '
            f'x2="{width - 10}" y2="{b:.1f}"/><text class="end" x="{_MARGIN - 6}" '
            f'y="{b + 4:.1f}">{told}</text>'
        )
    parts += [
        f'<circle class="known" cx="{across(a):.1f}" cy="{up(b):.1f}" r="2.4"/>'
        for a, b in zip(x, y, strict=True)
    ]
    parts += [
        f'<line class="mine" x1="{across(a):.1f}" x2="{across(a):.1f}" '
        f'y1="{height - _MARGIN}" y2="{height - _MARGIN - 9}"/>'
        for a in np.log10(mine)
    ]
    middle = (width + _MARGIN) / 2
    parts.append(
        f'<text x="{middle:.0f}" y="{height - 8}">expected error (meV/Å)</text>'
        f'<text transform="translate(12 {height / 2:.0f}) rotate(-90)">error (meV/Å)'
        "</text>"
    )
    return Markup(
        f'<svg viewBox="0 0 {width + 16} {height}" role="img" aria-label="Errors of the '
        f'calibration structures against what was expected">{"".join(parts)}</svg>'
    )
