"""A training project: from what was asked for to a model, a plan and materials."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError

from mlffbench.core.assembly import predict_rest, refusals
from mlffbench.core.errors import BenchError, faults_in
from mlffbench.core.forcefield import ForceField, Head
from mlffbench.core.spectrum import SpectralReference
from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.models.load import card_of
from mlffbench.models.twoheaded import checkpoint
from mlffbench.models.twoheaded.architecture import Architecture, Depth
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.training.attached import AttachedPriorHead
from mlffbench.training.epochs import Row
from mlffbench.training.examples import Baseline, fit_baseline, has_label
from mlffbench.training.materials import Labeller, Materials, gather
from mlffbench.training.recipes import stages_of
from mlffbench.training.stages import best_rows
from mlffbench.training.training_plan import AmpName, RecipeName, StagePlan, TrainingPlan
from mlffbench.training.trunk import as_trunk

NETWORKS = ("mace", "schnet", "gemnet", "gemnet-dt")
"""Networks that can be trained from nothing."""
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "gemnet-dt": ("gemnet", {"direct_forces": True, "max_neighbours": 50}),
}
"""Name -> the network that it is a kind of, and what sets it apart."""


class LearningRates(NamedTuple):
    """Learning rates by kind of label."""

    ref: float
    prior: float


LEARNING_RATES = {
    "mace": LearningRates(ref=3e-3, prior=1e-2),
    "schnet": LearningRates(ref=1e-3, prior=2e-3),
    "gemnet": LearningRates(ref=1e-3, prior=2e-3),
    "gemnet-dt": LearningRates(ref=1e-3, prior=2e-3),
}
"""Network -> what it learns with unless the user says otherwise."""
NO_PRIOR = Baseline({}, 1.0)
"""Baseline of a prior head that no recipe trains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for.

    Attributes:
        suite: Name of the suite.
        suite_version: Its version.
        model: One of `NETWORKS`, or the pretrained model a head is attached to.
        recipe: Name of the recipe.
        depth: How much both heads share.
        cutoff: Of the graph, in Å.
        channels: Features per atom; None for the network's default.
        shape: Further values of the network's shape, as typed.
        epochs: On reference labels.
        prior_epochs: On prior labels.
        learning_rate: On reference labels; None for the network's default.
        prior_learning_rate: On prior labels; None for the network's default.
        prior_weight: w of L = L_ref + w L_prior.
        common: Values of `StagePlan` that all stages share.
        prior: Name of the prior.
        prior_version: What its numbers depend on beside the name.
        further: Where geometries with prior labels only come from.
        seed: Seed of every random choice.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32`` or ``float64``.
        amp: ``off``, or ``bf16`` for mixed precision.
    """

    suite: str
    suite_version: int = 0
    model: str
    recipe: RecipeName
    depth: Depth = "min"
    cutoff: float = 4.5
    channels: int | None = None
    shape: Mapping[str, str] = field(default_factory=dict)
    epochs: int
    prior_epochs: int
    learning_rate: float | None = None
    prior_learning_rate: float | None = None
    prior_weight: float = 0.5
    common: Mapping[str, Any] = field(default_factory=dict)
    prior: str = "gfn2-xtb"
    prior_version: str = ""
    further: tuple[str, ...] = ()
    seed: int = 0
    device: str = "cpu"
    dtype: str = "float32"
    amp: AmpName = "off"

    @property
    def learns_prior(self) -> bool:
        """Whether any stage learns from prior labels."""
        return self.recipe != "scratch"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Project:
    """A training ready to start.

    Attributes:
        model: Untrained, or pretrained with an untrained prior head.
        plan: Every value resolved.
        materials: What it learns from.
    """

    model: TwoHeaded | AttachedPriorHead
    plan: TrainingPlan
    materials: Materials


def prepare(
    order: Order,
    splits: Sequence[Split],
    *,
    further: Sequence[Structures],
    labeller: Labeller,
    pretrained: ForceField | None,
) -> Project:
    """Return an order as a model, a plan and materials.

    Args:
        order: What was asked for.
        splits: All splits of the suite.
        further: Training geometries without reference labels.
        labeller: Computes prior labels.
        pretrained: The model that ``attach-prior-head`` gives a head.

    Raises:
        BenchError: A value is not legal, the suite cannot be trained on, or the model
            cannot be given a head.
    """
    check_amp(order)
    if pretrained is not None:
        as_trunk(pretrained)  # refused before a prior labels anything
        labeller = _within(pretrained, labeller)
    try:  # what cannot be built is refused before as well
        stages = _stages(order)
        architecture = None if pretrained else _architecture(order, splits)
    except ValidationError as error:
        msg = f"the training cannot be set up so: {faults_in(error)}"
        raise BenchError(msg) from error
    materials = gather(
        splits,
        further=further if order.learns_prior else (),
        labeller=labeller if order.learns_prior else None,
        seed=order.seed,
    )
    model: TwoHeaded | AttachedPriorHead
    if architecture is None and pretrained is not None:
        model = _attach(order, pretrained, materials, stages[0])
    elif architecture is not None:
        model = _build(order, architecture, materials)
    plan = _plan(order, stages, architecture, materials)
    return Project(model=model, plan=plan, materials=materials)


def check_amp(order: Order) -> None:
    """Check that mixed precision can be had and makes sense.

    Raises:
        BenchError: It cannot, or does not.
    """
    if order.amp == "off":
        return
    why = ""
    if order.dtype != "float32":
        why = f"weights are {order.dtype}, whose precision it would throw away"
    elif order.recipe == "attach-prior-head":
        why = "a prior head is small and its pretrained model is left as it is"
    elif order.model == "mace":
        why = "e3nn, which mace is made of, multiplies no two types of numbers"
    elif order.device == "cuda" and not torch.cuda.is_bf16_supported():
        why = "this GPU has no bfloat16"
    if why:
        msg = f"--amp {order.amp} makes no sense here: {why}; leave it out"
        raise BenchError(msg)


def conclude(
    project: Project, rows: Sequence[Row], stem: Path, provenance: Mapping[str, Any]
) -> None:
    """Write the checkpoint of a finished training.

    Args:
        project: The project; its model is trained.
        rows: The log.
        stem: Path of the checkpoint without suffix.
        provenance: Command, versions and the like.
    """
    history = {**_history(project, rows), **provenance}
    model = project.model
    if isinstance(model, AttachedPriorHead):
        model.save(stem, project.plan.network, history)
    else:
        checkpoint.save(model, stem, history)


def shape_of(typed: Sequence[str]) -> dict[str, str]:
    """Return ``NAME=VALUE`` pairs of a network's shape as a table.

    Raises:
        BenchError: One is no such pair, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in typed:
        name, equals, value = text.partition("=")
        if not (name and equals and value) or name in found:
            msg = f"--shape {text!r} is not understood: write NAME=VALUE, each name once"
            raise BenchError(msg)
        found[name] = value
    return found


