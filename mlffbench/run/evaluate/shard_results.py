"""Shard results: what came of a shard as its file keeps it, and of a region."""

import json
from collections.abc import Sequence
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
        json.dumps(dict(entry), sort_keys=True)
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
        table: A row per structure; what its refinement tells apart.
        facts: Per structure, what its refinement tells.
        parts: What came of its shards.
        shards: Its shards.
    """

    table: pd.DataFrame
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
        table = _blank_table(split, rows, skipped)
        energy, status, reason = (
            table[name].to_numpy(copy=True) for name in ("energy", "status", "reason")
        )
        facts: list[Facts] = [{} for _ in rows]
        for shard, part in zip(shards, parts, strict=True):
            at = shard.positions
            energy[at] = part["energy"]
            reason[at] = part["reason"].tolist()
            status[at] = np.where(part["reason"] == "", "ok", "failed")
            for position, text in zip(at.tolist(), part["facts"].tolist(), strict=True):
                if text != "{}":
                    facts[position] = json.loads(text)
        table["energy"], table["status"], table["reason"] = energy, status, reason
        return cls(table, facts, parts, shards)

    @property
    def whole_table(self) -> pd.DataFrame:
        """The table with what refinements tell."""
        facts = pd.DataFrame(list(self.facts), index=self.table.index)
        return pd.concat([self.table, facts], axis=1)

    @property
    def is_computed(self) -> bool:
        """Whether no structure was skipped."""
        return sum(len(shard.rows) for shard in self.shards) == len(self.table)

    def forces(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the forces, atoms laid end to end; NaN where nothing was computed."""
        sizes = self.table["n_atoms"].to_numpy()
        starts = np.cumsum(sizes) - sizes
        found = np.full((int(sizes.sum()), 3), np.nan, dtype=dtype)
        for shard, part in zip(self.shards, self.parts, strict=True):
            own = sizes[shard.positions]
            within = np.arange(int(own.sum())) - np.repeat(np.cumsum(own) - own, own)
            found[np.repeat(starts[shard.positions], own) + within] = part["forces"]
        return found


def _blank_table(split: Split, rows: Rows, skipped: Sequence[str | None]) -> pd.DataFrame:
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
