"""Execute: a job -> a run folder with every prediction in it, whatever interrupts it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch

from mlffbench.core.card import ModelCard
from mlffbench.core.forcefield import ForceField
from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.refine.baseline import Baseline
from mlffbench.refine.refiner import LearnsFromTraining, Refiner, Training
from mlffbench.run.evaluate.evaluation_job import (
    Batch,
    Job,
    choose_rows,
    plan_batches,
    why_skipped,
)
from mlffbench.run.evaluate.predict import Prediction, predict_batch
from mlffbench.run.folder import Arrays, RunFolder
from mlffbench.run.prior_heads import subject_of
from mlffbench.run.provenance import (
    command_line,
    git_state,
    hardware,
    model_manifest,
    peak_memory_mb,
    versions,
)


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


_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Progress(Protocol):
    """Whoever wants to know how far a job is."""

    def begin(self, title: str, n_structures: int) -> None:
        """A job starts."""
        ...

    def advance(self, n_structures: int) -> None:
        """Structures were finished."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A job with everything it needs in hand.

    Attributes:
        job: The job.
        splits: The splits it touches, train among them.
        model: The loaded model, with its card.
        refiner: The refinement of the job's mode.
        suite_manifest: The suite as resolved, for ``run.json``.
    """

    job: Job
    splits: Sequence[Split]
    model: ForceField
    card: ModelCard
    refiner: Refiner
    suite_manifest: dict[str, Any]

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the structures the model sees."""
        return _DTYPES[self.job.dtype or self.card.dtype]


def execute(
    work: Work, folder: RunFolder, progress: Progress, *, overwrite: bool = False
) -> None:
    """Compute what is missing of a job and write its folder.

    Killed at any moment, the same call goes on from the last finished batch and ends with
    the same predictions, byte for byte.

    Args:
        work: The job.
        folder: Where its results belong.
        progress: Told of every finished batch.
        overwrite: Delete the results of other settings instead of refusing.

    Raises:
        ModelError: The mode needs a capability the model lacks, or it breaks a promise.
        StoreError: The folder cannot be written or holds another run.
        DataError: A structure cannot be read.
    """
    training = training_of(work.job.suite, work.splits, work.job.seed)
    subject = subject_of(
        work.refiner, work.model, training, base=work.job.model, progress=progress
    )
    work.refiner.check(subject)
    if isinstance(work.refiner, LearnsFromTraining):
        work.refiner.learn(subject, training)
    rows = [choose_rows(s, work.job.limit, work.job.seed) for s in work.splits]
    skipped = [_skipped(s, r, work.card) for s, r in zip(work.splits, rows, strict=True)]
    batches = [
        batch
        for number, split in enumerate(work.splits)
        for batch in plan_batches(
            number,
            split,
            rows[number][[why is None for why in skipped[number]]],
            unit=_refiner_of(split, work.refiner).unit,
            batch_atoms=work.job.batch_atoms,
        )
    ]
    with folder.locked():
        manifest = _manifest(work, rows, subject)
        if folder.is_complete(manifest, overwrite=overwrite):
            return
        # read everything once before computing anything: bad data is told at once
        geometries = [
            split.source.structures(these)
            for split, these in zip(work.splits, rows, strict=True)
        ]
        known = inputs(work.splits, rows, geometries)
        folder.begin(manifest)
        title = f"{work.job.model} {work.job.mode}"
        progress.begin(title, sum(len(batch.rows) for batch in batches))
        place = [{int(row): at for at, row in enumerate(these)} for these in rows]
        parts = []
        for number, batch in enumerate(batches):
            part = folder.read_part(number, batch.rows)
            if part is None:
                places = [place[batch.split][int(row)] for row in batch.rows]
                structures = geometries[batch.split].select(places)
                part = {**_compute(work, subject, batch, structures), "rows": batch.rows}
                folder.write_part(number, part)
            parts.append(part)
            progress.advance(len(batch.rows))
        table, forces, costs = assemble(work.splits, rows, skipped, batches, parts)
        arrays = {"forces": {"forces": forces}, **known}
        folder.finish(table, arrays, {**manifest, **costs, "finished": _now()})


