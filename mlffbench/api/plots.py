"""Plots: one metric of finished runs, split by split, with its intervals."""

from typing import Any, Literal, get_args

import pandas as pd

from mlffbench.core.errors import BenchError

Backend = Literal["matplotlib", "plotly"]

_APART = 0.12
"""Between the models of one split, in splits."""


def plot_metric(metrics: pd.DataFrame, metric: str, backend: Backend) -> Any:
    """Return a figure of one metric: a point and its interval per run and split.

    Args:
        metrics: As `Results.metrics` holds them.
        metric: One of them.
        backend: ``"matplotlib"`` or ``"plotly"``.

    Raises:
        BenchError: The metric has no value in these runs, or the backend is none.
    """
    if backend not in get_args(Backend):
        msg = f"backend={backend!r}: expected 'matplotlib' or 'plotly'"
        raise BenchError(msg)
    chosen = metrics[metrics["metric"] == metric].dropna(subset="value")
    if chosen.empty:
        known = ", ".join(metrics.dropna(subset="value")["metric"].unique())
        msg = f"no run has a value of {metric!r}; expected one of: {known or 'none yet'}"
        raise BenchError(msg)
    splits = list(chosen["split"].unique())
    unit = str(chosen["unit"].iloc[0])
    label = metric if unit == "1" else f"{metric} ({unit})"
    told = [name for name in ("suite", "seed") if chosen[name].nunique() > 1]
    keys = ["model", "mode", *told]
    series = {
        " ".join(map(str, name)): rows for name, rows in chosen.groupby(keys, sort=False)
    }
    draw = _matplotlib if backend == "matplotlib" else _plotly
    return draw(series, splits, label)


def _matplotlib(series: dict[str, pd.DataFrame], splits: list[str], label: str) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(5.0, 0.9 * len(splits)), 3.6), layout="constrained")
    axes = figure.subplots()
    for place, (name, rows) in enumerate(series.items()):
        shift = _APART * (place - (len(series) - 1) / 2)
        at = [splits.index(split) + shift for split in rows["split"]]
        (points,) = axes.plot(at, rows["value"], "o", ms=4, label=name)
        axes.vlines(at, rows["low"], rows["high"], color=points.get_color())
    axes.set_xticks(range(len(splits)), splits, rotation=30, ha="right")
    axes.set_ylabel(label)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _plotly(series: dict[str, pd.DataFrame], splits: list[str], label: str) -> Any:
    from plotly import graph_objects

    figure = graph_objects.Figure()
    for place, (name, rows) in enumerate(series.items()):
        shift = _APART * (place - (len(series) - 1) / 2)
        figure.add_scatter(
            x=[splits.index(split) + shift for split in rows["split"]],
            y=rows["value"],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": rows["high"] - rows["value"],
                "arrayminus": rows["value"] - rows["low"],
            },
            customdata=rows[["split", "n", "n_molecules"]],
            hovertemplate="%{customdata[0]}: %{y:.3g}<br>%{customdata[1]} structures of "
            "%{customdata[2]} molecules",
            mode="markers",
            name=name,
        )
    figure.update_xaxes(tickvals=list(range(len(splits))), ticktext=splits)
    figure.update_yaxes(title=label)
    return figure
