"""Figures: one PNG per diagnostic, histograms beside the error against the shift.

Drawn on canvases of their own: no window, no global state, the same bytes every time.
"""

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlffbench.core.files import make_folder, write_atomic
from mlffbench.diagnostics.diagnosis import Diagnosis, DiagnosticResult

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
"""Okabe & Ito's colours, which colour-blind people can tell apart, without yellow."""
STYLES = ("-", "--", ":")
_GREY = "#BBBBBB"
_DOTS_PER_INCH = 90
_MEV = 1000.0


def draw_all(diagnosis: Diagnosis, folder: Path) -> None:
    """Write a PNG of every diagnostic that has something to see, named as it is.

    Args:
        diagnosis: What is drawn.
        folder: It is made where there is none; figures of the same names are replaced.

    Raises:
        StoreError: The folder cannot be written.
    """
    make_folder(folder)
    for one in diagnosis.diagnostics:
        if len(one.edges) > 2:  # noqa: PLR2004 - in one bin there is nothing to see
            write_atomic(folder / f"{one.name}.png", draw(diagnosis, one))


def draw(diagnosis: Diagnosis, result: DiagnosticResult) -> bytes:
    """Return a PNG of one diagnostic.

    Args:
        diagnosis: Where it stands; its first sample is training.
        result: The diagnostic; it must have values.
    """
    n_panels = 2 if result.curve else 1
    width = 4.6 * n_panels
    figure = Figure(figsize=(width, 3.2))
    # by hand: matplotlib's own layout would draw everything twice
    figure.subplots_adjust(
        left=0.6 / width, right=1 - 0.12 / width, bottom=0.16, top=0.92, wspace=0.22
    )
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(1, n_panels, squeeze=False)[0]
    _histograms(axes[0], diagnosis, result)
    if result.curve:
        _curve(axes[1], diagnosis, result)
    for panel in axes:
        panel.set_xlabel(_axis(result))
        panel.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    canvas.print_figure(
        buffer, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None}
    )
    return buffer.getvalue()


def _histograms(panel: Axes, diagnosis: Diagnosis, result: DiagnosticResult) -> None:
    """Draw the share of each sample in each bin; the outermost bins hold all beyond."""
    edges = np.asarray(result.edges)
    if len(edges) > 3:  # noqa: PLR2004 - two outer bins and one between tell the width
        width = edges[2] - edges[1]
        edges[0], edges[-1] = edges[1] - width, edges[-2] + width
    for place, sample in enumerate(diagnosis.samples):
        found = result.samples[sample.name]
        if not found.summary.n:
            continue
        shares = np.asarray(found.counts) / found.summary.n
        label = f"{sample.name} ({found.summary.n})"
        if place == 0:
            panel.stairs(shares, edges, fill=True, color=_GREY, label=label)
            continue
        colour = COLOURS[(place - 1) % len(COLOURS)]
        style = STYLES[(place - 1) // len(COLOURS) % len(STYLES)]
        panel.stairs(
            shares, edges, color=colour, linestyle=style, linewidth=1.4, label=label
        )
    panel.set_ylabel("share of structures")
    panel.legend(fontsize=7, frameon=False)


def _curve(panel: Axes, diagnosis: Diagnosis, result: DiagnosticResult) -> None:
    """Draw the mean error of structures of like shift, with its interval."""
    middle = np.array([(one.low + one.high) / 2 for one in result.curve])
    errors = _MEV * np.array([one.error.value for one in result.curve])
    ends = [(one.error.low, one.error.high) for one in result.curve]
    known = [place for place, (low, _) in enumerate(ends) if low is not None]
    reach = np.array([ends[place] for place in known], dtype=np.float64).reshape(-1, 2)
    panel.plot(middle, errors, "o-", color=COLOURS[0], markersize=4, linewidth=1.2)
    panel.vlines(
        middle[known], *(_MEV * reach).T, color=COLOURS[0], alpha=0.5, linewidth=1.2
    )
    # an interval from few molecules may be wide enough to hide all the rest
    panel.set_ylim(0, 1.6 * errors.max() if errors.max() > 0 else 1.0)
    panel.set_ylabel("force MAE (meV/Å)")
    panel.set_title(f"{diagnosis.model} {diagnosis.mode}".strip(), fontsize=8)


def _axis(result: DiagnosticResult) -> str:
    return result.label if result.unit == "1" else f"{result.label} ({result.unit})"
