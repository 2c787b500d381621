"""Merge: the files of shards -> the whole files of a run, a region at a time.

Two passes over the results: the first finds what must be known before a whole file can be
begun, the second writes. Never more than one region is held.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlffbench.core.errors import StoreError
from mlffbench.core.split import Split
from mlffbench.run.evaluate.evaluation_job import Skips
from mlffbench.run.evaluate.run_checks import RunChecks
from mlffbench.run.evaluate.shard_results import Facts, RegionResults, read_shard
from mlffbench.run.folder import Arrays, RunFolder
from mlffbench.run.provenance import peak_memory_mb
from mlffbench.run.shards.npz_stream import npz_stream
from mlffbench.run.shards.region_reader import ALL_CHECKED, RegionReader
from mlffbench.run.shards.shard_plan import REGION_ATOMS, Shard, ShardPlan
from mlffbench.run.shards.table_stream import table_stream

_STRUCTURES = {
    "positions": np.float64,
    "numbers": np.int64,
    "cell": np.float64,
    "pbc": np.bool_,
    "multiplicity": np.int64,
    "smiles": str,
}
_WHOLE = ("predictions.parquet", "forces.npz", "reference.npz", "structures.npz")
_REFERENCE = {"energy": np.float64, "forces": np.float64}


@dataclass(frozen=True, eq=False, kw_only=True)
class Pieces:
    """A run whose shards are computed.

    Attributes:
        folder: Where they lie.
        plan: Its plan.
        reader: Its geometries.
        skipped: Per split, why its chosen rows were skipped.
    """

    folder: RunFolder
    plan: ShardPlan
    reader: RegionReader
    skipped: Sequence[Skips]
    _parts: dict[int, Arrays] = field(default_factory=dict)
    """Of a small run, what is known to be whole without a look at the disk."""
    _regions: dict[int, RegionResults] = field(default_factory=dict)

    @property
    def splits(self) -> Sequence[Split]:
        """The splits of the run."""
        return self.reader.splits

    @property
    def kept(self) -> dict[int, Arrays] | None:
        """What takes the results of this process, of a small run; else None."""
        return self._parts if self._is_small else None

    def broken(self) -> list[int]:
        """Return the shards whose files are missing, broken or of something else."""
        broken = []
        for shard in self.plan.shards:
            if shard.number in self._parts:
                continue
            found = read_shard(self.folder, shard)
            if found is None:
                broken.append(shard.number)
            elif self._is_small:
                self._parts[shard.number] = found
        return broken

    def results(self) -> Iterator[RegionResults]:
        """Yield what came of each region; a small run is read once and kept."""
        pairs = zip(self.plan.regions, self.plan.by_region(), strict=True)
        for number, (region, own) in enumerate(pairs):
            found = self._regions.get(number)
            if found is None:
                found = RegionResults.of(
                    self.splits[region.split],
                    self.reader.rows_of(number),
                    self.skipped[region.split].why(slice(region.start, region.stop)),
                    own,
                    [self._part(shard) for shard in own],
                )
            if self._is_small:
                self._regions[number] = found
            yield found

    @cached_property
    def _is_small(self) -> bool:
        """Whether all of it is no more than a region may be, what is skipped too."""
        n_rows = sum(region.stop - region.start for region in self.plan.regions)
        n_atoms = sum(shard.n_atoms for shard in self.plan.shards)
        return n_rows <= ALL_CHECKED and n_atoms <= REGION_ATOMS

    def _part(self, shard: Shard) -> Arrays:
        """Return what came of a shard.

        Raises:
            StoreError: Its file broke since it was looked at.
        """
        found = self._parts.pop(shard.number, None) or read_shard(self.folder, shard)
        if found is None:
            msg = (
                f"{self.folder.part(shard.number)} broke while it was merged; check the "
            )
            raise StoreError(msg + "disk, then repeat the command to continue")
        return found


@dataclass(slots=True, eq=False)
class Survey:
    """What must be known of all results before the first is written.

    Attributes:
        computed: Per structure, in the order of the results: whether it is ``ok``.
        forces: Floating-point types that forces come in.
        wall_s: Seconds of refinement and prediction by split.
        steps: Optimiser steps by split.
        traces: Per split, the series of each batch.
    """

    computed: list[NDArray[np.bool_]] = field(default_factory=list)
    forces: set[np.dtype[Any]] = field(default_factory=set)
    wall_s: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    traces: dict[str, list[Any]] = field(default_factory=dict)
    _examples: dict[int, dict[object, tuple[Facts, Facts]]] = field(default_factory=dict)

    @classmethod
    def of(cls, pieces: Pieces) -> "Survey":
        """Return what is to be known of a run."""
        found = cls()
        for region, results in zip(pieces.plan.regions, pieces.results(), strict=True):
            found._add(region.split, pieces.splits[region.split], results)
        return found

    def _add(self, number: int, split: Split, results: RegionResults) -> None:
        self.computed.append(results.is_ok)
        if not results.is_computed:
            self.forces.add(np.dtype(np.float32))
        examples = self._examples.setdefault(number, {})
        for place, facts in enumerate(results.facts):
            kinds = tuple((name, type(value)) for name, value in facts.items())
            if kinds not in examples:
                examples[kinds] = results.row(place), facts
        key = f"{split.name}/{split.role}"
        for part in results.parts:
            self.forces.add(part["forces"].dtype)
            self._count(key, part)

    def _count(self, key: str, part: Arrays) -> None:
        for wall_s, steps, trace in zip(
            part["wall_s"], part["gradient_steps"], part["trace"], strict=True
        ):
            self.wall_s[key] = self.wall_s.get(key, 0.0) + float(wall_s)
            self.steps[key] = self.steps.get(key, 0) + int(steps)
            self.traces.setdefault(key, []).append(json.loads(str(trace)))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of all forces together."""
        found: np.dtype[Any] = np.result_type(*self.forces or {np.dtype(np.float64)})
        return found

    @property
    def example(self) -> pd.DataFrame:
        """A table with every column and every type of value in it."""
        splits = [list(examples.values()) for examples in self._examples.values()]
        plain = pd.DataFrame([row for rows in splits for row, _ in rows])
        if not any(facts for rows in splits for _, facts in rows):
            return plain
        # split by split: a column that is empty in one of them makes another type
        tables = [pd.DataFrame([facts for _, facts in rows]) for rows in splits]
        return pd.concat([plain, pd.concat(tables, ignore_index=True)], axis=1)

    def costs(self) -> dict[str, Any]:
        """Return what the run cost, as its manifest tells."""
        return {
            "wall_s": self.wall_s,
            "gradient_steps": self.steps,
            "peak_memory_mb": peak_memory_mb(),
            "traces": {key: told for key, told in self.traces.items() if any(told)},
        }


