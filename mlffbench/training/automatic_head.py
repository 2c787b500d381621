"""A prior head by itself: fitted to a sample of training geometries."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlffbench.core.assembly import predict_rest, refusals
from mlffbench.core.errors import DataError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.models.load import card_of
from mlffbench.training.attached import AttachedPriorHead
from mlffbench.training.epochs import Row, StageRun
from mlffbench.training.examples import Examples, fit_baseline, has_label
from mlffbench.training.stages import fast_small_numbers
from mlffbench.training.training_plan import StagePlan
from mlffbench.training.trunk import HasTrunk
from mlffbench.training.validation import Check

Labeller = Callable[[Structures], Labels]
"""Computes a prior's labels, float64."""


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


def sample_of(
    structures: Structures, labeller: Labeller, settings: HeadSettings
) -> Sample:
    """Return a bounded sample of training geometries with prior labels.

    Molecules come in an order that their names and the seed decide, one conformer of each
    in turn, so that a small sample has many of them.

    Raises:
        DataError: Too few of them could be labelled; the message says how many are needed.
    """
    places = _in_turn(structures.group, structures.ids, settings.seed)
    chosen = structures.select(sorted(places[: settings.n_structures]))
    labels = labeller(chosen)
    there = has_label(labels)
    n_labelled = int(there.sum())
    if n_labelled < settings.least:
        msg = (
            f"a prior head needs at least {settings.least} training geometries with prior "
            f"labels, and there are {n_labelled}; name a suite with a larger training set"
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
    model = AttachedPriorHead.attach(
        trunk,
        fit_baseline(sample.fitted.structures, sample.fitted.labels["prior"]),
        fitted.structures,
        seed=settings.seed,
    )
    held_out = sample.held_out.to(device=like.device, dtype=like.dtype)
    run = StageRun(
        model,
        StagePlan(
            name="attach",
            parts=("prior",),
            heads={"prior": 1.0},
            monitor="prior",
            further=False,
            epochs=settings.epochs,
            patience=settings.patience,
            learning_rate=settings.learning_rate,
        ),
        examples=fitted,
        checks=[Check.of("held_out", held_out, decides=True)],
        seed=settings.seed,
    )
    with fast_small_numbers():
        while not run.finished:
            row = run.run_epoch()
            if advance is not None:
                advance(row)
        run.finish()
    for parameter in model.representation_parameters():
        parameter.requires_grad_()
    return model


def within(model: ForceField, labeller: Labeller) -> Labeller:
    """Return a labeller that leaves out what a pretrained model cannot treat."""
    card = card_of(model)
    return lambda structures: predict_rest(
        structures, refusals(structures, card), labeller
    )


def _in_turn(groups: Sequence[str], ids: Sequence[str], seed: int) -> list[int]:
    """Return all places: of every molecule the first, then of every one the second."""
    members: dict[str, list[int]] = defaultdict(list)
    for place in sorted(range(len(ids)), key=lambda one: _digest(seed, ids[one])):
        members[groups[place]].append(place)
    turns = [
        (turn, _digest(seed, group), place)
        for group, places in members.items()
        for turn, place in enumerate(places)
    ]
    return [place for _, _, place in sorted(turns)]


def _held_out(structures: Structures, settings: HeadSettings) -> list[int]:
    """Return the places held out: whole molecules where there are five or more."""
    names = structures.group if len(set(structures.group)) >= 5 else structures.ids
    order = sorted(set(names), key=lambda name: _digest(settings.seed, f"held {name}"))
    held = set(order[: max(1, round(settings.held_out * len(order)))])
    return [place for place, name in enumerate(names) if name in held]


def _digest(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()
