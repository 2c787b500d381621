"""Assemble: stored batches -> one table and one array of forces, in the splits' order."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.run.plan import Batch
from mlffbench.run.provenance import peak_memory_mb
from mlffbench.run.store import Arrays


def assemble(
    splits: Sequence[Split],
    rows: list[np.ndarray],
    skipped: list[list[str | None]],
    batches: list[Batch],
    parts: list[Arrays],
) -> tuple[pd.DataFrame, np.ndarray, dict[str, Any]]:
    """Return the table, the forces and the costs, in the order of the splits.

    Args:
        splits: Splits of the job.
        rows: Chosen rows of each.
        skipped: Per split and row, why it was skipped, or None.
        batches: What was computed.
        parts: What came of each batch, as the store keeps it.
    """
    tables: list[pd.DataFrame] = []
    forces: list[np.ndarray] = []
    wall_s: dict[str, float] = {}
    steps: dict[str, int] = {}
    traces: dict[str, list[Any]] = {}
    for number, split in enumerate(splits):
        place = {int(row): position for position, row in enumerate(rows[number])}
        table = _blank_table(split, rows[number], skipped[number])
        pieces = [np.full((n, 3), np.nan, dtype=np.float32) for n in table["n_atoms"]]
        key = f"{split.name}/{split.role}"
        facts: list[dict[str, Any]] = [{} for _ in place]
        for batch, part in zip(batches, parts, strict=True):
            if batch.split != number:
                continue
            at = np.asarray([place[int(row)] for row in batch.rows])
            table.loc[at, "energy"] = part["energy"]
            table.loc[at, "reason"] = part["reason"].tolist()
            table.loc[at, "status"] = np.where(part["reason"] == "", "ok", "failed")
            ends = np.cumsum(table["n_atoms"].to_numpy()[at])[:-1]
            for position, piece in zip(at, np.split(part["forces"], ends), strict=True):
                pieces[position] = piece
            for position, text in zip(at, part["facts"], strict=True):
                facts[position] = json.loads(str(text))
            wall_s[key] = wall_s.get(key, 0.0) + float(part["wall_s"])
            steps[key] = steps.get(key, 0) + int(part["gradient_steps"])
            traces.setdefault(key, []).append(json.loads(str(part["trace"])))
        tables.append(pd.concat([table, pd.DataFrame(facts, index=table.index)], axis=1))
        forces += pieces
    costs = {
        "wall_s": wall_s,
        "gradient_steps": steps,
        "peak_memory_mb": peak_memory_mb(),
    }
    costs["traces"] = {key: value for key, value in traces.items() if any(value)}
    dtype = np.result_type(*forces) if forces else np.float64
    stacked = np.concatenate([np.zeros((0, 3), dtype), *forces]).astype(dtype)
    return pd.concat(tables, ignore_index=True), stacked, costs


def _blank_table(
    split: Split, rows: np.ndarray, skipped: list[str | None]
) -> pd.DataFrame:
    index = split.source.index
    records = index.record[rows]
    return pd.DataFrame(
        {
            "id": index.ids(rows),
            "molecule": [index.groups[record] for record in records],
            "split": split.name,
            "role": split.role,
            "shift": split.shift.kind if split.shift else "",
            "n_atoms": index.n_atoms[records],
            "charge": index.charge[records],
            "energy": np.full(len(rows), np.nan),
            "status": ["skipped" if why else "failed" for why in skipped],
            "reason": [why or "not computed" for why in skipped],
        }
    )


def inputs(
    splits: Sequence[Split], rows: list[np.ndarray], geometries: Sequence[Structures]
) -> dict[str, Arrays]:
    """Return geometries and reference labels: what scoring needs beside predictions."""
    structures = Structures.concatenate(geometries)
    labels = [
        split.source.labels(these) for split, these in zip(splits, rows, strict=True)
    ]
    return {
        "structures": {
            "positions": structures.positions.numpy(),
            "numbers": structures.numbers.numpy(),
            "cell": structures.cell.numpy(),
            "pbc": structures.pbc.numpy(),
            "multiplicity": structures.multiplicity.numpy(),
            "smiles": np.asarray(structures.smiles, dtype=np.str_),
        },
        "reference": {
            "energy": torch.cat([label.energy for label in labels]).numpy(),
            "forces": torch.cat([label.forces for label in labels]).numpy(),
        },
    }
