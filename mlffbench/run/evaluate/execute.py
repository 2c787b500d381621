"""Execute: a job -> a run folder with every prediction in it, whatever interrupts it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from mlffbench.core.errors import NoTrainingError, StoreError
from mlffbench.core.files import make_folder
from mlffbench.core.forcefield import ForceField
from mlffbench.core.split import Rows, Split, checksum_of
from mlffbench.core.structures import Structures
from mlffbench.models.load import card_of
from mlffbench.refine.baseline import Baseline
from mlffbench.refine.modes import load_refiner, mode_name
from mlffbench.refine.refiner import Refiner, Training
from mlffbench.run.evaluate.evaluation_job import (
    Job,
    Skips,
    choose_rows,
    rows_of_job,
)
from mlffbench.run.evaluate.merge import Pieces, Survey, write_whole
from mlffbench.run.evaluate.predict import predict_batch
from mlffbench.run.evaluate.run_checks import Checked, RunChecks
from mlffbench.run.evaluate.shard_results import all_failed, pack
from mlffbench.run.folder import Arrays, RunFolder, run_folder, suite_folder
from mlffbench.run.manifest import run_fingerprint
from mlffbench.run.shards.batching import batch_positions
from mlffbench.run.shards.crew import Crew
from mlffbench.run.shards.region_reader import RegionReader
from mlffbench.run.shards.shard_plan import (
    Region,
    Shard,
    ShardPlan,
    regions_of,
    shard_atoms,
    shards_of,
)
from mlffbench.run.suite import Suite
from mlffbench.run.work import Progress, RefinedJob, RefinedWork, Silent

_TRIES = 3
"""Times that a broken part is computed anew."""


class Inputs(NamedTuple):
    """What a job is computed on.

    Attributes:
        plan: What is computed, in which pieces.
        reader: Reads the geometries, which are all that a model or a refinement gets.
    """

    plan: ShardPlan
    reader: RegionReader


@dataclass(frozen=True, eq=False, kw_only=True)
class EvaluationWork(RefinedWork):
    """A job with everything it needs in hand.

    Attributes:
        job: The job.
        splits: The splits it touches, train among them.
        others: Whether others compute it while this process waits; None: it computes.
    """

    job: Job
    splits: Sequence[Split]
    others: Callable[[], bool] | None = None

    def decides(self) -> dict[str, Any]:
        """Return everything that decides the predictions."""
        return dict(self._decides)

    @cached_property
    def _decides(self) -> dict[str, Any]:
        """What `decides` returns: files of the model are read for it, so only once."""
        pairs = zip(self.splits, self.rows, strict=True)
        return {
            "job": self.job.as_dict(),
            "splits": [_entry(split, chosen) for split, chosen in pairs],
            **self.refined_manifest(),
        }

    def read(self) -> Inputs:
        """Plan the job, and read its data, or a sample of much, to tell faults first.

        Raises:
            DataError: A structure or a label cannot be read.
        """
        inputs = self.inputs()
        inputs.reader.check()
        return inputs

    def inputs(self) -> Inputs:
        """Return the same; nothing is read."""
        plan = self._plan()
        return Inputs(plan, RegionReader(self.splits, self.rows, plan.regions))

    def compute(
        self, inputs: Inputs, folder: RunFolder, progress: Progress
    ) -> dict[str, Any]:
        """Predict what is missing and write the results.

        Raises:
            ModelError: The model breaks a promise.
            StoreError: The folder cannot be written.
        """
        pieces = Pieces(
            folder=folder, plan=inputs.plan, reader=inputs.reader, skipped=self.skipped
        )
        progress.begin(self.job.label, inputs.plan.n_structures)
        crew = self.crew(inputs, folder, others=self.others)
        replace(crew, kept=pieces.kept).carry_out(progress)
        self._mend(pieces, inputs)
        survey = Survey.of(pieces)
        checks = RunChecks.begin(
            Checked(
                model=self.model,
                splits=self.splits,
                mode=self.refiner.name,
                device=self.job.device,
                dtype=self.dtype,
            ),
            survey.computed,
            [self.splits[one.split].role == "train" for one in inputs.plan.regions],
            n_atoms=sum(map(_n_atoms, self.splits, self.rows)),
            seed=self.job.seed,
        )
        found = write_whole(pieces, survey, checks)
        return {**survey.costs(), "checks": found}

    def crew(
        self,
        inputs: Inputs,
        folder: RunFolder,
        is_wanted: Callable[[], bool] = lambda: True,
        others: Callable[[], bool] | None = None,
    ) -> Crew:
        """Return this process as one of those that compute the shards."""
        return Crew(
            folder,
            inputs.plan.shards,
            partial(self._compute, inputs.reader),
            all_failed,
            is_wanted,
            others,
        )

    def _mend(self, pieces: Pieces, inputs: Inputs) -> None:
        """Compute anew what is broken on the disk.

        Raises:
            StoreError: It is broken again.
        """
        broken: list[int] = []
        for _ in range(_TRIES):
            broken = pieces.broken()
            if not broken:
                return
            make_folder(pieces.folder.parts)
            for number in broken:
                pieces.folder.part(number).unlink(missing_ok=True)
            self.crew(inputs, pieces.folder).carry_out(Silent())
        msg = (
            f"{pieces.folder.part(broken[0])} is broken as soon as it is written; check "
        )
        raise StoreError(msg + "the disk, or choose another --out")

    def _compute(self, reader: RegionReader, shard: Shard, progress: Progress) -> Arrays:
        """Return what comes of a shard."""
        split = self.splits[shard.split]
        region = reader.structures(shard.region)
        chosen = region.select(shard.positions.tolist())
        batches = list(chosen.cut([len(batch) for batch in shard.batches]))
        found = []
        for structures in batches:
            prediction = predict_batch(
                self.subject,
                _refiner_of(split, self.refiner),
                structures,
                device=self.job.device,
                dtype=self.dtype,
            )
            found.append(prediction)
            progress.advance(structures.n_systems)
        return pack(shard, found, batches)

    @cached_property
    def rows(self) -> list[Rows]:
        """Chosen rows of each split."""
        return [rows_of_job(split, self.job) for split in self.splits]

    @cached_property
    def skipped(self) -> list[Skips]:
        """Per split, why its chosen rows are skipped."""
        pairs = zip(self.splits, self.rows, strict=True)
        return [Skips.of(split.source.index, rows, self.card) for split, rows in pairs]

    def _plan(self) -> ShardPlan:
        """Return the regions and shards of the job."""
        total = sum(map(_n_atoms, self.splits, self.rows))
        most = shard_atoms(total, self.job.batch_atoms)
        run = run_fingerprint(self.decides())
        regions: list[Region] = []
        shards: list[Shard] = []
        for number, split in enumerate(self.splits):
            unit = _refiner_of(split, self.refiner).unit
            for region in regions_of(number, split, self.rows[number], unit):
                within = slice(region.start, region.stop)
                rows = self.rows[number][within]
                kept = self.skipped[number].kept(within)
                batches = [
                    kept[batch]
                    for batch in batch_positions(
                        split.source.index,
                        rows[kept],
                        unit=unit,
                        batch_atoms=self.job.batch_atoms,
                    )
                ]
                shards += shards_of(
                    len(regions),
                    split,
                    region,
                    rows,
                    batches,
                    most=most,
                    first=len(shards),
                    run=run,
                )
                regions.append(region)
        return ShardPlan(tuple(regions), tuple(shards))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Evaluation:
    """What all evaluations of a suite share.

    Attributes:
        suite: The suite as resolved.
        splits: Its training splits and one half of the others.
        others: Whether others compute its jobs while this process waits.
    """

    suite: Suite
    splits: tuple[Split, ...]
    others: Callable[[], bool] | None = None

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
            splits=self.splits,
            others=self.others,
            **in_hand(job, model, self.suite, self.splits),
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
    names = (
        f"{split.source.sha256}/{name}"
        for split, rows in chosen
        for name in split.source.index.names(rows)
    )
    return Training(
        name=f"{suite}/train",
        sha256=checksum_of(names),
        read=partial(_geometries_of, suite, chosen),
    )


def _geometries_of(suite: str, chosen: Sequence[tuple[Split, Rows]]) -> Structures:
    if not chosen:
        raise NoTrainingError(suite)
    return Structures.concatenate([one.source.structures(rows) for one, rows in chosen])


def _n_atoms(split: Split, rows: Rows) -> int:
    index = split.source.index
    return int(index.n_atoms[index.record[rows]].sum())


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
        "sha256": checksum_of(split.source.index.names(chosen)),
        "source_sha256": split.source.sha256,
        "level_of_theory": split.source.level_of_theory,
    }
