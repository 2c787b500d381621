"""``train``: a two-headed network, or a prior head for a pretrained model."""

import logging
import os
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mlffbench.cli.label import CacheDirOption, PriorOption, WorkersOption
from mlffbench.cli.shared import train_options as options
from mlffbench.cli.shared.asked import spread
from mlffbench.cli.shared.console import make_console, resumable
from mlffbench.cli.shared.options import (
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    OverwriteOption,
    SeedOption,
    SuiteOption,
    TrustOption,
)
from mlffbench.cli.shared.progress import EPOCHS, ProgressBar
from mlffbench.core.errors import BenchError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from mlffbench.training.epochs import Row
    from mlffbench.training.project import Order, Project
    from mlffbench.training.ranks import Ranks


@spread
def train(
    *,
    suite: SuiteOption,
    model: options.NetworkOption,
    out: options.CheckpointOption,
    recipe: options.RecipeOption = options.Recipe.prior_freeze_finetune,
    depth: options.DepthOption = options.Depth.min,
    cutoff: options.CutoffOption = 4.5,
    channels: options.ChannelsOption = None,
    shape: options.ShapeOption = None,
    epochs: options.EpochsOption = 200,
    prior_epochs: options.PriorEpochsOption = 200,
    learning_rate: options.LearningRateOption = None,
    prior_learning_rate: options.PriorLearningRateOption = None,
    prior_weight: options.PriorWeightOption = 0.5,
    optimisation: options.Optimisation,
    prior: PriorOption = "gfn2-xtb",
    extra_geometries: options.ExtraGeometriesOption = None,
    cache_dir: CacheDirOption = None,
    workers: WorkersOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.auto,
    amp: options.AmpOption = options.Amp.off,
    tensorboard: options.TensorboardOption = False,
    overwrite: OverwriteOption = False,
    trust: TrustOption = False,
) -> None:
    """Train on a suite's train split; stopped or killed, the same command goes on.

    Writes OUT.safetensors and OUT.json, and OUT.csv with a line per epoch. On several
    GPUs: torchrun --nproc-per-node N -m mlffbench train ...
    """
    from mlffbench.cli.shared.resolving import resolve_device
    from mlffbench.run.suite import load_suite

    if os.environ.get("RANK", "0") == "0":
        load_suite(suite)  # a typo in it is told before torch is imported
    from mlffbench.training.project import Order, check_amp, shape_of
    from mlffbench.training.ranks import launched_ranks

    common = {**asdict(optimisation), "schedule": optimisation.schedule.value}
    where = resolve_device(device)
    with resumable(), launched_ranks(where) as ranks, _told_once(ranks):
        common["accumulate"] *= ranks.count
        order = Order(
            suite=suite,
            model=model,
            recipe=recipe.value,
            depth=depth.value,
            cutoff=cutoff,
            channels=channels,
            shape=shape_of(shape or ()),
            epochs=epochs,
            prior_epochs=prior_epochs,
            learning_rate=learning_rate,
            prior_learning_rate=prior_learning_rate,
            prior_weight=prior_weight,
            common=common,
            prior=prior,
            further=tuple(extra_geometries or ()),
            seed=seed,
            device=where,
            dtype="float32" if dtype is Dtype.auto else dtype.value,
            amp=amp.value,  # type: ignore[arg-type]  # the names are those
        )
        check_amp(order)  # before data are read
        _train(
            order,
            out,
            ranks,
            labels=(cache_dir, workers),
            tensorboard=tensorboard,
            overwrite=overwrite,
            trust=trust,
        )


@contextmanager
def _told_once(ranks: "Ranks") -> "Iterator[None]":
    """Let one of the processes of a training say why it ends; the others end silently."""
    if not ranks.first:
        logging.disable(logging.WARNING)
    try:
        yield
    except KeyboardInterrupt:
        if ranks.count == 1:
            raise
        if ranks.first:
            told = "stopped; the same torchrun command goes on from the last whole epoch"
            typer.echo(told, err=True)
        raise typer.Exit(1) from None
    except Exception:
        if ranks.speaks():
            raise
        raise typer.Exit(1) from None


