"""Small real runs of the suite of three files, and a refined mode made from one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlffbench.run.checksums import forget
from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.folder import RunFolder, read_arrays, write_arrays
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve


def run_small(suite: Path, springs: str, out: Path) -> list[RunFolder]:
    """Run zero and springs; springs gets two modes that change its errors."""
    request = Request(suite=str(suite), models=("zero", springs), out=out)
    folders = run_campaign(resolve(request)).folders
    base = folders[-1]
    folders += [refined(base, "rr", 0.9), refined(base, "ttt", 0.4, unit="group")]
    for folder in folders:
        score(folder)
    return folders


def score(folder: RunFolder) -> None:
    records, shifts = score_run(folder)
    folder.write_records(records)
    folder.write_alignment(shifts)


def refined(
    base: RunFolder, mode: str, share: float, *, unit: str = "structure"
) -> RunFolder:
    """Return a copy of a run under another mode, its errors times ``share``."""
    path = base.path.parent / mode
    shutil.copytree(base.path, path)
    made = RunFolder(path)
    forget(path)  # what is made here is no damage
    change(made, mode={"name": mode, "unit": unit, "sees": "test geometries: yes"})
    forces = read_arrays(path / "forces.npz")["forces"]
    reference = read_arrays(path / "reference.npz")["forces"]
    noise = np.random.default_rng(len(mode)).normal(scale=0.01, size=forces.shape)
    moved = reference + share * (forces - reference) + noise
    write_arrays(path / "forces.npz", {"forces": moved.astype(forces.dtype)})
    return made


def change(folder: RunFolder, **parts: Any) -> None:
    """Change parts of a run's ``run.json``; dictionaries are merged."""
    path = folder.path / "run.json"
    forget(folder.path)
    manifest = json.loads(path.read_text())
    for name, value in parts.items():
        both = isinstance(value, dict) and isinstance(manifest.get(name), dict)
        manifest[name] = {**manifest[name], **value} if both else value
    path.write_text(json.dumps(manifest, ensure_ascii=False))


def edit_records(
    folder: RunFolder, edit: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Pass every stored record through a function."""
    path = folder.path / "records.jsonl"
    forget(folder.path)
    lines = [edit(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
