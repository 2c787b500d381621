"""A prior head by itself: fitted to a sample of training geometries, once, and kept."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
from pydantic import JsonValue
from torch import Tensor

from mlffbench.core.assembly import predict_rest, refusals
from mlffbench.core.errors import DataError
from mlffbench.core.files import make_folder
from mlffbench.core.forcefield import ForceField
from mlffbench.core.in_turn import digest, in_turn
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.models.load import card_of
from mlffbench.priors.prior_labels import LabelCache, cache_folder, label
from mlffbench.training.attached import AttachedPriorHead, weights_of
from mlffbench.training.epochs import Row, StageRun
from mlffbench.training.examples import Examples, fit_baseline, has_label
from mlffbench.training.stages import fast_small_numbers, training_lock
from mlffbench.training.training_plan import StagePlan
from mlffbench.training.trunk import HasTrunk, as_trunk
from mlffbench.training.validation import Check

Labeller = Callable[[Structures], Labels]
"""Computes a prior's labels, float64."""
_MANY = 5
"""Molecules from which on whole molecules are held out."""


class Geometries(Protocol):
    """Training geometries, without labels, read when needed."""

    @property
    def name(self) -> str:
        """What messages call them."""
        ...

    @property
    def sha256(self) -> str:
        """Checksum of which structures they are."""
        ...

    @property
    def read(self) -> Callable[[], Structures]:
        """Returns them, float64 on the CPU."""
        ...


