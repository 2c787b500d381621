"""Shard results: what came of a shard as its file keeps it, and of a region."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mlffbench.core.split import Rows, Split
from mlffbench.core.structures import Structures
from mlffbench.run.evaluate.predict import Prediction
from mlffbench.run.folder import Arrays, RunFolder
from mlffbench.run.shards.shard_plan import Shard

Facts = dict[str, Any]


def pack(
    shard: Shard, found: Sequence[Prediction], structures: Sequence[Structures]
) -> Arrays:
    """Return what came of the batches of a shard as its file keeps it.

    Args:
        shard: The shard.
        found: What was predicted of each batch.
        structures: The structures of each.
    """
    reasons = [
        one.failures.get(i, "")
        for one, batch in zip(found, structures, strict=True)
        for i in range(batch.n_systems)
    ]
    facts = [
        json.dumps(dict(entry), sort_keys=True) if entry else "{}"
        for one, batch in zip(found, structures, strict=True)
        for entry in (one.facts or [{}] * batch.n_systems)
    ]
    traces = [json.dumps({k: list(v) for k, v in one.trace.items()}) for one in found]
    return {
        "shard": np.asarray(shard.sha256),
        "energy": torch.cat([one.energy for one in found]).numpy(),
        "forces": np.concatenate([one.forces.numpy() for one in found]),
        "reason": np.asarray(reasons, dtype=np.str_),
        "facts": np.asarray(facts, dtype=np.str_),
        "trace": np.asarray(traces, dtype=np.str_),
        "gradient_steps": np.asarray([one.gradient_steps for one in found]),
        "wall_s": np.asarray([one.wall_s for one in found]),
    }


def all_failed(shard: Shard, reason: str) -> Arrays:
    """Return the same of a shard that nothing came of."""
    n = len(shard.rows)
    return {
        "shard": np.asarray(shard.sha256),
        "energy": np.full(n, np.nan),
        "forces": np.full((shard.n_atoms, 3), np.nan, dtype=np.float32),
        "reason": np.asarray([reason] * n, dtype=np.str_),
        "facts": np.asarray(["{}"] * n, dtype=np.str_),
        "trace": np.asarray(["{}"] * len(shard.batches), dtype=np.str_),
        "gradient_steps": np.zeros(len(shard.batches), dtype=np.int64),
        "wall_s": np.zeros(len(shard.batches)),
    }


def read_shard(folder: RunFolder, shard: Shard) -> Arrays | None:
    """Return what came of a shard; None where its file is missing, broken or other."""
    arrays = folder.read_any_part(shard.number)
    if arrays is None or "shard" not in arrays:
        return None
    return arrays if str(arrays["shard"]) == shard.sha256 else None


@dataclass(frozen=True, slots=True, eq=False)
class RegionResults:
    """What came of a region, in the order of its structures.

    Attributes:
        columns: What is told of every structure, by name; what its refinement tells
            apart.
        facts: Per structure, what its refinement tells.
        parts: What came of its shards.
        shards: Its shards.
    """

    columns: Mapping[str, Any]
    facts: Sequence[Facts]
    parts: Sequence[Arrays]
    shards: Sequence[Shard]

    @classmethod
    def of(
        cls,
        split: Split,
        rows: Rows,
        skipped: Sequence[str | None],
        shards: Sequence[Shard],
        parts: Sequence[Arrays],
    ) -> "RegionResults":
        """Return what came of a region.

        Args:
            split: Its split.
            rows: Its rows.
            skipped: Per row, why it was skipped, or None.
            shards: Its shards.
            parts: What came of each.
        """
        columns = _blank_columns(split, rows, skipped)
        facts: list[Facts] = [{} for _ in rows]
        for shard, part in zip(shards, parts, strict=True):
            at = shard.positions
            columns["energy"][at] = part["energy"]
            columns["reason"][at] = part["reason"].tolist()
            columns["status"][at] = np.where(part["reason"] == "", "ok", "failed")
            for position, text in zip(at.tolist(), part["facts"].tolist(), strict=True):
                if text != "{}":
                    facts[position] = json.loads(text)
        return cls(columns, facts, parts, shards)

    @property
    def n_structures(self) -> int:
        """How many there are."""
        return len(self.facts)

    @property
    def is_ok(self) -> NDArray[np.bool_]:
        """Shape (n_structures,), bool: what was computed."""
        return np.asarray(self.columns["status"] == "ok", dtype=np.bool_)

    @property
    def all_columns(self) -> dict[str, Any]:
        """The columns, and those of what refinements tell."""
        if not any(self.facts):
            return dict(self.columns)
        return {**self.columns, **dict(pd.DataFrame(list(self.facts)))}

    def row(self, place: int) -> dict[str, Any]:
        """Return what is told of a structure; what its refinement tells apart."""
        return {name: values[place] for name, values in self.columns.items()}

    @property
    def is_computed(self) -> bool:
        """Whether no structure was skipped."""
        return sum(len(shard.rows) for shard in self.shards) == self.n_structures

    def forces(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the forces, atoms laid end to end; NaN where nothing was computed."""
        sizes = self.columns["n_atoms"]
        starts = np.cumsum(sizes) - sizes
        found = np.full((int(sizes.sum()), 3), np.nan, dtype=dtype)
        for shard, part in zip(self.shards, self.parts, strict=True):
            own = sizes[shard.positions]
            within = np.arange(int(own.sum())) - np.repeat(np.cumsum(own) - own, own)
            found[np.repeat(starts[shard.positions], own) + within] = part["forces"]
        return found


def _blank_columns(
    split: Split, rows: Rows, skipped: Sequence[str | None]
) -> dict[str, Any]:
    """Return what is told of the structures of which nothing was computed."""
    index = split.source.index
    records, n = index.record[rows], len(rows)
    return {
        "id": index.ids(rows),
        "molecule": [index.groups[record] for record in records.tolist()],
        "split": [split.name] * n,
        "role": [split.role] * n,
        "shift": [split.shift.kind if split.shift else ""] * n,
        "n_atoms": index.n_atoms[records],
        "charge": index.charge[records],
        "energy": np.full(n, np.nan),
        "status": np.array(["skipped" if why else "failed" for why in skipped], object),
        "reason": np.array([why or "not computed" for why in skipped], object),
    }
