"""A whole training: stages in order, a log, a state to go on from after each epoch."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from filelock import FileLock, Timeout

from mlffbench.core.errors import StoreError
from mlffbench.core.files import make_folder, write_atomic
from mlffbench.training.average import put
from mlffbench.training.epochs import Row, StageRun, Trainable, all_parameters, start_from
from mlffbench.training.materials import Materials
from mlffbench.training.ranks import ALONE, Ranks
from mlffbench.training.training_plan import StagePlan, TrainingPlan
from mlffbench.training.training_state import (
    TrainingState,
    prefixed,
    read_state,
    state_path,
    under,
    write_state,
)
from mlffbench.training.validation import Check


class Watcher(Protocol):
    """Whoever shows how a training goes."""

    def begin(self, stage: StagePlan, n_done: int) -> None:
        """Hear that a stage begins, or goes on after some epochs."""
        ...

    def epoch(self, row: Row) -> None:
        """Hear of a finished epoch."""
        ...


def train(
    model: Trainable,
    plan: TrainingPlan,
    materials: Materials,
    *,
    stem: Path,
    watcher: Watcher,
    ranks: Ranks = ALONE,
) -> list[Row]:
    """Train a model in place and return the log.

    Killed at any moment, the same call ends in the same weights.

    Beside ``stem`` appear a log (``.csv``) and, until `forget_state`, the training state.

    Args:
        model: As built from the plan.
        plan: Every hyper-parameter.
        materials: What is learned and watched.
        stem: Path of the checkpoint to be, without suffix.
        watcher: Told of every epoch.
        ranks: This process and those it trains together with; the first writes.

    Returns:
        One row per epoch, those before a resumption included.

    Raises:
        StoreError: The state belongs to another plan, or the disk refuses.
        BenchError: The loss is no longer finite, or another rank has ended.
    """
    saved = _saved_state(stem, plan)
    begun = f"{saved.stage} {saved.numbers}" if saved else "nothing"
    ranks.check_alike("begun", f"{plan.fingerprint()} {begun}")
    rows: list[Row] = list(saved.numbers["rows"]) if saved else []
    if saved is not None:
        put(all_parameters(model), under("weights", saved.tensors))
    with fast_small_numbers():
        for number, stage in enumerate(plan.stages):
            if saved is not None and number < saved.stage:
                continue
            resumes = saved is not None and number == saved.stage
            if not resumes:
                start_from(model, stage)
            run = _begin(model, stage, plan, materials, ranks)
            if saved is not None and resumes:
                run.restore(saved.numbers["stage"], saved.tensors)
            watcher.begin(stage, run.epoch)
            while not run.finished:
                rows.append(run.run_epoch())
                if ranks.first:
                    _write(stem, plan, stage=number, model=model, run=run, rows=rows)
                    write_log(stem, rows, [one.name for one in materials.validation])
                watcher.epoch(rows[-1])
            run.finish()
    return rows


@contextmanager
def training_lock(stem: Path) -> Iterator[None]:
    """Hold a checkpoint's place against other trainings.

    Raises:
        StoreError: Another process trains there, or the folder cannot be written.
    """
    make_folder(stem.parent)
    lock = FileLock(stem.with_name(f".{stem.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        msg = f"another mlffbench is training {stem}; wait for it or give another --out"
        raise StoreError(msg) from error
    except OSError as error:
        msg = f"cannot write to {stem.parent}: {error.strerror}; give another --out"
        raise StoreError(msg) from error
    try:
        yield
    finally:
        lock.release()


def forget_state(stem: Path) -> None:
    """Delete the training state: the checkpoint is written, or not wanted."""
    state_path(stem).unlink(missing_ok=True)


def write_log(stem: Path, rows: Sequence[Row], checks: Sequence[str]) -> None:
    """Write the log as CSV: one line per epoch, force errors in meV/Å."""
    plain = ("stage", "epoch", "learning_rate", "loss", "seconds")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([*plain, *(f"{name} forces MAE meV/Å" for name in checks)])
    for row in rows:
        errors = (row.get(name) for name in checks)
        cells = (
            "" if error is None or math.isnan(error) else f"{1000 * error:.3f}"
            for error in errors
        )
        writer.writerow([*(row[key] for key in plain), *cells])
    write_atomic(stem.with_name(f"{stem.name}.csv"), table.getvalue().encode())


def best_rows(rows: Sequence[Row], checks: Mapping[str, bool]) -> list[dict[str, Any]]:
    """Return the row of each stage whose weights were kept.

    Args:
        rows: The log.
        checks: Name of a check -> whether it decides.
    """
    best: dict[str, tuple[float, Row]] = {}
    for row in rows:
        errors = [row[name] for name, decides in checks.items() if decides]
        known = [error for error in errors if error == error]  # noqa: PLR0124 - NaN
        mean = sum(known) / len(known)
        if row["stage"] not in best or mean < best[row["stage"]][0]:
            best[row["stage"]] = (mean, row)
    return [row for _, row in best.values()]


def _begin(
    model: Trainable,
    stage: StagePlan,
    plan: TrainingPlan,
    materials: Materials,
    ranks: Ranks,
) -> StageRun:
    parameter = next(iter(all_parameters(model).values()))
    device, dtype = parameter.device, parameter.dtype
    checks = [
        Check.of(
            one.name, one.examples.to(device=device, dtype=dtype), decides=one.decides
        )
        for one in materials.validation
    ]
    examples = materials.for_stage(stage).to(device=device, dtype=dtype)
    return StageRun(
        model,
        stage,
        examples=examples,
        checks=checks,
        seed=plan.seed,
        amp=plan.amp,
        ranks=ranks,
    )


def _write(
    stem: Path,
    plan: TrainingPlan,
    *,
    stage: int,
    model: Trainable,
    run: StageRun,
    rows: Sequence[Row],
) -> None:
    """Store where the training stands."""
    weights = prefixed("weights", all_parameters(model))
    state = TrainingState(
        fingerprint=plan.fingerprint(),
        stage=stage,
        numbers={"rows": rows, "stage": run.numbers()},
        tensors={**weights, **run.tensors()},
    )
    write_state(stem, state)


def _saved_state(stem: Path, plan: TrainingPlan) -> TrainingState | None:
    saved = read_state(stem)
    if saved is not None and saved.fingerprint != plan.fingerprint():
        msg = f"{state_path(stem)} belongs to a training with other settings, data or "
        raise StoreError(msg + "versions; give another --out, or --overwrite it")
    return saved


@contextmanager
def fast_small_numbers() -> Iterator[None]:
    """Let the CPU take denormal numbers for 0: SchNet trains three times faster."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