def _refiner_of(split: Split, refiner: Refiner) -> Refiner:
    """Energies are aligned on the unrefined model, so that modes stay comparable."""
    return Baseline() if split.role == "train" else refiner


def training_of(suite: str, splits: Sequence[Split], seed: int) -> Training:
    """Return the geometries of a suite's training, without labels, read when needed."""
    chosen = [
        (split, choose_rows(split, None, seed))
        for split in splits
        if split.role == "train"
    ]
    names = [
        f"{split.source.sha256}/{name}"
        for split, rows in chosen
        for name in split.source.index.ids(rows)
    ]
    return Training(
        name=f"{suite}/train",
        sha256=hashlib.sha256("\n".join(names).encode()).hexdigest(),
        read=lambda: Structures.concatenate(
            [split.source.structures(rows) for split, rows in chosen]
        ),
    )


def _skipped(split: Split, rows: np.ndarray, card: ModelCard) -> list[str | None]:
    index = split.source.index
    records = index.record[rows]
    reasons = {int(r): why_skipped(index, int(r), card) for r in np.unique(records)}
    return [reasons[int(record)] for record in records]


def _compute(
    work: Work, subject: ForceField, batch: Batch, structures: Structures
) -> Arrays:
    split = work.splits[batch.split]
    prediction = predict_batch(
        subject,
        _refiner_of(split, work.refiner),
        structures,
        device=work.job.device,
        dtype=work.dtype,
    )
    return _pack(prediction, structures)


def _pack(prediction: Prediction, structures: Structures) -> Arrays:
    reasons = [prediction.failures.get(i, "") for i in range(structures.n_systems)]
    facts = [json.dumps(dict(facts), sort_keys=True) for facts in prediction.facts]
    return {
        "energy": prediction.energy.numpy(),
        "forces": prediction.forces.numpy(),
        "reason": np.asarray(reasons, dtype=np.str_),
        "facts": np.asarray(facts or ["{}"] * structures.n_systems, dtype=np.str_),
        "trace": np.asarray(
            json.dumps({k: list(v) for k, v in prediction.trace.items()})
        ),
        "gradient_steps": np.asarray(prediction.gradient_steps),
        "wall_s": np.asarray(prediction.wall_s),
    }


def _manifest(work: Work, rows: list[np.ndarray], subject: ForceField) -> dict[str, Any]:
    """Return ``run.json``: everything that decides the numbers, and who made them."""
    splits = [
        {
            "name": split.name,
            "role": split.role,
            "shift": split.shift.kind if split.shift else None,
            "shift_rule": split.shift.rule if split.shift else None,
            "rule": split.rule,
            "control": split.control,
            "shares_molecules": split.shares_molecules,
            "n_structures": len(split.rows),
            "n_chosen": len(chosen),
            "sha256": hashlib.sha256(
                "\n".join(split.source.index.ids(chosen)).encode()
            ).hexdigest(),
            "source_sha256": split.source.sha256,
            "level_of_theory": split.source.level_of_theory,
        }
        for split, chosen in zip(work.splits, rows, strict=True)
    ]
    decides = {
        "job": work.job.as_dict(),
        "splits": splits,
        "model": model_manifest(work.job.model, work.model, work.card),
        "mode": {
            "name": work.refiner.name,
            "unit": work.refiner.unit,
            "sees": work.refiner.sees,
            "settings": dict(work.refiner.settings(subject)),
        },
        "versions": versions(),
    }
    text = json.dumps(decides, sort_keys=True, default=str)
    return {
        "fingerprint": hashlib.sha256(text.encode()).hexdigest(),
        **decides,
        "suite": work.suite_manifest,
        "dtype": str(work.dtype).removeprefix("torch."),
        "git": git_state(),
        "hardware": hardware(work.job.device),
        "command": command_line(),
        "started": _now(),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
