"""Every option of `train`, declared once."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Recipe(StrEnum):
    """What is learned from which labels, in which order."""

    scratch = "scratch"
    joint = "joint"
    prior_freeze_finetune = "prior-freeze-finetune"
    attach_prior_head = "attach-prior-head"


class Depth(StrEnum):
    """How many interaction blocks both heads share."""

    min = "min"
    med = "med"
    max = "max"


class Schedule(StrEnum):
    """What becomes of the learning rate."""

    cosine = "cosine"
    plateau = "plateau"
    constant = "constant"


_NETWORK, _LOOP = "Network", "Optimisation"
_LABELS, _WHERE = "Prior labels", "Where results go"

NetworkOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="mace or schnet; for attach-prior-head any pretrained model.",
        rich_help_panel=_NETWORK,
    ),
]
DepthOption = Annotated[
    Depth,
    typer.Option(
        "--depth",
        help="Interaction blocks that both heads share: the first, all but "
        "the last, or all.",
        rich_help_panel=_NETWORK,
    ),
]
CutoffOption = Annotated[
    float,
    typer.Option("--cutoff", help="Of the graph, in Å.", rich_help_panel=_NETWORK),
]
ChannelsOption = Annotated[
    int | None,
    typer.Option(
        "--channels", min=1, help="Features per atom.", rich_help_panel=_NETWORK
    ),
]
RecipeOption = Annotated[
    Recipe,
    typer.Option(
        "--recipe",
        help="What is learned from which labels, in which order.",
        rich_help_panel=_LOOP,
    ),
]
EpochsOption = Annotated[
    int,
    typer.Option(
        "--epochs",
        min=1,
        help="Epochs on reference labels at most.",
        rich_help_panel=_LOOP,
    ),
]
PriorEpochsOption = Annotated[
    int,
    typer.Option(
        "--prior-epochs",
        min=1,
        help="Epochs on prior labels at most.",
        rich_help_panel=_LOOP,
    ),
]
BatchOption = Annotated[
    int,
    typer.Option("--batch", min=1, help="Structures per step.", rich_help_panel=_LOOP),
]
LearningRateOption = Annotated[
    float | None,
    typer.Option(
        "--lr",
        help="On reference labels; left out: 3e-3 for mace, 1e-3 for others.",
        rich_help_panel=_LOOP,
    ),
]
PriorLearningRateOption = Annotated[
    float | None,
    typer.Option(
        "--prior-lr",
        help="On prior labels; left out: 1e-2 for mace, 2e-3 for others.",
        rich_help_panel=_LOOP,
    ),
]
PriorWeightOption = Annotated[
    float,
    typer.Option(
        "--prior-weight",
        help="w of L = L_ref + w L_prior (recipe joint).",
        rich_help_panel=_LOOP,
    ),
]
EnergyWeightOption = Annotated[
    float,
    typer.Option(
        "--energy-weight", help="Of the mean |ΔE| per atom, in eV.", rich_help_panel=_LOOP
    ),
]
ForceWeightOption = Annotated[
    float,
    typer.Option(
        "--force-weight", help="Of the L2-MAE of forces, in eV/Å.", rich_help_panel=_LOOP
    ),
]
ScheduleOption = Annotated[
    Schedule,
    typer.Option(
        "--schedule", help="What becomes of the learning rate.", rich_help_panel=_LOOP
    ),
]
ClipOption = Annotated[
    float,
    typer.Option("--clip", help="Largest gradient norm.", rich_help_panel=_LOOP),
]
AverageOption = Annotated[
    float,
    typer.Option(
        "--ema",
        help="Share of the moving average of weights that a step keeps.",
        rich_help_panel=_LOOP,
    ),
]
WeightDecayOption = Annotated[
    float,
    typer.Option("--weight-decay", help="Of AdamW.", rich_help_panel=_LOOP),
]
PatienceOption = Annotated[
    int,
    typer.Option(
        "--patience",
        min=1,
        help="Epochs without a better ID validation error after which a stage stops.",
        rich_help_panel=_LOOP,
    ),
]
ExtraGeometriesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--extra-geometries",
        help="DATASET or FILE of further training geometries, used with "
        "prior labels only; may be repeated.",
        rich_help_panel=_LABELS,
    ),
]
CheckpointOption = Annotated[
    Path,
    typer.Option(
        "--out", help="Path of the checkpoint, without suffix.", rich_help_panel=_WHERE
    ),
]
TensorboardOption = Annotated[
    bool,
    typer.Option(
        "--tensorboard", help="Also log for TensorBoard.", rich_help_panel=_WHERE
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimisation:
    """What every stage of a training has in common."""

    batch: BatchOption = 8
    energy_weight: EnergyWeightOption = 1.0
    force_weight: ForceWeightOption = 10.0
    schedule: ScheduleOption = Schedule.cosine
    clip: ClipOption = 10.0
    average: AverageOption = 0.995
    weight_decay: WeightDecayOption = 1e-6
    patience: PatienceOption = 50
