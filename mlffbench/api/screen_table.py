"""Screen table: a pandas frame that a notebook shows as verdicts and reasons."""

from html import escape
from typing import Any

import pandas as pd

from mlffbench.core.guards.plain import plain
from mlffbench.screening.screen_page import in_milli, interval_of, order_of, tally_of

MOST_SHOWN = 40
"""Structures, the most alarming first."""
_LONGEST = 200
_COLOURS = {
    "as in training": "#2a7a3f",
    "caution": "#9a6700",
    "do not trust": "#b02018",
}
_HEADINGS = ("structure", "verdict", "error meV/Å", "90 % interval", "why", "refine")


class ScreenTable(pd.DataFrame):
    """What `screen_file` returns; whatever is made of it is a plain frame."""

    @property
    def _constructor(self) -> Any:
        return pd.DataFrame

    def _repr_html_(self) -> str:
        order = order_of(self)
        rows = [_row(self.iloc[place]) for place in order[:MOST_SHOWN]]
        head = "".join(f"<th>{escape(one)}</th>" for one in _HEADINGS)
        left = len(order) - len(rows)
        more = f"; {left} more are not shown" if left > 0 else ""
        caption = f"<caption>{_text(tally_of(self) + more)}</caption>"
        whole = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
        remarks = "".join(f"<li>{_text(one)}</li>" for one in self.attrs["remarks"])
        return f"<table>{caption}{whole}</table><ul>{remarks}</ul>"


def _row(row: Any) -> str:
    verdict = str(row["verdict"])
    colour = _COLOURS.get(verdict, "inherit")
    error = in_milli(row.get("expected_error", float("nan")))
    cells = [
        _text(row["id"]),
        f'<b style="color:{colour}">{_text(verdict)}</b>',
        *map(_text, (error, interval_of(row), row["why"])),
        _text(str(row["refine"]).partition(":")[0]),
    ]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _text(value: object) -> str:
    """Return text that cannot reach beyond its cell."""
    return escape(plain(value)[:_LONGEST])