def write_whole(pieces: Pieces, survey: Survey, checks: RunChecks) -> dict[str, Any]:
    """Write the whole files of a run; return what its checks found.

    Args:
        pieces: Its results.
        survey: What is known of them.
        checks: Shown every region.

    Raises:
        ModelError: The checks find that no number can be trusted; nothing is written.
        StoreError: The disk is full; nothing is left half-written.
    """
    folder, scratch = pieces.folder.path, pieces.folder.parts
    for name in (*_WHOLE, pieces.folder.manifest_name):
        for left in folder.glob(f".{name}.*"):
            left.unlink(missing_ok=True)  # of a process that was killed while it wrote
    with ExitStack() as stack:
        table = stack.enter_context(
            table_stream(folder / "predictions.parquet", survey.example)
        )
        forces, reference, structures = (
            stack.enter_context(npz_stream(folder / f"{name}.npz", scratch, dtypes))
            for name, dtypes in (
                ("forces", {"forces": survey.dtype}),
                ("reference", _REFERENCE),
                ("structures", _STRUCTURES),
            )
        )
        for number, results in enumerate(pieces.results()):
            shown = pieces.reader.structures(number)
            labels = pieces.reader.labels(number)
            predicted = results.forces(survey.dtype)
            table.append(results.all_columns)
            forces.append(forces=predicted)
            reference.append(energy=labels.energy.numpy(), forces=labels.forces.numpy())
            structures.append(
                positions=shown.positions.numpy(),
                numbers=shown.numbers.numpy(),
                cell=shown.cell.numpy(),
                pbc=shown.pbc.numpy(),
                multiplicity=shown.multiplicity.numpy(),
                smiles=shown.smiles,
            )
            checks.see(shown, results, predicted, labels)
        return checks.conclude()