def _train(
    order: "Order",
    stem: Path,
    ranks: "Ranks",
    *,
    labels: tuple[Path | None, int | None],
    tensorboard: bool,
    overwrite: bool,
    trust: bool,
) -> None:
    """Train what was ordered, or go on with it, and write the checkpoint."""
    from mlffbench.cli.shared.training_progress import TrainingProgress
    from mlffbench.training.project import is_complete
    from mlffbench.training.stages import forget_state, train, training_lock

    console = make_console()
    console.quiet = not ranks.first
    with training_lock(stem) if ranks.first else nullcontext():
        with ranks.first_before_others("prepared"):
            project = _prepare(console, order, *labels, trust=trust)
            complete = is_complete(stem, project.plan)
            if overwrite and ranks.first:
                forget_state(stem)
        if complete and not overwrite:
            console.print(f"{stem} holds this very training, complete; nothing to do")
            return
        if complete is False and not overwrite:
            msg = f"{stem} holds another model; choose another --out, or --overwrite it"
            raise StoreError(msg)
        log = stem if tensorboard and ranks.first else None
        with (
            ProgressBar(console, EPOCHS) as bar,
            closing(TrainingProgress(bar, log)) as watcher,
        ):
            rows = train(
                project.model,
                project.plan,
                project.materials,
                stem=stem,
                watcher=watcher,
                ranks=ranks,
            )
        if ranks.first:
            _conclude(project, rows, stem, ranks.count)
    console.print(f"wrote {stem}.safetensors, {stem}.json and {stem}.csv", markup=False)


def _conclude(
    project: "Project", rows: "Sequence[Row]", stem: Path, n_processes: int
) -> None:
    """Write the checkpoint, and what it was made by and with."""
    from mlffbench.run.provenance import command_line, git_state, hardware, versions
    from mlffbench.training.project import conclude
    from mlffbench.training.stages import forget_state

    provenance = {
        "command": command_line(),
        "versions": versions(),
        "git": git_state(),
        "hardware": hardware(project.plan.device),
        "processes": n_processes,
    }
    conclude(project, rows, stem, provenance)
    forget_state(stem)


def _prepare(
    console: "Console",
    order: "Order",
    cache_dir: Path | None,
    workers: int | None,
    *,
    trust: bool,
) -> "Project":
    """Return the order with its data read and its prior labels at hand."""
    from dataclasses import replace

    from mlffbench.cli.shared.sources import open_prior, structures_of
    from mlffbench.core.labels import Labels
    from mlffbench.core.model_options import ModelOptions
    from mlffbench.core.structures import Structures
    from mlffbench.models.load import load_model
    from mlffbench.priors.prior_labels import label
    from mlffbench.run.suite import load_suite
    from mlffbench.run.suite_splits import load_splits
    from mlffbench.training.project import NETWORKS, prepare

    attaches = order.recipe == "attach-prior-head"
    if not attaches and order.model not in NETWORKS:
        msg = f"--model {order.model!r} cannot be trained from nothing: expected "
        raise BenchError(msg + f"{' or '.join(NETWORKS)}, or --recipe attach-prior-head")
    suite, folder = load_suite(order.suite)
    splits = load_splits(suite, folder)
    prior, cache = open_prior(order.prior, cache_dir, workers)
    order = replace(
        order,
        suite=suite.name,
        suite_version=suite.version,
        prior_version=cache.version,
    )
    options = ModelOptions(device=order.device, dtype=order.dtype, trust=trust)
    with ProgressBar(console) as progress:

        def labeller(structures: Structures) -> Labels:
            progress.begin(f"prior labels, {order.prior}", structures.n_systems)
            return label(structures, prior, cache, progress.advance)

        return prepare(
            order,
            splits,
            further=[structures_of(name) for name in order.further],
            labeller=labeller,
            pretrained=load_model(order.model, options) if attaches else None,
        )
