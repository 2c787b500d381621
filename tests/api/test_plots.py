"""Figures of results: every value and its interval, in both libraries."""

import pandas as pd
import pytest

from mlffbench.api.plots import plot_metric
from mlffbench.core.errors import BenchError


def frame() -> pd.DataFrame:
    """Return two models on two splits; one has no value on the second."""
    rows = [("a", "id", 0.1), ("a", "ood", 0.4), ("b", "id", 0.2), ("b", "ood", None)]
    found = pd.DataFrame(rows, columns=["model", "split", "value"])
    values = found["value"].astype(float)
    return found.assign(
        value=values,
        low=values - 0.05,
        high=values + 0.1,
        mode="baseline",
        suite="s",
        seed=0,
        metric="forces_mae",
        unit="eV/Å",
        n=7,
        n_molecules=3,
    )


def test_plotly_holds_every_value_and_its_interval() -> None:
    figure = plot_metric(frame(), "forces_mae", "plotly")
    assert [one.name for one in figure.data] == ["a baseline", "b baseline"]
    assert list(figure.data[0].y) == [0.1, 0.4]
    assert list(figure.data[0].error_y.array) == pytest.approx([0.1, 0.1])
    assert list(figure.data[0].error_y.arrayminus) == pytest.approx([0.05, 0.05])
    assert list(figure.data[1].y) == [0.2]
    assert figure.layout.yaxis.title.text == "forces_mae (eV/Å)"


def test_matplotlib_draws_the_same() -> None:
    (axes,) = plot_metric(frame(), "forces_mae", "matplotlib").axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[0.1, 0.4], [0.2]]
    assert len(axes.collections[0].get_segments()) == 2
    assert [one.get_text() for one in axes.get_xticklabels()] == ["id", "ood"]


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(
        BenchError, match="no run has a value of 'speed'; expected one of"
    ):
        plot_metric(frame(), "speed", "plotly")
    with pytest.raises(BenchError, match="expected 'matplotlib' or 'plotly'"):
        plot_metric(frame(), "forces_mae", "bokeh")  # type: ignore[arg-type]