class Progress(Protocol):
    """Whoever wants to know how far it is."""

    def begin(self, title: str, n_structures: int) -> None:
        """Work of so many units begins."""
        ...

    def advance(self, n_structures: int) -> None:
        """Some of them are done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSettings:
    """How a prior head is fitted by itself.

    Attributes:
        n_structures: Training geometries labelled at most.
        least: Labelled geometries below which no head is fitted.
        held_out: Share of the molecules that stop the fit and are not fitted.
        epochs: Passes over the geometries at most.
        patience: Epochs without a better error on what is held out.
        learning_rate: Highest learning rate of AdamW.
        seed: Of the initial weights, of the sample and of every shuffle.
    """

    n_structures: int = 300
    least: int = 40
    held_out: float = 0.2
    epochs: int = 25
    patience: int = 5
    learning_rate: float = 2e-3
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sample:
    """Training geometries with prior labels, in two parts without a common molecule.

    Attributes:
        fitted: What the head is fitted to.
        held_out: What stops the fit.
    """

    fitted: Examples
    held_out: Examples


def with_prior_head(
    model: ForceField,
    *,
    base: str,
    training: Geometries,
    prior: ForceField,
    progress: Progress,
    settings: HeadSettings | None = None,
) -> AttachedPriorHead:
    """Return a model with a prior head, fitted now or found in the user's cache.

    A head is found again by the checksums of the model's weights and of the training
    geometries, the prior with its version, the settings and the dtype.

    Args:
        model: The pretrained model; it stays as it is.
        base: How it is named on the command line.
        training: Training geometries; the model's own, or like them.
        prior: Labels a sample of them.
        progress: Told of labels and of epochs.
        settings: Of the fit.

    Raises:
        ModelError: The model's features cannot be differentiated.
        DataError: There are too few training geometries.
        BenchError: The fit diverged.
        StoreError: The cache cannot be written.
    """
    settings = settings or HeadSettings()
    trunk = as_trunk(model)
    cache = LabelCache.of(prior)
    like = next(iter(trunk.trunk_parameters().values()))
    words = (weights_of(trunk), training.sha256, cache.prior, cache.version, like.dtype)
    key = hashlib.sha256(f"{words} {asdict(settings)}".encode()).hexdigest()[:32]
    stem = cache_folder("prior-heads") / key
    make_folder(stem.parent)
    with training_lock(stem):
        if not stem.with_suffix(".json").exists():
            _fit_and_save(
                stem,
                trunk,
                base=base,
                training=training,
                prior=prior,
                progress=progress,
                settings=settings,
            )
        return AttachedPriorHead.load(stem.with_suffix(".json"), lambda _: model)


def _fit_and_save(
    stem: Path,
    trunk: HasTrunk,
    *,
    base: str,
    training: Geometries,
    prior: ForceField,
    progress: Progress,
    settings: HeadSettings,
) -> None:
    started = time.perf_counter()
    cache = LabelCache.of(prior)
    model = cast("ForceField", trunk)

    def labeller(structures: Structures) -> Labels:
        title = f"{trunk.name}: {prior.name} labels for its prior head"
        progress.begin(title, structures.n_systems)
        return label(structures, prior, cache, progress.advance)

    sample = sample_of(training.read(), within(model, labeller), settings)
    progress.begin(f"{trunk.name}: fitting its prior head", settings.epochs)
    rows: list[Row] = []

    def advance(row: Row) -> None:
        rows.append(row)
        progress.advance(1)

    head = fit_head(trunk, sample, settings, advance)
    progress.advance(settings.epochs - len(rows))  # it stopped early
    levels = held_out_levels(head, sample.held_out)
    n_fitted, n_held = sample.fitted.n_structures, sample.held_out.n_structures
    best = min(row["held_out"] for row in rows)
    history: dict[str, JsonValue] = {
        "origin": f"fitted by itself to {prior.name} forces of {n_fitted} geometries of "
        f"{training.name}, stopped by {n_held} others; their force MAE is "
        f"{1000 * best:.0f} meV/Å",
        "training_sha256": training.sha256,
        "prior": prior.name,
        "prior_version": cache.version,
        "settings": asdict(settings),
        "n_fitted": n_fitted,
        "n_held_out": n_held,
        "held_out_forces_mae_mev_per_angstrom": round(1000 * best, 3),
        "held_out_levels": {name: [*level] for name, level in levels.items()},
        "epochs": len(rows),
        "wall_s": round(time.perf_counter() - started, 1),
    }
    head.save(stem, base, history)


def sample_of(
    structures: Structures, labeller: Labeller, settings: HeadSettings
) -> Sample:
    """Return a bounded sample of training geometries with prior labels.

    Molecules come in an order that their names and the seed decide, one conformer of each
    in turn, so that a small sample has many of them.

    Raises:
        DataError: Too few of them could be labelled; the message says how many are
            needed.
    """
    places = in_turn(structures.group, structures.ids, settings.seed)
    chosen = structures.select(sorted(places[: settings.n_structures]))
    there = torch.zeros(0, dtype=torch.bool)
    if chosen.n_systems >= settings.least:
        labels = labeller(chosen)
        there = has_label(labels)
    n_labelled = int(there.sum()) if len(there) else chosen.n_systems
    if n_labelled < settings.least:
        msg = (
            f"a prior head needs at least {settings.least} training geometries with "
            f"prior labels, and there are {n_labelled}; name a suite with more of them"
        )
        raise DataError(msg)
    examples = Examples(structures=chosen, labels={"prior": labels}).usable()
    held = _held_out(examples.structures, settings)
    kept = sorted(set(range(examples.n_structures)) - set(held))
    return Sample(fitted=examples.select(kept), held_out=examples.select(held))


def fit_head(
    trunk: HasTrunk,
    sample: Sample,
    settings: HeadSettings,
    advance: Callable[[Row], None] | None = None,
) -> AttachedPriorHead:
    """Return a pretrained model with a prior head fitted to a sample.

    Args:
        trunk: The pretrained model.
        sample: What is fitted and what stops the fit.
        settings: Of the fit.
        advance: Told of every epoch.

    Raises:
        BenchError: The loss is no longer finite.
    """
    like = next(iter(trunk.trunk_parameters().values()))
    fitted = sample.fitted.to(device=like.device, dtype=like.dtype)
    held_out = sample.held_out.to(device=like.device, dtype=like.dtype)
    model = AttachedPriorHead.attach(
        trunk,
        fit_baseline(sample.fitted.structures, sample.fitted.labels["prior"]),
        fitted.structures,
        seed=settings.seed,
    )
    plan = StagePlan(
        name="attach",
        parts=("prior",),
        heads={"prior": 1.0},
        monitor="prior",
        further=False,
        epochs=settings.epochs,
        patience=settings.patience,
        learning_rate=settings.learning_rate,
    )
    check = Check.of("held_out", held_out, decides=True)
    with fast_small_numbers():
        run = StageRun(model, plan, examples=fitted, checks=[check], seed=settings.seed)
        while not run.finished:
            row = run.run_epoch()
            if advance is not None:
                advance(row)
        run.finish()
    for parameter in model.representation_parameters():
        parameter.requires_grad_()
    return model


def held_out_levels(
    head: AttachedPriorHead, held_out: Examples
) -> dict[str, list[float]]:
    """Return how far head and model are from the prior by molecule, and its force.

    Means over atoms of the norm of the difference of forces, and of the prior's force, in
    eV/Å; by structure where there are too few molecules to tell.
    """
    names = _names(held_out.structures)
    found: dict[str, list[Tensor]] = {}
    for start in range(0, held_out.n_structures, 16):
        places = list(range(start, min(start + 16, held_out.n_structures)))
        here = held_out.select(places)
        wanted = here.labels["prior"].forces.double()
        forces = head.predict_prior(here.structures), head.predict(here.structures)
        apart = [one.forces.double().cpu() - wanted for one in forces]
        norms = torch.stack([one.norm(dim=1) for one in (*apart, wanted)])
        atoms = torch.split(norms, here.structures.sizes.tolist(), dim=1)
        for place, mine in zip(places, atoms, strict=True):
            found.setdefault(names[place], []).append(mine)
    means = {name: torch.cat(parts, dim=1).mean(1) for name, parts in found.items()}
    return {name: [round(v, 6) for v in mean.tolist()] for name, mean in means.items()}


def within(model: ForceField, labeller: Labeller) -> Labeller:
    """Return a labeller that leaves out what a pretrained model cannot treat."""
    card = card_of(model)
    return lambda structures: predict_rest(
        structures, refusals(structures, card), labeller
    )


def _held_out(structures: Structures, settings: HeadSettings) -> list[int]:
    """Return the places held out: whole molecules where there are enough."""
    names = _names(structures)
    order = sorted(set(names), key=lambda name: digest(settings.seed, f"held {name}"))
    held = set(order[: max(1, round(settings.held_out * len(order)))])
    return [place for place, name in enumerate(names) if name in held]


def _names(structures: Structures) -> tuple[str, ...]:
    """Return what is kept together: the molecule, or where they are few the structure."""
    many = len(set(structures.group)) >= _MANY
    return structures.group if many else structures.ids