def is_complete(stem: Path, plan: TrainingPlan) -> bool | None:
    """Return whether a checkpoint is there and of this plan; None without one."""
    try:
        content = json.loads(stem.with_name(f"{stem.name}.json").read_text("utf-8"))
        stored = content["facts"]["fingerprint"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(stored == plan.fingerprint())


def _history(project: Project, rows: Sequence[Row]) -> dict[str, Any]:
    materials, plan = project.materials, project.plan
    structures = materials.train.structures
    checks = {one.name: one.decides for one in materials.validation}
    cutoff = plan.architecture.get("cutoff")
    further = materials.further
    failures = materials.train.labels["prior"].failures if plan.prior else {}
    return {
        "fingerprint": plan.fingerprint(),
        "plan": plan.model_dump(mode="json"),
        "suite": plan.suite,
        "level_of_theory": plan.level_of_theory,
        "training_sets": [f"{plan.suite}/train"],
        "charges": sorted(set(structures.charge.tolist())),
        "trained_heads": sorted({head for stage in plan.stages for head in stage.heads}),
        "trained_elements": sorted(set(structures.numbers.tolist())),
        "n_structures": structures.n_systems,
        "n_further_structures": further.n_structures if further else 0,
        "n_prior_failures": len(failures),
        "training_sha256": materials.sha256,
        "spectral_reference": (
            SpectralReference.of(structures, cutoff).as_json() if cutoff else None
        ),
        "epochs": len(rows),
        "validation_forces_mae_mev_per_angstrom": {
            row["stage"]: {
                name: round(1000 * row[name], 3)
                for name in checks
                if math.isfinite(row.get(name, math.nan))
            }
            for row in best_rows(rows, checks)
        },
    }


def _plan(
    order: Order,
    stages: tuple[StagePlan, ...],
    architecture: Architecture | None,
    materials: Materials,
) -> TrainingPlan:
    return TrainingPlan(
        suite=order.suite,
        suite_version=order.suite_version,
        network=order.model,
        architecture=architecture.model_dump(mode="json") if architecture else {},
        recipe=order.recipe,
        stages=stages,
        prior=order.prior if order.learns_prior else "",
        prior_version=order.prior_version if order.learns_prior else "",
        level_of_theory=materials.level_of_theory,
        training_sha256=materials.sha256,
        further=order.further if order.learns_prior else (),
        seed=order.seed,
        device=order.device,
        dtype=order.dtype,
        amp=order.amp,
    )


def _stages(order: Order) -> tuple[StagePlan, ...]:
    rates = LEARNING_RATES.get(order.model, LEARNING_RATES["schnet"])
    return stages_of(
        order.recipe,
        epochs=order.epochs,
        prior_epochs=order.prior_epochs,
        learning_rate=order.learning_rate or rates.ref,
        prior_learning_rate=order.prior_learning_rate or rates.prior,
        prior_weight=order.prior_weight,
        common=order.common,
    )


def _architecture(order: Order, splits: Sequence[Split]) -> Architecture:
    """Return the architecture; its table of elements covers every split of the suite.

    Weights of elements that training never meets stay as they began, for test-time
    training to move.
    """
    found: set[int] = set()
    for split in splits:
        index = split.source.index
        for record in set(index.record[split.rows].tolist()):
            found |= index.elements[record]
    network, own = VARIANTS.get(order.model, (order.model, {}))
    values: dict[str, Any] = {
        "network": network,
        "elements": tuple(sorted(found)),
        "cutoff": order.cutoff,
        "depth": order.depth,
    }
    values[network] = {**own, **_widths(network, order.channels), **order.shape}
    return Architecture.model_validate(values)


def _widths(network: str, channels: int | None) -> dict[str, int]:
    """Return the values of a network's shape that follow from ``channels``."""
    if channels is None:
        return {}
    if network == "gemnet":
        return {"atom": channels, "edge": channels, "triplet": max(1, channels // 2)}
    return {{"mace": "channels", "schnet": "hidden"}[network]: channels}


def _within(pretrained: ForceField, labeller: Labeller) -> Labeller:
    """Return a labeller that leaves out what a pretrained model cannot treat."""
    card = card_of(pretrained)
    return lambda structures: predict_rest(
        structures, refusals(structures, card), labeller
    )


def _build(order: Order, architecture: Architecture, materials: Materials) -> TwoHeaded:
    train = materials.train
    baselines: dict[Head, Baseline] = {"prior": NO_PRIOR}
    for head, labels in train.labels.items():
        baselines[head] = fit_baseline(train.structures, labels)
    return TwoHeaded.build(
        architecture,
        atomic_energies={h: one.atomic_energies for h, one in baselines.items()},
        scale={h: one.scale for h, one in baselines.items()},
        seed=order.seed,
        device=order.device,
        dtype=order.dtype,
    )


def _attach(
    order: Order, pretrained: ForceField, materials: Materials, stage: StagePlan
) -> AttachedPriorHead:
    examples = materials.for_stage(stage)
    baseline = fit_baseline(examples.structures, examples.labels["prior"])
    there = has_label(examples.labels["prior"])
    chosen = there.nonzero().flatten().tolist()
    dtype = torch.float64 if order.dtype == "float64" else torch.float32
    structures = examples.structures.select(chosen)
    return AttachedPriorHead.attach(
        as_trunk(pretrained),
        baseline,
        structures.to(device=torch.device(order.device), dtype=dtype),
        seed=order.seed,
    )
