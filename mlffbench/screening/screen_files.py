"""The files of a screen: a table as CSV and parquet, annotated structures, the page."""

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from mlffbench import __version__
from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.files import make_folder, sha256_of, write_atomic
from mlffbench.core.guards.plain import csv_cell
from mlffbench.core.guards.sizes import read_text
from mlffbench.run.folder import write_table
from mlffbench.screening.screen_page import render_screen
from mlffbench.screening.screening_job import Screening, ScreenRequest

FACTS = "screen.json"
"""What made the numbers, and what was asked for."""


def make_way(request: ScreenRequest, folder: Path, *, overwrite: bool) -> None:
    """Check that a folder holds no screen of other things.

    Args:
        request: What is to be screened.
        folder: Where the screen goes.
        overwrite: Let it be replaced.

    Raises:
        StoreError: It holds another screen, or one that cannot be read.
        DataError: What is to be screened cannot be read.
    """
    path = folder / FACTS
    if overwrite or not path.exists():
        return
    try:
        stored = json.loads(read_text(path))["asked"]
        asked = asked_of(request)
        other = sorted(name for name in asked if stored[name] != asked[name])
    except (KeyError, TypeError, ValueError, DataError):
        other = ["of an older mlffbench, or damaged"]
    if other:
        msg = (
            f"{folder} holds another screen ({', '.join(other)}); choose another --out, "
        )
        raise StoreError(msg + "or replace it with --overwrite")


def asked_of(request: ScreenRequest) -> dict[str, Any]:
    """Return what tells one screen from another.

    Raises:
        DataError: A file of it cannot be read.
    """
    path = request.path
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    digests = "".join(sha256_of(file) for file in files)
    return {
        "structures": sha256(digests.encode()).hexdigest(),
        "models": list(request.models),
        "suite": request.suite,
        "prior": request.prior,
        "dtype": request.dtype,
        "seed": request.seed,
        "conformers": request.conformers,
        "scans": request.scans,
        "mlffbench": __version__,
    }


def write_screen(found: Screening, request: ScreenRequest, folder: Path) -> list[Path]:
    """Write everything into a folder and return the files.

    Raises:
        StoreError: The folder cannot be written.
    """
    make_folder(folder)
    names = ("screen.csv", "screen.parquet", FACTS, "screen.html")
    paths = [folder / name for name in names]
    cells = found.table.map(csv_cell).rename(columns=csv_cell)
    write_atomic(paths[0], cells.to_csv(index=False).encode())
    write_table(paths[1], found.table)
    write_atomic(paths[2], json.dumps(_facts(found, request), indent=1).encode() + b"\n")
    write_atomic(paths[3], render_screen(found).encode())
    return [*paths, found.predicted().write(folder, "extxyz", stem="screen")]


def _facts(found: Screening, request: ScreenRequest) -> dict[str, Any]:
    """Return what made the numbers, as JSON can hold it."""
    calibration = asdict(found.calibration) if found.calibration else None
    asked = {"asked": asked_of(request)}
    content = {
        **found.facts,
        **asked,
        "remarks": found.remarks,
        "calibration": calibration,
    }
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
