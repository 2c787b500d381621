"""The files of a screen: a table as CSV and parquet, annotated structures, the page."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mlffbench.core.files import make_folder, write_atomic
from mlffbench.core.guards.plain import csv_cell
from mlffbench.run.folder import write_table
from mlffbench.screening.screen_page import render_screen
from mlffbench.screening.screening_job import Screening


def write_screen(found: Screening, folder: Path) -> list[Path]:
    """Write everything into a folder and return the files.

    Raises:
        StoreError: The folder cannot be written.
    """
    make_folder(folder)
    names = ("screen.csv", "screen.parquet", "screen.json", "screen.html")
    paths = [folder / name for name in names]
    cells = found.table.map(csv_cell).rename(columns=csv_cell)
    write_atomic(paths[0], cells.to_csv(index=False).encode())
    write_table(paths[1], found.table)
    write_atomic(paths[2], json.dumps(_facts(found), indent=1).encode() + b"\n")
    write_atomic(paths[3], render_screen(found).encode())
    return [*paths, found.predicted().write(folder, "extxyz", stem="screen")]


def _facts(found: Screening) -> dict[str, Any]:
    """Return what made the numbers, as JSON can hold it."""
    calibration = asdict(found.calibration) if found.calibration else None
    content = {**found.facts, "remarks": found.remarks, "calibration": calibration}
    usual = {"alarms": found.familiar.alarms, "error": found.familiar.error}
    whole: dict[str, Any] = _plain({**content, "usual": usual})
    return whole


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
