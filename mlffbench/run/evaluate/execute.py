"""Execute: a job -> a run folder with every prediction in it, whatever interrupts it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import NoTrainingError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.split import Rows, Split
from mlffbench.core.structures import Structures
from mlffbench.models.load import card_of
from mlffbench.refine.baseline import Baseline
from mlffbench.refine.modes import load_refiner, mode_name
from mlffbench.refine.refiner import Refiner, Training
from mlffbench.run.evaluate.evaluation_job import (
    Batch,
    Job,
    choose_rows,
    plan_batches,
    rows_of_job,
    why_skipped,
)
from mlffbench.run.evaluate.predict import Prediction, predict_batch
from mlffbench.run.evaluate.run_checks import check_run
from mlffbench.run.folder import Arrays, RunFolder, run_folder, suite_folder
from mlffbench.run.provenance import peak_memory_mb
from mlffbench.run.suite import Suite
from mlffbench.run.work import Progress, RefinedJob, RefinedWork


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


def read_inputs(
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


class Inputs(NamedTuple):
    """What a job is computed on.

    Attributes:
        geometries: Per split, what the model sees.
        stored: Geometries and reference labels as the folder keeps them for scoring; no
            refinement and no model gets them.
    """

    geometries: list[Structures]
    stored: dict[str, Arrays]


@dataclass(frozen=True, eq=False, kw_only=True)
class EvaluationWork(RefinedWork):
    """A job with everything it needs in hand.

    Attributes:
        job: The job.
        splits: The splits it touches, train among them.
    """

    job: Job
    splits: Sequence[Split]

    def decides(self) -> dict[str, Any]:
        """Return everything that decides the predictions."""
        pairs = zip(self.splits, self.rows, strict=True)
        return {
            "job": self.job.as_dict(),
            "splits": [_entry(split, chosen) for split, chosen in pairs],
            **self.refined_manifest(),
        }

    def read(self) -> Inputs:
        """Return geometries and labels of every split.

        Raises:
            DataError: A structure or a label cannot be read.
        """
        geometries = [
            split.source.structures(these)
            for split, these in zip(self.splits, self.rows, strict=True)
        ]
        return Inputs(geometries, read_inputs(self.splits, self.rows, geometries))

    def compute(
        self, inputs: Inputs, folder: RunFolder, progress: Progress
    ) -> dict[str, Any]:
        """Predict what is missing and write the results.

        Raises:
            ModelError: The model breaks a promise.
            StoreError: The folder cannot be written.
        """
        rows = self.rows
        skipped = [
            _skipped(split, these, self.card)
            for split, these in zip(self.splits, rows, strict=True)
        ]
        batches = self._batches(rows, skipped)
        total = sum(len(batch.rows) for batch in batches)
        progress.begin(self.job.label, total)
        place = [{int(row): at for at, row in enumerate(these)} for these in rows]
        parts = []
        for number, batch in enumerate(batches):
            part = folder.read_part(number, batch.rows)
            if part is None:
                places = [place[batch.split][int(row)] for row in batch.rows]
                structures = inputs.geometries[batch.split].select(places)
                part = {**_predict(self, batch, structures), "rows": batch.rows}
                folder.write_part(number, part)
            parts.append(part)
            progress.advance(len(batch.rows))
        table, forces, costs = assemble(self.splits, rows, skipped, batches, parts)
        arrays = {"forces": {"forces": forces}, **inputs.stored}
        checks = check_run(
            model=self.model,
            splits=self.splits,
            geometries=inputs.geometries,
            table=table,
            forces=forces,
            reference=inputs.stored["reference"],
            mode=self.refiner.name,
            device=self.job.device,
            dtype=self.dtype,
            seed=self.job.seed,
        )
        folder.write_predictions(table, arrays)
        return {**costs, "checks": checks}

    @cached_property
    def rows(self) -> list[Rows]:
        """Chosen rows of each split."""
        return [rows_of_job(split, self.job) for split in self.splits]

    def _batches(
        self, rows: Sequence[Rows], skipped: Sequence[Sequence[str | None]]
    ) -> list[Batch]:
        return [
            batch
            for number, split in enumerate(self.splits)
            for batch in plan_batches(
                number,
                split,
                rows[number][[why is None for why in skipped[number]]],
                unit=_refiner_of(split, self.refiner).unit,
                batch_atoms=self.job.batch_atoms,
            )
        ]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Evaluation:
    """What all evaluations of a suite share.

    Attributes:
        suite: The suite as resolved.
        splits: Its training splits and one half of the others.
    """

    suite: Suite
    splits: tuple[Split, ...]

    def folder(self, out: Path, job: Job) -> RunFolder:
        """Return where a job's results belong; the val half and trials lie apart."""
        suite = suite_folder(job.suite, half=job.half, limit=job.limit)
        return run_folder(out, suite, job.model, mode_name(job.mode))

    def work(self, job: Job, model: ForceField) -> EvaluationWork:
        """Return a job with everything it needs.

        Raises:
            BenchError: The mode does not take its settings.
        """
        return EvaluationWork(
            splits=self.splits, **in_hand(job, model, self.suite, self.splits)
        )


def _refiner_of(split: Split, refiner: Refiner) -> Refiner:
    """Energies are aligned on the unrefined model, so that modes stay comparable."""
    return Baseline() if split.role == "train" else refiner


def in_hand(
    job: RefinedJob, model: ForceField, suite: Suite, splits: Sequence[Split]
) -> dict[str, Any]:
    """Return the values of `RefinedWork` for a job.

    Raises:
        BenchError: The mode does not take its settings.
    """
    return {
        "job": job,
        "model": model,
        "subject": model,
        "card": card_of(model),
        "refiner": load_refiner(job.mode, dict(job.settings)),
        "training": training_of(job.suite, splits, job.seed),
        "suite": suite.model_dump(mode="json"),
    }


def training_of(suite: str, splits: Sequence[Split], seed: int) -> Training:
    """Return the geometries of a suite's training, without labels, read when needed.

    Where the suite has no training split, reading them raises NoTrainingError.
    """
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
        read=partial(_geometries_of, suite, chosen),
    )


def _geometries_of(suite: str, chosen: Sequence[tuple[Split, Rows]]) -> Structures:
    if not chosen:
        raise NoTrainingError(suite)
    return Structures.concatenate([one.source.structures(rows) for one, rows in chosen])


def _skipped(split: Split, rows: np.ndarray, card: ModelCard) -> list[str | None]:
    index = split.source.index
    records = index.record[rows]
    reasons = {int(r): why_skipped(index, int(r), card) for r in np.unique(records)}
    return [reasons[int(record)] for record in records]


def _predict(work: EvaluationWork, batch: Batch, structures: Structures) -> Arrays:
    split = work.splits[batch.split]
    prediction = predict_batch(
        work.subject,
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


def _entry(split: Split, chosen: Rows) -> dict[str, Any]:
    """Return what ``run.json`` says of a split."""
    return {
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
